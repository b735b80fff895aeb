"""The score of the Numenta Anomaly Benchmark (A. Lavin, S. Ahmad, ICMLA 2015, arXiv:1510.03336), as version 1.1 computes it.

A detection in a window counts by how early it is, once for each window; a detection outside costs more the longer ago the last
window was; each window that is missed costs too. One threshold is chosen for all series together, such that the sum is highest:
it sees the labels, so this score compares detectors and does not say how one does in operation. Rows of the probationary period,
the first 15 % of a series and at most 750 rows, do not count. 0 is a detector that finds nothing, 100 one that finds every
window in its first row and nothing else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Windows = Sequence[tuple[int, int]]
"""First and last row of each window of a series, both included, in order."""

PROBATION_RATIO: Final = 0.15
PROBATION_MOST: Final = 750
STEEPNESS: Final = 5.0
FAR_WINDOWS: Final = 3.0
"""Detections that lie further behind a window than so many of its widths cost as much as if there had been none."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a window found, a false detection and a missed window are worth."""

    name: str
    found: float
    false: float
    missed: float


STANDARD: Final = Profile("standard", 1.0, 0.11, 1.0)
REWARD_LOW_FP_RATE: Final = Profile("reward_low_FP_rate", 1.0, 0.22, 1.0)
REWARD_LOW_FN_RATE: Final = Profile("reward_low_FN_rate", 1.0, 0.11, 2.0)
PROFILES: Final = (STANDARD, REWARD_LOW_FP_RATE, REWARD_LOW_FN_RATE)


@dataclass(frozen=True, eq=False)
class Scored:
    """A series as a detector scored it. scores: shape (n,), higher is more anomalous, NaN never detects; windows: rows."""

    name: str
    scores: Array
    windows: Windows


@dataclass(frozen=True, eq=False)
class NabScore:
    """The score of a detector over all series.

    normalised: 0 for finding nothing, 100 for perfect; raw: the sum before that; threshold: the one chosen, infinite where it
    is best to find nothing; series: the raw score of each series at this threshold.
    """

    normalised: float
    raw: float
    threshold: float
    series: dict[str, float]


def probationary_rows(rows: int) -> int:
    """Number of rows at the start of a series that do not count."""
    return min(math.floor(PROBATION_RATIO * rows), PROBATION_MOST)


def scaled_sigmoid(position: Array) -> Array:
    """Worth of a detection by its position: -1 the first row of a window, 0 its end, then in window widths behind it."""
    near = 2.0 / (1.0 + np.exp(np.minimum(STEEPNESS * position, 700.0))) - 1.0
    worth: Array = np.where(position > FAR_WINDOWS, -1.0, near)
    return worth


def row_worths(rows: int, windows: Windows, profile: Profile) -> tuple[Array, NDArray[np.int64]]:
    """What a detection in each row is worth, and the number of the window that it lies in (-1: none); both of shape (rows,)."""
    row = np.arange(rows)
    worth = np.full(rows, -profile.false)
    inside = np.full(rows, -1, dtype=np.int64)
    highest = float(scaled_sigmoid(np.array(-1.0)))
    for number, (first, last) in enumerate(windows):
        width = last - first + 1
        behind = row > last
        # a window of one row has no width to measure by: all that follows is far behind it
        passed = (row[behind] - last) / (width - 1) if width > 1 else np.full(behind.sum(), np.inf)
        worth[behind] = profile.false * scaled_sigmoid(passed)
        within = slice(first, last + 1)
        worth[within] = profile.found * scaled_sigmoid(-(last - row[within] + 1) / width) / highest
        inside[within] = number
    return worth, inside


def nab_score(series: Sequence[Scored], profile: Profile = STANDARD, threshold: float | None = None) -> NabScore:
    """The score over all series, at the best threshold for all of them together or at a given one (score >= threshold)."""
    parts = [_Counted.of(one, profile) for one in series]
    if threshold is None:
        threshold = _best_threshold(parts)
    raw = {one.name: part.at(threshold) for one, part in zip(series, parts, strict=True)}
    total = math.fsum(raw.values())
    nothing = math.fsum(part.at(math.inf) for part in parts)
    perfect = profile.found * sum(len(one.windows) for one in series)
    normalised = 100.0 * (total - nothing) / (perfect - nothing) if perfect > nothing else math.nan
    return NabScore(normalised, total, threshold, raw)


def read_windows(labels: Path) -> dict[str, list[tuple[str, str]]]:
    """Windows of each series ("category/file.csv") as times of their first and last row, from combined_windows.json.

    Raises ValueError where the file is something else.
    """
    try:
        found = json.loads(labels.read_text(encoding="utf-8"))
        return {str(name): [(str(first), str(last)) for first, last in windows] for name, windows in found.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{labels}: not the label windows of the benchmark: {error}") from error


def window_rows(time_ns: NDArray[np.int64], windows: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
    """Windows as rows; a time that occurs twice is its first row. time_ns: shape (n,), UTC.

    Raises ValueError for a time that is in no row.
    """
    rows = []
    for window in windows:
        at = np.array(window, dtype="datetime64[ns]").astype(np.int64)
        first, last = (int(np.argmax(time_ns == time)) for time in at)
        if time_ns[first] != at[0] or time_ns[last] != at[1]:
            raise ValueError(f"label window {window[0]} to {window[1]} does not begin and end at rows of its series")
        rows.append((first, last))
    return rows


def read_profiles(path: Path) -> Mapping[str, Profile]:
    """Profiles by name from config/profiles.json of the benchmark."""
    costs = {name: value["CostMatrix"] for name, value in json.loads(path.read_text(encoding="utf-8")).items()}
    return {name: Profile(name, cost["tpWeight"], cost["fpWeight"], cost["fnWeight"]) for name, cost in costs.items()}


@dataclass(frozen=True, eq=False)
class _Counted:
    """The rows of a series that count, of falling score. worth: shape (k,); window: shape (k,), -1 for none."""

    scores: Array
    worth: Array
    window: NDArray[np.int64]
    windows: int
    missed: float

    @classmethod
    def of(cls, series: Scored, profile: Profile) -> _Counted:
        """Of a series, without its probationary period."""
        worth, window = row_worths(len(series.scores), series.windows, profile)
        rows = np.arange(probationary_rows(len(series.scores)), len(series.scores))
        numbers = np.unique(window[rows])
        rows = rows[~np.isnan(series.scores[rows])]
        order = rows[np.argsort(-series.scores[rows], kind="stable")]
        return cls(series.scores[order], worth[order], window[order], int((numbers >= 0).sum()), profile.missed)

    def gains(self) -> Array:
        """What each row adds to the score once it is detected, shape (k,): in a window only what exceeds the best so far."""
        gain = np.where(self.window < 0, self.worth, 0.0)
        for number in np.unique(self.window[self.window >= 0]):
            rows = np.flatnonzero(self.window == number)
            best = np.maximum.accumulate(np.concatenate([[-self.missed], self.worth[rows]]))
            gain[rows] = np.diff(best)
        return gain

    def at(self, threshold: float) -> float:
        """The score at a threshold."""
        return float(self.gains()[self.scores >= threshold].sum()) - self.missed * self.windows


def _best_threshold(parts: Sequence[_Counted]) -> float:
    """The highest of the scores at which the sum over all series is greatest; infinite where nothing is better."""
    scores = np.concatenate([part.scores for part in parts])
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    sums = np.cumsum(np.concatenate([part.gains() for part in parts])[order])
    last_of_equals = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else np.empty(0, dtype=np.int64)
    if not len(last_of_equals) or sums[last_of_equals].max() <= 0:
        return math.inf
    return float(scores[last_of_equals[np.argmax(sums[last_of_equals])]])
