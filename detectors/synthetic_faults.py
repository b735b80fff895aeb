"""Faults put into normal rows: how well a model tells them apart is known without anybody's labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame, Histogram, Kind
from detectors.scaling import READING_MOST, spread_of

Array = NDArray[np.float64]

SEGMENTS = 5
"""Places in the rows that get each kind of fault."""
ROWS_MOST = 40
"""Rows that one lasts, at most; a fortieth of all rows otherwise."""
SHIFT, DRIFT, NOISE, SPIKE = 3.0, 5.0, 3.0, 6.0
"""In spreads of the channel: a level, the end of a drift, additional noise, and single rows."""


@dataclass(frozen=True, eq=False)
class Injected:
    """Rows with faults of one kind; faulty: shape (n,), the rows that have one."""

    kind: str
    frame: Frame
    faulty: NDArray[np.bool_]


def injected(frame: Frame, seed: int = 0, groups: Sequence[NDArray[np.int64]] | None = None) -> Iterator[Injected]:
    """The rows again and again, each time with faults of another kind in some places; the same for the same seed.

    groups: frame columns of gauges; in each place one channel of each group has a fault, so that all groups have as many. Without
    them all gauges are one group.
    """
    groups = [frame.layout.of_kind(Kind.GAUGE)] if groups is None else groups
    lively = [found for group in groups if len((found := _lively(frame, group)).columns)]
    if lively:
        for number, kind in enumerate(("shift", "drift", "noise", "spike", "stuck", "exchanged")):
            rng = np.random.default_rng([seed, number])
            yield _in_gauges(frame, kind, lively, rng)
    counted = [h for h in frame.layout.histograms if h.width > 3]
    if counted:
        for number, kind in enumerate(("dead region", "hot region")):
            yield _in_histograms(frame, kind, counted, np.random.default_rng([seed, 100 + number]))


@dataclass(frozen=True, eq=False)
class Lively:
    """The gauges of a group that change: frame columns, and spreads in the unit of each; both of shape (channels,)."""

    columns: NDArray[np.int64]
    spread: Array


def _lively(frame: Frame, group: NDArray[np.int64]) -> Lively:
    readings = _readings(frame, group)
    spread = spread_of(readings, np.nan_to_num(_medians(readings)))
    return Lively(group[spread > 0], spread[spread > 0])


def _readings(frame: Frame, columns: NDArray[np.int64]) -> Array:
    """Readings such that sums of them are numbers, NaN where there is none."""
    clipped: Array = np.clip(frame.readings(columns), -READING_MOST, READING_MOST)
    return clipped


def _medians(readings: Array) -> Array:
    filled = np.where(np.isfinite(readings).any(axis=0), readings, 0.0)
    result: Array = np.nanmedian(filled, axis=0)
    return result


def _segments(rows: int, rng: np.random.Generator) -> list[slice]:
    """Places of equal length, one in each of as many equal parts of the rows."""
    length = int(np.clip(rows // 40, 3, ROWS_MOST))
    starts = [
        int(rng.integers(rows * i // SEGMENTS, max(rows * i // SEGMENTS + 1, rows * (i + 1) // SEGMENTS - length))) for i in range(SEGMENTS)
    ]
    return [slice(start, min(rows, start + length)) for start in starts]


def _in_gauges(frame: Frame, kind: str, groups: Sequence[Lively], rng: np.random.Generator) -> Injected:
    """Faults in channels that change; a row in which no such channel has a reading has none."""
    values, faulty = frame.values.copy(), np.zeros(len(frame), dtype=bool)
    for segment in _segments(len(frame), rng):
        part = slice(segment.start, segment.start + 1) if kind == "spike" else segment
        for group in groups:
            which = int(rng.choice(len(group.columns)))
            column, size = group.columns[which : which + 1], group.spread[which] * rng.choice((-1.0, 1.0))
            readings = _readings(frame, column)[:, 0]
            changed = _changed(kind, readings, part, size, rng)
            there = np.isfinite(readings[part]) & np.isfinite(changed)
            values[part, column[0]] = np.where(there, changed, values[part, column[0]])
            faulty[part] |= there
    return Injected(kind, replace(frame, values=values), faulty)


def _changed(kind: str, readings: Array, part: slice, size: float, rng: np.random.Generator) -> Array:
    """What a channel reads in the rows of a fault; size: its spread, with the sign of the fault."""
    rows = readings[part]
    if kind == "shift":
        return rows + SHIFT * size
    if kind == "drift":
        return rows + DRIFT * size * np.linspace(0.0, 1.0, len(rows))
    if kind == "noise":
        return rows + NOISE * size * rng.normal(size=len(rows))
    if kind == "spike":
        return rows + SPIKE * size
    if kind == "stuck":
        there = rows[np.isfinite(rows)]
        return np.full(len(rows), there[0] + SHIFT / 2 * size if len(there) else np.nan)
    # of another time: each reading is a usual one, and does not go with the others
    moved: Array = np.roll(readings, len(readings) // 2)[part]
    return moved


def _in_histograms(frame: Frame, kind: str, counted: list[Histogram], rng: np.random.Generator) -> Injected:
    """A tenth of the bins, next to one another, count nothing or three times as much."""
    values, faulty = frame.values.copy(), np.zeros(len(frame), dtype=bool)
    for part in _segments(len(frame), rng):
        histogram = counted[int(rng.integers(len(counted)))]
        start = frame.layout.position(histogram.path) + 1
        bins = histogram.width - 1
        size = max(1, bins // 10)
        first = start + int(rng.integers(bins - size + 1))
        values[part, first : first + size] *= 0.0 if kind == "dead region" else 3.0
        faulty[part] = True
    return Injected(kind, replace(frame, values=values), faulty)
