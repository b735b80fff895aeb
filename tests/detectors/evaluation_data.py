"""Small labelled sets in every layout that is read: correlated channels, of which some break away in two events."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROWS, CHANNELS = 2400, 4
EVENTS = ((700, 720), (1500, 1560))
CAUSES = "700-720:1\n1500-1560:2,3\n"


def host(seed: int) -> dict[str, NDArray[np.float64]]:
    """train, test, test_label."""
    rng = np.random.default_rng(seed)

    def normal() -> NDArray[np.float64]:
        load = np.convolve(rng.standard_normal(ROWS + 29), np.ones(30) / 5, "valid")
        mixing = np.linspace(0.5, 1.5, CHANNELS)
        return load[:, None] * mixing + 0.1 * rng.standard_normal((ROWS, CHANNELS))

    train, test = normal(), normal()
    label = np.zeros(ROWS)
    for (first, last), channels in zip(EVENTS, ([0], [1, 2]), strict=True):
        test[first : last + 1, channels] += 4.0
        label[first : last + 1] = 1
    return {"train": train, "test": test, "test_label": label}


def save(path: Path, arrays: dict[str, NDArray[np.float64]]) -> None:
    """Arrays by name as one file."""
    np.savez(path, **arrays)  # type: ignore[arg-type]  # any names


def write_npz(folder: Path, name: str, seed: int) -> None:
    """As one file and its causes."""
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / f"{name}.npz", host(seed))
    (folder / f"{name}.interp.txt").write_text(CAUSES)


def write_text(folder: Path, name: str, seed: int) -> None:
    """As the Server Machine Dataset comes."""
    for part, values in host(seed).items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        np.savetxt(folder / part / f"{name}.txt", values, fmt="%.6f" if values.ndim == 2 else "%d", delimiter=",")
    (folder / "interpretation_label").mkdir(exist_ok=True)
    (folder / "interpretation_label" / f"{name}.txt").write_text(CAUSES)


def write_pickles(folder: Path, name: str, seed: int) -> None:
    """As the Application Server Dataset comes."""
    (folder / "processed").mkdir(parents=True, exist_ok=True)
    (folder / "interpretation_label").mkdir(exist_ok=True)
    for part, values in host(seed).items():
        (folder / "processed" / f"{name}_{part}.pkl").write_bytes(pickle.dumps(values))
    (folder / "interpretation_label" / f"{name}.txt").write_text(CAUSES)


def write_series(folder: Path) -> None:
    """As the Numenta Anomaly Benchmark comes: one series with a jump, one without."""
    rng = np.random.default_rng(1)
    values = np.sin(np.arange(1500) / 20) + 0.05 * rng.standard_normal(1500)
    times = np.datetime64("2014-04-01T00:00:00") + np.arange(1500) * np.timedelta64(300, "s")
    jump = np.where(np.arange(1500) // 20 == 45, values + 8, values)
    for name, series in (("artificialWithAnomaly/jump.csv", jump), ("artificialNoAnomaly/quiet.csv", values)):
        path = folder / "data" / name
        path.parent.mkdir(parents=True)
        rows = [f"{str(time).replace('T', ' ')},{value:.5f}" for time, value in zip(times, series, strict=True)]
        path.write_text("\n".join(["timestamp,value", *rows]) + "\n")
    window = [str(times[row]).replace("T", " ") + ".000000" for row in (880, 940)]
    (folder / "labels").mkdir()
    labels = {"artificialWithAnomaly/jump.csv": [window], "artificialNoAnomaly/quiet.csv": []}
    (folder / "labels" / "combined_windows.json").write_text(json.dumps(labels))
