"""Dead regions and hot channels in maps of hits: counts of each channel against what its own history lets expect.

The expectation is each cell's part of all entries in the history, scaled to the entries of the interval; cells that stand out
do not take part in the scaling. A tail of the Poisson distribution is bounded by its Chernoff bound, exp(-(m - k + k ln(k/m)))
for k counts with m expected (W. Hoeffding, J. Am. Stat. Assoc. 58 (1963) 13; M. Mitzenmacher and E. Upfal, Probability and
Computing, ch. 5), which is never too small and does not underflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LN10 = float(np.log(10.0))
SHAPES_PER_CELL = 4.0626
"""Connected shapes of k cells of a square lattice that hold a given cell grow as this to the power of k (I. Jensen, J. Stat.
Phys. 102 (2001) 865): the number of places where chance could have made a cluster. Along a line there is one."""
STANDS_OUT = 4.0
"""Cells that are this many standard deviations off take no part in the scaling."""
SYSTEMATIC_MOST = 0.5
CELLS_AT_ONCE = 2_000_000


@dataclass(frozen=True, eq=False)
class Occupancy:
    """What is usual for one map of `shape` cells: part of all entries and relative systematic spread, shape (cells,)."""

    shape: tuple[int, ...]
    part: Array
    systematic: Array

    def expected(self, counts: Array) -> Array:
        """Counts to expect in each cell, shape (n, cells)."""
        live = self.part > 0
        ratio = counts[:, live] / self.part[live]
        total = np.median(ratio, axis=1) if live.any() else np.zeros(len(counts))
        total = np.where(total > 0, total, counts.sum(axis=1))
        for _ in range(2):
            guess = total[:, None] * self.part[live]
            usual = np.abs(counts[:, live] - guess) <= STANDS_OUT * np.sqrt(guess * (1 + guess * self.systematic[live] ** 2)) + 1
            parts = (usual * self.part[live]).sum(axis=1)
            total = np.divide((usual * counts[:, live]).sum(axis=1), parts, out=total.copy(), where=parts > 0)
        result: Array = total[:, None] * self.part
        return result

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {"shape": list(self.shape), "part": self.part, "systematic": self.systematic}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Occupancy:
        """From a `state`."""
        return cls(tuple(int(n) for n in state["shape"]), np.asarray(state["part"]), np.asarray(state["systematic"]))


def learn_occupancy(counts: Array, shape: tuple[int, ...], systematic_least: float) -> Occupancy | None:
    """Learns from maps of normal intervals; counts: shape (n, cells), NaN rows are left out. None where there is no entry."""
    counts = counts[np.isfinite(counts).all(axis=1)]
    totals = counts.sum(axis=0)
    if totals.sum() <= 0:
        return None
    part = totals / totals.sum()
    model = Occupancy(shape, part, np.full(len(part), systematic_least))
    squares, beyond_poisson = np.zeros(len(part)), np.zeros(len(part))
    for some in row_blocks(counts):
        expected = model.expected(some)
        squares += (expected**2).sum(axis=0)
        beyond_poisson += ((some - expected) ** 2 - expected).sum(axis=0)
    noise = np.sqrt(2.0 * squares)  # of the sum of squared Poisson fluctuations
    spread = np.sqrt(np.maximum(beyond_poisson - noise, 0.0) / np.maximum(squares, 1e-300))
    systematic = np.sqrt(np.maximum(spread, systematic_least) ** 2 + 1.0 / (totals + 1.0))
    return Occupancy(shape, part, np.minimum(systematic, SYSTEMATIC_MOST))


def row_blocks(counts: Array) -> Iterator[Array]:
    """Successive rows, so few at once that what is worked out of them does not take much memory."""
    rows = max(1, CELLS_AT_ONCE // max(1, counts.shape[1]))
    for start in range(0, len(counts), rows):
        yield counts[start : start + rows]


@dataclass(frozen=True, slots=True)
class Judging:
    """When a cell counts as dead or hot: its counts are below or above this part of what is expected."""

    dead_ratio: float
    hot_ratio: float


@dataclass(frozen=True, eq=False)
class Map:
    """One map judged: the score, and the cells that it rests on with their expectation; cells: rising, expected: (cells,)."""

    score: float
    cells: NDArray[np.int64]
    expected: Array


def dead_scores(model: Occupancy, counts: Array, judging: Judging) -> Array:
    """-log10 of the chance of the least likely connected region of low cells anywhere on the map; shape (n,)."""
    expected = model.expected(counts)
    surprise, lowered = _low_cells(model, counts, expected, judging)
    scores = np.zeros(len(counts))
    rows = np.flatnonzero((surprise > 0).any(axis=1))
    if len(rows):
        labels, count = _label(surprise[rows] > 0, model.shape)
        region = _region_scores(labels, count, counts[rows], lowered[rows], model)
        first = _first_of_row(labels, count)
        np.maximum.at(scores, rows[first], region)
    return scores


def hot_scores(model: Occupancy, counts: Array, judging: Judging) -> Array:
    """-log10 of the chance of the least likely high cell anywhere on the map; shape (n,)."""
    return np.asarray(_hot_surprise(model, counts, judging).max(axis=1, initial=0.0))


def dead_region(model: Occupancy, counts: Array, judging: Judging) -> Map:
    """The least likely region of low cells of one map; counts: shape (cells,)."""
    expected = model.expected(counts[None])
    surprise, lowered = _low_cells(model, counts[None], expected, judging)
    labels, count = _label(surprise > 0, model.shape)
    if not count:
        return Map(0.0, np.empty(0, dtype=np.int64), expected[0])
    region = _region_scores(labels, count, counts[None], lowered, model)
    best = int(np.argmax(region))
    return Map(float(region[best]), np.flatnonzero(labels[0] == best + 1), expected[0])


def hot_cells(model: Occupancy, counts: Array, judging: Judging) -> Map:
    """The high cells of one map; counts: shape (cells,)."""
    surprise = _hot_surprise(model, counts[None], judging)[0]
    return Map(float(surprise.max()), np.flatnonzero(surprise > 0), model.expected(counts[None])[0])


def _low_cells(model: Occupancy, counts: Array, expected: Array, judging: Judging) -> tuple[Array, Array]:
    """Surprise of each low cell beyond what it costs a region to hold it (else 0), and the least that may be expected."""
    lowered = expected * np.maximum(1.0 - 2.0 * model.systematic, 0.0)
    low = (counts < judging.dead_ratio * expected) & (counts < lowered)
    surprise = np.where(low, _surprise(counts, lowered) - _cost_per_cell(model), 0.0)
    return np.maximum(surprise, 0.0), lowered


def _hot_surprise(model: Occupancy, counts: Array, judging: Judging) -> Array:
    expected = model.expected(counts)
    # a cell that never counted anything may still count as much as the history can hide
    least = counts.sum(axis=1, keepdims=True) * float(model.part[model.part > 0].min()) / 2
    raised = np.maximum(expected, least) * (1.0 + 2.0 * model.systematic)
    rows = np.flatnonzero((counts > judging.hot_ratio * raised).any(axis=1))
    if len(rows):
        raised[rows] *= np.maximum(_neighbours(model, counts[rows], expected[rows]), 1.0)
    high = counts > judging.hot_ratio * raised
    result: Array = np.maximum(np.where(high, _surprise(counts, raised), 0.0) - np.log10(len(model.part)), 0.0)
    return result


def _neighbours(model: Occupancy, counts: Array, expected: Array) -> Array:
    """Median of observed over expected of the cells around each: where all are high, none is a hot channel."""
    from scipy import ndimage  # noqa: PLC0415 - only where there are maps

    shape = (len(counts), *model.shape)
    ratio = np.divide(counts, expected, out=np.ones_like(counts), where=expected > 0)
    footprint = np.ones((1, *(3 for _ in model.shape)), dtype=bool)
    return np.asarray(ndimage.median_filter(ratio.reshape(shape), footprint=footprint, mode="nearest")).reshape(counts.shape)


def _surprise(counts: Array, expected: Array) -> Array:
    """-log10 of the Chernoff bound; 0 where counts are as expected."""
    positive = np.maximum(expected, 1e-300)
    exponent = positive - counts + counts * np.log(np.maximum(counts, 1e-300) / positive)
    result: Array = np.maximum(exponent, 0.0) / LN10
    return result


def _cost_per_cell(model: Occupancy) -> float:
    return float(np.log10(SHAPES_PER_CELL)) if len(model.shape) > 1 else 0.0


def _label(low: NDArray[np.bool_], shape: tuple[int, ...]) -> tuple[NDArray[np.int64], int]:
    """Numbers the connected regions of all rows, from 1; labels: shape (n, cells), 0 outside."""
    from scipy import ndimage  # noqa: PLC0415

    structure = ndimage.generate_binary_structure(len(shape), 1)
    within_row = np.zeros((3, *structure.shape), dtype=bool)
    within_row[1] = structure
    labels, count = ndimage.label(low.reshape(len(low), *shape), within_row)
    return np.asarray(labels, dtype=np.int64).reshape(low.shape), int(count)


def _region_scores(labels: NDArray[np.int64], count: int, counts: Array, lowered: Array, model: Occupancy) -> Array:
    """Score of each region, shape (count,)."""
    inside = labels > 0
    number = labels[inside] - 1
    size = np.bincount(number, minlength=count)
    observed, expected = (np.bincount(number, array[inside], count).astype(np.float64) for array in (counts, lowered))
    places = np.log10(len(model.part)) + size * _cost_per_cell(model)
    result: Array = np.maximum(_surprise(observed, expected) - places, 0.0)
    return result


def _first_of_row(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The row of each region, shape (count,)."""
    row, cell = np.nonzero(labels)
    result = np.zeros(count, dtype=np.int64)
    result[labels[row, cell] - 1] = row
    return result
