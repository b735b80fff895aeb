"""Generalised Pareto tails: how rare a score is that lies beyond everything that was seen.

Above a high threshold the excesses of almost any distribution follow a generalised Pareto distribution (J. Pickands, Ann.
Statist. 3 (1975) 119). It is fitted with probability-weighted moments, which are stable in small samples (J. Hosking and
J. Wallis, Technometrics 29 (1987) 339).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHAPE_LOWEST = 0.1
"""Lighter tails are not believed: no sample of a few hundred rows shows that a score can never be exceeded. With this shape
the probability still falls as the tenth power of the excess."""
SHAPE_HIGHEST = 1.0
POOLED_EXCESSES = 100.0
"""Weight of the common shape of a pool against a unit's own, in excesses."""
SPREAD_FLOOR_RATIO = 0.25
"""A unit's tail is at least this wide, in parts of its pool's typical width."""
DEGENERATE_SPREAD = 1.0
"""Width of the tail where no score of a pool ever varied. Scores are made such that 1 is noticeable."""

Array = NDArray[np.float64]


def fit_tails(excesses: Array, counts: NDArray[np.int64], pool: NDArray[np.int64]) -> tuple[Array, Array]:
    """Spread and shape of the tail of each unit.

    excesses: shape (units, k), falling, NaN after the first `counts` of a unit; pool: shape (units,), units with the same
    number share the estimate of the shape. Returns two arrays of shape (units,).
    """
    mean, shape = _moments(excesses, counts)
    pools = int(pool.max(initial=-1)) + 1
    usable = np.isfinite(shape)
    weight = np.where(usable, counts, 0).astype(np.float64)
    total = np.bincount(pool, weight, pools)
    common = np.bincount(pool, weight * np.where(usable, shape, 0.0), pools) / np.maximum(total, 1.0)
    own = np.where(usable, shape, 0.0)
    shrunk = (weight * own + POOLED_EXCESSES * common[pool]) / (weight + POOLED_EXCESSES)
    shape = np.clip(shrunk, SHAPE_LOWEST, SHAPE_HIGHEST)
    spread = mean * (1.0 - np.minimum(shape, 0.9))  # the mean excess of a generalised Pareto tail is spread / (1 - shape)
    return np.maximum(spread, SPREAD_FLOOR_RATIO * _typical_spread(spread, pool, pools)[pool]), shape


def survival_ratio(beyond: Array, spread: Array, shape: Array) -> Array:
    """Probability of exceeding the threshold by `beyond` or more, given that it is exceeded; shapes broadcast."""
    result: Array = (1.0 + shape * np.maximum(beyond, 0.0) / spread) ** (-1.0 / shape)
    return result


def _moments(excesses: Array, counts: NDArray[np.int64]) -> tuple[Array, Array]:
    """Mean excess (0 where there is none) and shape (NaN where it cannot be told), each of shape (units,)."""
    n = np.maximum(counts, 1).astype(np.float64)
    known = np.where(np.isfinite(excesses), excesses, 0.0)
    first = known.sum(axis=1) / n
    above = np.arange(excesses.shape[1])  # excesses fall: as many are larger
    second = (known * above).sum(axis=1) / (n * np.maximum(n - 1.0, 1.0))
    denominator = first - 2.0 * second
    told = (counts >= 5) & (denominator > 1e-12 * np.maximum(first, 1e-300)) & (first > 0)
    shape = np.full(len(n), np.nan)
    shape[told] = 2.0 - first[told] / denominator[told]
    return first, shape


def _typical_spread(spread: Array, pool: NDArray[np.int64], pools: int) -> Array:
    """Mean spread of the units of each pool whose scores vary; shape (pools,)."""
    varies = spread > 0
    counts = np.bincount(pool[varies], minlength=pools)
    sums = np.bincount(pool[varies], spread[varies], pools)
    typical: Array = np.where(counts > 0, sums / np.maximum(counts, 1), DEGENERATE_SPREAD / SPREAD_FLOOR_RATIO)
    return typical
