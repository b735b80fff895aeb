"""Faults put into normal rows: how well a model tells them apart is known without anybody's labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame, Histogram, Kind
from detectors.scaling import spread_of

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


def injected(frame: Frame, seed: int = 0) -> Iterator[Injected]:
    """The rows again and again, each time with faults of another kind in some places; the same for the same seed."""
    gauges = frame.layout.of_kind(Kind.GAUGE)
    readings = frame.readings(gauges)
    spread = spread_of(readings, np.nan_to_num(_medians(readings)))
    lively = np.flatnonzero(spread > 0)
    if len(lively):
        for number, kind in enumerate(("shift", "drift", "noise", "spike", "stuck", "exchanged")):
            rng = np.random.default_rng([seed, number])
            yield _in_gauges(frame, kind, gauges, lively, spread, rng)
    counted = [h for h in frame.layout.histograms if h.width > 3]
    if counted:
        for number, kind in enumerate(("dead region", "hot region")):
            yield _in_histograms(frame, kind, counted, np.random.default_rng([seed, 100 + number]))


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


def _in_gauges(
    frame: Frame, kind: str, gauges: NDArray[np.int64], lively: NDArray[np.int64], spread: Array, rng: np.random.Generator
) -> Injected:
    values, faulty = frame.values.copy(), np.zeros(len(frame), dtype=bool)
    for segment in _segments(len(frame), rng):
        part = slice(segment.start, segment.start + 1) if kind == "spike" else segment
        which = int(rng.choice(lively))
        column, size = gauges[which], spread[which] * rng.choice((-1.0, 1.0))
        rows = values[part, column]
        if kind == "shift":
            values[part, column] = rows + SHIFT * size
        elif kind == "drift":
            values[part, column] = rows + DRIFT * size * np.linspace(0.0, 1.0, len(rows))
        elif kind == "noise":
            values[part, column] = rows + NOISE * size * rng.normal(size=len(rows))
        elif kind == "spike":
            values[part, column] = rows + SPIKE * size
        elif kind == "stuck":
            values[part, column] = rows[0] + SHIFT / 2 * size
        else:  # of another time: each reading is a usual one, and does not go with the others
            values[part, column] = np.roll(frame.values[:, column], len(frame) // 2)[part]
        faulty[part] = True
    return Injected(kind, replace(frame, values=values), faulty)


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
