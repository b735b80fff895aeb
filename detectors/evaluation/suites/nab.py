"""The Numenta Anomaly Benchmark: single series, judged as they come in; scored as the benchmark itself does."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Kind, Layout
from detectors.calibration import Calibration
from detectors.evaluation.bootstrap import mean_known
from detectors.evaluation.nab import NabScore, Scored, nab_score, probationary_rows, read_windows, window_rows
from detectors.evaluation.suite import Published, Result, SuiteError, Summary, Task
from detectors.evaluation.trial import RANDOM, make
from detectors.evaluation.vus import auc
from detectors.finding import Scores
from detectors.novelty import OPERATING_POINT

Array = NDArray[np.float64]

FALLS_MOST: Final = 0.01
"""Part of the timestamps that may be before the one above: a clock was set back in one of the series, and rows are in their order there."""
QUIET: Final = "artificialNoAnomaly/"
_HERE: Final = "computed from NAB's own results for 35 of its 58 series"


@dataclass(frozen=True)
class NabSuite:
    """See `detectors.evaluation.suite.Suite`.

    `nab` is the score at the threshold that is best for all series together, as the benchmark has it; of a series what it adds,
    such that the mean over all series is the score. `nab_fixed` is the same at a threshold that does not depend on the data.
    `alarms_without_anomaly` counts rows at or above that one in series without any label; the mean is the sum over those that
    were made to have no anomaly (category artificialNoAnomaly).
    """

    name: str = "nab"
    title: str = "Numenta Anomaly Benchmark 1.1, standard profile"
    citation: str = (
        "S. Ahmad et al., Unsupervised real-time anomaly detection for streaming data, Neurocomputing 262 (2017) 134; data: numenta/NAB"
    )
    default: str = "novelty"
    baseline: str = "ewma"
    detectors: Sequence[str] = (RANDOM, "ewma", "robust_z", "novelty")
    metrics: Sequence[str] = ("nab", "nab_fixed", "alarms_without_anomaly", "auc")
    budget_per_day: float = 0.1
    published: Sequence[Published] = (
        Published("ARTime", "nab", 67.9, _HERE),
        Published("HTM", "nab", 66.6, _HERE),
        Published("contextOSE", "nab", 62.2, _HERE),
        Published("random cut forest", "nab", 49.5, _HERE),
        Published("windowed Gaussian", "nab", 22.0, _HERE),
    )

    def items(self, folder: Path) -> tuple[str, ...]:
        """Series as "category/file.csv". Raises SuiteError where one has no label windows, or a labelled one is missing."""
        base = _base(folder)
        found = tuple(sorted(path.relative_to(base / "data").as_posix() for path in (base / "data").glob("*/*.csv")))
        if not found:
            raise SuiteError(f"{base / 'data'}: no series (category/name.csv)")
        without = [name for name in found if name not in _windows(base)]
        if without:
            raise SuiteError(f"{base / 'labels/combined_windows.json'}: has no entry for {without[0]}")
        missing = [name for name in _windows(base) if name not in found]
        if missing:
            raise SuiteError(f"{base / 'data' / missing[0]}: missing, {base / 'labels/combined_windows.json'} has an entry for it")
        return found

    def version(self, folder: Path) -> str:
        """SHA-256 over names and contents of all files, its first 16 digits."""
        base, digest = _base(folder), hashlib.sha256()
        for path in [*(base / "data" / name for name in self.items(folder)), base / "labels" / "combined_windows.json"]:
            digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:16]

    def measure(self, task: Task) -> Result:
        """Learns from the probationary rows only, then scores row by row what comes in. Raises SuiteError."""
        base = _base(task.folder)
        frame = _series(base / "data" / task.item)
        try:
            windows = window_rows(frame.time_ns, _windows(base)[task.item])
        except ValueError as error:
            raise SuiteError(f"{task.item}: {error}") from None
        scores = _scores(task.detector, frame, task.seed)
        labels = np.zeros(len(frame), dtype=np.bool_)
        for first, last in windows:
            labels[first : last + 1] = True
        counted = np.arange(len(frame)) >= probationary_rows(len(frame))
        parts = {"scored": Scored(task.item, scores, windows)}
        return Result(task.item, task.detector, {"auc": auc(labels[counted], scores[counted])}, parts)

    def summarise(self, results: Sequence[Result]) -> Summary:
        """One threshold for all series, chosen on the labels as the benchmark does; beside it the fixed one."""
        series: list[Scored] = [result.parts["scored"] for result in results]
        best, fixed, nothing = (nab_score(series, threshold=at) for at in (None, OPERATING_POINT, np.inf))
        items: dict[str, dict[str, float]] = {}
        for result, one in zip(results, series, strict=True):
            alarms = float((one.scores >= OPERATING_POINT).sum()) if not one.windows else float("nan")
            parts = {"nab": _points(best, nothing, one.name), "nab_fixed": _points(fixed, nothing, one.name)}
            items[result.item] = {**parts, "alarms_without_anomaly": alarms, "auc": result.metrics["auc"]}
        quiet = [entry["alarms_without_anomaly"] for name, entry in items.items() if name.startswith(QUIET)]
        mean = {
            "nab": best.normalised,
            "nab_fixed": fixed.normalised,
            "alarms_without_anomaly": float(np.sum(quiet)) if quiet else float("nan"),
            "auc": mean_known([entry["auc"] for entry in items.values()]),
        }
        return Summary(items, mean, {"threshold": best.threshold, "fixed_threshold": OPERATING_POINT})


def _points(score: NabScore, nothing: NabScore, name: str) -> float:
    """What a series adds to the normalised score, times the number of series."""
    gained = score.raw - nothing.raw
    share = len(score.series) * (score.series[name] - nothing.series[name])
    return share * score.normalised / gained if gained else 0.0


def _base(folder: Path) -> Path:
    for base in (folder / "nab", folder, folder / "NAB"):
        if (base / "labels" / "combined_windows.json").is_file():
            return base
    raise SuiteError(f"{folder}: no data of nab (labels/combined_windows.json and data/); docs/tutorial/evaluate.md says where to get them")


@cache
def _windows(base: Path) -> dict[str, list[tuple[str, str]]]:
    try:
        return read_windows(base / "labels" / "combined_windows.json")
    except (OSError, ValueError) as error:
        raise SuiteError(str(error)) from None


def _series(path: Path) -> Frame:
    """A series as a frame of one gauge. Raises SuiteError."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        time_ns = np.array([row["timestamp"] for row in rows], dtype="datetime64[ns]").astype(np.int64)
        values = np.array([[float(row["value"])] for row in rows])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SuiteError(f"{path}: not a series of timestamp and value: {error}") from None
    if not probationary_rows(len(rows)):
        raise SuiteError(f"{path}: {len(rows)} rows, too few for any to learn from")
    if (np.diff(time_ns) < 0).mean() > FALLS_MOST:
        raise SuiteError(f"{path}: its timestamps do not rise")
    return Frame(Layout(path.stem, (Channel("value", "value", "", Kind.GAUGE, path.stem),)), time_ns, values)


def _scores(name: str, frame: Frame, seed: int) -> Array:
    """Of each row, NaN in the probationary period; calibrated in decades where a detector has several units."""
    start = probationary_rows(len(frame))
    history, later = frame.rows(slice(0, start)), frame.rows(slice(start, None))
    detector = make(name, seed)
    if not detector.applies(frame.layout):
        raise SuiteError(f"detector {name!r} does not judge single series")
    scored = detector.fit(history).score(later)
    if len(scored.units) > 1:
        held = start // 2
        first = make(name, seed).fit(history.rows(slice(0, held)))
        kept = history.rows(slice(held, None))
        tail = Calibration().fit(first.score(kept), kept.time_ns).tail_probabilities(scored)
        lowest = np.where(np.isfinite(tail), tail, 1.0).min(axis=1)
        scored = Scores(scored.units[:1], -np.log10(np.maximum(lowest, 1e-300))[:, None])
    if not scored.units:  # nothing could be learned: a series that is too short or flat
        return np.full(len(frame), np.nan)
    return np.concatenate([np.full(start, np.nan), scored.values[:, 0]])


SUITE = NabSuite()
