"""Histograms a second out of one ROOT file of 2,000, as a multiple of what uproot reads of it with its directories cached.

The file has TH1D, TH1F, TH2F and weighted TH1D in the directories of a data-quality system, compressed with zlib, and is written again
before each reading, as it is during a run. uproot reads the same numbers (cells with flow bins, entries): its directories are read
before and kept, which a file that was written again would not allow it, so that it is shown at its best. `vs_uproot_reopened` is the ratio
to uproot as it must be used then, by path from a file that is opened anew. Both sides must give the same numbers.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import uproot
from numpy.typing import NDArray
from uproot.writing import identify

from benchmarks.measure import Round, main
from collectors.collector import Origin
from collectors.frame import Frame
from collectors.root import RootCollector, RootOptions

HISTOGRAMS = 2000
BINS, MAP_BINS = 100, (34, 72)
READINGS = 3


def made(random: np.random.Generator, i: int) -> Any:  # noqa: ANN401 - uproot's classes have no types
    """The i-th histogram: of twenty one is a map, and each third of the others is weighted."""
    if i % 20 == 0:
        return random.poisson(3.0, MAP_BINS).astype(np.float32), *(np.arange(n + 1.0) for n in MAP_BINS)
    cells = random.poisson(50.0, BINS + 2).astype(np.float64 if i % 2 else np.float32)
    weights = cells.astype(np.float64) * 1.5 if i % 3 == 0 else np.array([])
    axis = identify.to_TAxis("xaxis", "charge [e]", BINS, 0.0, float(BINS))
    return identify.to_TH1x("h", "a title", cells, float(cells.sum()), 0.0, 0.0, 0.0, 0.0, weights, axis)


def write(path: Path, seed: int) -> None:
    """A snapshot with other numbers; 40 directories of 50."""
    random = np.random.default_rng(seed)
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        for i in range(HISTOGRAMS):
            file[f"DQMData/Run 382711/Ecal/Run summary/module{i // 50:02}/h{i:04}"] = made(random, i)


def first_sum(model: Any) -> tuple[float, NDArray[Any]]:  # noqa: ANN401 - as above
    """Entries and cells of a histogram, as one reads them with uproot."""
    return model.member("fEntries"), model.values(flow=True)


def uproot_cached(directories: list[tuple[Any, list[str]]]) -> tuple[float, list[tuple[float, NDArray[Any]]]]:
    """Seconds and numbers, from directories that are open and known."""
    started = time.perf_counter()
    found = [first_sum(directory[name]) for directory, names in directories for name in names]
    return time.perf_counter() - started, found


def uproot_reopened(path: Path) -> float:
    """Seconds by path, from a file that is opened anew."""
    started = time.perf_counter()
    with uproot.open(path, object_cache=None, array_cache=None) as file:
        paths = [key for key, kind in file.classnames().items() if kind.startswith("TH")]
        for key in paths:
            first_sum(file[key])
    return time.perf_counter() - started


def ours(collector: RootCollector) -> tuple[float, Frame]:
    """Seconds and frame of one turn of the collector."""
    started = time.perf_counter()
    collected = list(collector.collect())
    elapsed = time.perf_counter() - started
    (frame,) = collected
    assert isinstance(frame, Frame)
    return elapsed, frame


def check(frame: Frame, expected: list[tuple[float, NDArray[Any]]]) -> None:
    """Raises RuntimeError where the two sides differ."""
    for histogram, (entries, cells) in zip(frame.layout.histograms, expected, strict=True):
        same = frame.layout.entries(frame, histogram.path)[0] == entries
        if not same or not np.array_equal(frame.layout.view(frame, histogram.path, flow=True)[0], cells):
            raise RuntimeError(f"{histogram.path}: other numbers than uproot's")


def cached_directories(path: Path) -> tuple[Any, list[tuple[Any, list[str]]]]:
    """The open file, and each directory with the names in it."""
    file = uproot.open(path, object_cache=None, array_cache=None)
    summary = file["DQMData/Run 382711/Ecal/Run summary"]
    directories = [summary[name] for name in summary.keys(recursive=False)]
    return file, [(directory, directory.keys(recursive=False)) for directory in directories]


def run() -> None:
    """Measures in rounds; in each, the order of the sides alternates and the median reading of each counts."""
    with tempfile.TemporaryDirectory(prefix="shiftwatch-bench-") as folder:
        path = Path(folder, "DQM_V0001_Ecal_R000382711.root")
        collector = RootCollector(Origin("bench", "CMS", time.time_ns), RootOptions(files=str(path)))
        write(path, 0)
        ours(collector)  # what it knows of the structure makes the next readings cheap

        def measure(number: int) -> Round:
            seconds: dict[str, list[float]] = {"ours": [], "cached": [], "reopened": []}
            for reading in range(READINGS):
                write(path, 1 + number * READINGS + reading)
                file, directories = cached_directories(path)
                sides = ["ours", "cached"] if (number + reading) % 2 else ["cached", "ours"]
                for side in sides:
                    if side == "ours":
                        elapsed, frame = ours(collector)
                    else:
                        elapsed, expected = uproot_cached(directories)
                    seconds[side].append(elapsed)
                seconds["reopened"].append(uproot_reopened(path))
                check(frame, expected)
                file.close()
            median = {side: float(np.median(values)) for side, values in seconds.items()}
            return {
                "histograms_per_s": HISTOGRAMS / median["ours"],
                "vs_uproot_cached": median["cached"] / median["ours"],
                "vs_uproot_reopened": median["reopened"] / median["ours"],
            }

        main("root_files", __doc__ or "", measure, rounds=5)


if __name__ == "__main__":
    run()
