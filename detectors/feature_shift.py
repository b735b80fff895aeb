"""Whether recent cases are like those that a model learned from: a two-sample test over several features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CASES_LEAST = 20
"""On either side, or nothing is said."""
DISTANCE_LEAST = 0.2
"""A smaller distance changes little, however many cases prove it."""
PERMUTATIONS = 500
LEVEL = 0.01
"""Chance of a false report for each look."""


@dataclass(frozen=True, slots=True)
class Shift:
    """The feature that differs most: the distance of its distributions, and the one that chance exceeds once in 1 / LEVEL looks."""

    feature: str
    distance: float
    by_chance: float

    def in_words(self) -> str:
        """Such as "recent findings differ in duration from those that were labelled (distance 0.62, by chance at most 0.31)"."""
        name = self.feature.replace("_", " ")
        size = f"distance {self.distance:.2f}, by chance at most {self.by_chance:.2f}"
        return f"recent findings differ in {name} from those that were labelled ({size})"


def shifted(before: Array, recent: Array, features: Sequence[str], seed: int = 0) -> Shift | None:
    """The shift between two samples of shapes (n, features) and (m, features), None where it is small or chance explains it.

    The statistic is the largest Kolmogorov-Smirnov distance over the features; its bound comes from permutations of the rows of
    both samples, so that features may depend on each other (P. Good, Permutation Tests, 2nd ed., 2000).
    """
    if min(len(before), len(recent)) < CASES_LEAST:
        return None
    both = np.concatenate([before, recent])
    is_recent = np.arange(len(both)) >= len(before)
    order = np.argsort(both, axis=0, kind="stable")
    rising = np.take_along_axis(both, order, axis=0)
    ends = np.concatenate([rising[1:] > rising[:-1], np.ones((1, both.shape[1]), dtype=np.bool_)])  # of runs of equal values
    found = _distances(is_recent, order, ends)
    rng = np.random.default_rng(seed)
    drawn = np.sort([_distances(rng.permutation(is_recent), order, ends).max() for _ in range(PERMUTATIONS)])
    by_chance = float(drawn[int(np.ceil((1 - LEVEL) * (PERMUTATIONS + 1))) - 1])
    most = int(found.argmax())
    return Shift(features[most], float(found[most]), by_chance) if found[most] > max(by_chance, DISTANCE_LEAST) else None


def _distances(is_recent: NDArray[np.bool_], order: NDArray[np.int64], ends: NDArray[np.bool_]) -> Array:
    recent = is_recent[order]
    share = recent.cumsum(axis=0) / is_recent.sum() - (~recent).cumsum(axis=0) / (~is_recent).sum()
    result: Array = np.where(ends, np.abs(share), 0.0).max(axis=0)
    return result
