"""How much scores depend on conditions that are no fault, and what taking these out of the gauges costs or gains.

Simulated normal data of a crate of high voltage: currents that follow the pile-up of fills of unequal length, temperatures with
a daily rhythm and the load of the crate, voltages, and noise with memory. A detector learns six days and is measured on the next
four, once as it is and once with the conditions taken out (`detectors.conditioned`).

`dependence`: distance correlation of the score's rank with the pile-up, 0 for independence (G. Székely, M. Rizzo, N. Bakirov,
Ann. Stat. 35 (2007) 2769). `recall`: share of the rows of injected faults above the threshold that FALSE_SHARE of the normal rows
of the four days are above: before and after are compared at the same rate of false alarms. Alarm rates under shifts of gain and
offset: times FALSE_SHARE, of normal rows whose currents, or whose gauges all, are multiplied by 1 + shift, or moved by that part
of their usual range; the threshold is that of rows without a shift. 1 is what was promised, 200 is an alarm in every row.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has none

from collectors.frame import Channel, Frame, Layout
from daemon import plugins
from detectors.conditioned import conditioned
from detectors.finding import Detector
from detectors.gauge_groups import CONDITION
from detectors.synthetic_faults import injected

Array = NDArray[np.float64]

DETECTORS = ("robust_z", "windowed_pca", "ensemble")
SHIFTS = (-0.05, -0.02, -0.01, 0.01, 0.02, 0.05)
STEP_NS, DAY_ROWS = 60_000_000_000, 1440
LEARNED_DAYS, MEASURED_DAYS = 6, 4
CURRENTS, TEMPERATURES, VOLTAGES = 12, 6, 12
FALSE_SHARE = 0.005
SMALL_FAULT_ROWS = 30
SMALL_FAULTS = 40
COMPARED_ROWS = 1_500
"""Rows of a distance correlation, evenly spaced: it costs their square."""
LAYOUT = Layout(
    "crate",
    (
        *(Channel(f"ch{i:02d}:IMon", "IMon", "uA", place=f"CRATE/ch{i:02d}") for i in range(CURRENTS)),
        *(Channel(f"board{i}:temperature", "temperature", "degC", place=f"CRATE/board{i}") for i in range(TEMPERATURES)),
        *(Channel(f"ch{i:02d}:VMon", "VMon", "V", place=f"CRATE/ch{i:02d}") for i in range(VOLTAGES)),
    ),
)


class Simulated(NamedTuple):
    """Rows of the crate, and the pile-up of each; shape (n,)."""

    frame: Frame
    pile_up: Array


def simulate(seed: int) -> Simulated:
    """All days."""
    rng = np.random.default_rng(seed)
    rows = (LEARNED_DAYS + MEASURED_DAYS) * DAY_ROWS
    pile_up = np.zeros(rows)
    at = 0
    while at < rows:  # a fill of 4 to 14 hours whose pile-up decays, then 1 to 4 hours without beam
        length, gap = int(rng.integers(240, 840)), int(rng.integers(60, 240))
        fill = rng.uniform(45.0, 60.0) * np.exp(-np.arange(length) / 900.0)
        pile_up[at : at + length] = fill[: rows - at]
        at += length + gap
    hour = 2 * np.pi * np.arange(rows) / DAY_ROWS
    load = 1.0 + pile_up[:, None] * rng.uniform(0.02, 0.06, CURRENTS) * (1 + 0.004 * pile_up[:, None])
    currents = load + 0.04 * noise(rng, rows, CURRENTS)
    heat = 0.4 * currents.mean(axis=1, keepdims=True) + np.sin(hour - 1.0)[:, None] * rng.uniform(0.3, 0.8, TEMPERATURES)
    temperatures = 22.0 + heat + 0.08 * noise(rng, rows, TEMPERATURES)
    voltages = 400.0 + 0.05 * noise(rng, rows, VOLTAGES)
    time_ns = np.arange(rows, dtype=np.int64) * STEP_NS
    return Simulated(Frame(LAYOUT, time_ns, np.concatenate([currents, temperatures, voltages], axis=1)), pile_up)


def noise(rng: np.random.Generator, rows: int, channels: int) -> Array:
    """Of unit size, half of it with a memory of ten rows."""
    white = rng.normal(size=(rows + 60, channels))
    kernel = np.exp(-np.arange(60) / 10.0)
    slow = np.stack([np.convolve(column, kernel / np.sqrt((kernel**2).sum()), mode="full")[60 : 60 + rows] for column in white.T], axis=1)
    result: Array = np.sqrt(0.5) * (slow + rng.normal(size=(rows, channels)))
    return result


def distance_correlation(x: Array, y: Array) -> float:
    """Of two samples of equal length, shape (n,); 0 where one is constant."""

    def centred(values: Array) -> Array:
        distance = np.abs(values[:, None] - values[None])
        result: Array = distance - distance.mean(axis=0) - distance.mean(axis=1)[:, None] + distance.mean()
        return result

    a, b = centred(x), centred(y)
    size = float(np.sqrt((a * a).mean() * (b * b).mean()))
    return float(np.sqrt(max(0.0, float((a * b).mean())) / size)) if size > 0 else 0.0


def small_faults(frame: Frame, seed: int) -> tuple[Frame, NDArray[np.bool_]]:
    """Currents that are off by a quarter of their usual range for half an hour, and the rows in which one is; shape (n,)."""
    rng = np.random.default_rng(seed)
    values, faulty = frame.values.copy(), np.zeros(len(frame), dtype=bool)
    reach = np.ptp(frame.values[:, :CURRENTS], axis=0)
    for first in np.linspace(0, len(frame) - SMALL_FAULT_ROWS, SMALL_FAULTS).astype(int):
        channel, part = int(rng.integers(CURRENTS)), slice(first, first + SMALL_FAULT_ROWS)
        values[part, channel] += 0.25 * reach[channel] * rng.choice((-1.0, 1.0))
        faulty[part] = True
    return replace(frame, values=values), faulty


def shifted(frame: Frame, columns: slice, shift: float, reach: Array | None) -> Frame:
    """Some gauges with another gain, or with an offset in parts of their range where that is given; shape of reach: (m,)."""
    values = frame.values.copy()
    values[:, columns] += shift * (values[:, columns] if reach is None else reach[columns])
    return replace(frame, values=values)


def score(detector: Detector, frame: Frame) -> Array:
    """Of the one group; shape (n,)."""
    scores = detector.score(frame)
    (unit,) = (i for i, unit in enumerate(scores.units) if unit.condition == CONDITION)
    return scores.values[:, unit]


def measure(detector: Detector, data: Simulated) -> dict[str, float]:
    """All figures of a detector."""
    split = LEARNED_DAYS * DAY_ROWS
    learned, later = data.frame.rows(slice(0, split)), data.frame.rows(slice(split, None))
    detector.fit(learned)
    normal = score(detector, later)
    threshold = float(np.quantile(normal, 1.0 - FALSE_SHARE))
    some = np.linspace(0, len(normal) - 1, COMPARED_ROWS).astype(int)
    figures = {"dependence": distance_correlation(np.argsort(np.argsort(normal[some])).astype(np.float64), data.pile_up[split:][some])}
    recalls = {f.kind: float((score(detector, f.frame)[f.faulty] > threshold).mean()) for f in injected(later)}
    figures["recall"] = float(np.mean(list(recalls.values())))
    faulty, rows = small_faults(later, seed=1)
    figures["recall, current off by 25 % of range"] = float((score(detector, faulty)[rows] > threshold).mean())
    reach = np.ptp(learned.values, axis=0).astype(np.float64)
    for name, of_range in (("gain", None), ("offset", reach)):
        for which, columns in (("currents", slice(0, CURRENTS)), ("all", slice(None))):
            for shift in SHIFTS:
                alarms = score(detector, shifted(later, columns, shift, of_range)) > threshold
                figures[f"{name} of {which} {100 * shift:+.0f} %"] = float(alarms.mean()) / FALSE_SHARE
    return figures


def main() -> None:
    """Measures every detector with and without conditioning, and prints the means over the seeds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nuisances", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    parser.add_argument("--seeds", type=int, default=2, help="simulated crates (default: 2)")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    found: dict[str, dict[str, float]] = {}
    for name in DETECTORS:
        for conditions in ((), ("pile_up",)):
            rounds = []
            for seed in range(max(1, arguments.seeds)):
                data = simulate(seed)
                plugin = plugins.load("detectors", name)
                options = plugin.options_model()

                def as_of(_name: str, time_ns: NDArray[np.int64], data: Simulated = data) -> Array:
                    return data.pile_up[time_ns // STEP_NS]

                rounds.append(measure(conditioned(plugin(name, options), options, conditions, season=bool(conditions), as_of=as_of), data))
            label = f"{name}, conditioned" if conditions else name
            found[label] = {key: float(np.mean([figures[key] for figures in rounds])) for key in rounds[0]}
    print(json.dumps({"name": "nuisances", "figures": found}) if arguments.json else table(found))


def table(found: dict[str, dict[str, float]]) -> str:
    """A row for each figure, a column for each detector."""
    names = list(found)
    figures = list(found[names[0]])
    width = max(map(len, figures))
    lines = [f"{'':{width}}  " + "  ".join(f"{name:>24}" for name in names)]
    lines += [f"{figure:{width}}  " + "  ".join(f"{found[name][figure]:>24.3g}" for name in names) for figure in figures]
    return "\n".join(lines)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
