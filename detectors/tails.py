"""Generalised Pareto tails: how rare a score is that lies beyond everything that was seen.

Above a high threshold the excesses of almost any distribution follow a generalised Pareto distribution (J. Pickands, Ann.
Statist. 3 (1975) 119). It is fitted with probability-weighted moments, which are stable in small samples (J. Hosking and
J. Wallis, Technometrics 29 (1987) 339).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHAPE_LOWEST, SHAPE_HIGHEST = -0.05, 1.0
"""Tails of Gaussian scores look lighter than the lowest at moderate heights, and are not further out."""
SHAPE_GAP = 1e-3
"""The formulas have a gap at 0; shapes that are nearer to it are put here."""
SHAPE_USUAL, USUAL_EXCESSES = 0.1, 50.0
"""Shape that is expected before anything is seen, and its weight in excesses."""
SHAPE_FAR = 0.1
"""Far beyond what was seen no lighter tail is believed: no sample shows that a score can never be exceeded. With this shape the
probability still falls as the tenth power of the excess."""
FAR = 10.0
"""Excesses are far where fewer than one in so many samples is expected there, also if all units of the pool are one sample."""
POOLED_EXCESSES = 100.0
"""Weight of the common shape of a pool against a unit's own, in excesses, as long as it is not known how much units differ."""
DIFFERENCES_KNOWN = 10.0
"""Units whose differences weigh as much as that assumption."""
MATCHED_EXCESSES, MATCHED_LEAST = 30.0, 1000.0
"""Of a pool with so many excesses at least, as many as this are as rare by its tails as they were."""
MATCHED_WITHIN, MATCHED_HALVINGS = 0.3, 12
"""The most that the shapes of a pool are moved for that, and how finely."""
VARIANCE_LEAST, SMALLEST_MEAN = 1e-6, 1e-300
SHAPE_WITH_MEAN = 0.9
"""Tails of a shape of 1 have no mean; of those near it, that of this one is taken."""
SPREAD_FLOOR_RATIO = 0.25
"""A unit's tail is at least this wide, in parts of its pool's typical width."""
DEGENERATE_SPREAD = 1.0
"""Width of the tail where no score of a pool ever varied. Scores are made such that 1 is noticeable."""

Array = NDArray[np.float64]

COLUMNS = ("spread", "shape", "far", "far_survival", "far_spread", "far_shape")
"""What describes a tail: its spread and shape; the excess from which on it is far, its survival there, and spread and shape
beyond. A generalised Pareto tail above any of its values is one again, which makes the two parts fit."""


def fit_tails(excesses: Array, counts: NDArray[np.int64], pool: NDArray[np.int64], theta: Array) -> Array:
    """The tail of each unit, shape (units, len(COLUMNS)).

    excesses: shape (units, k), falling, NaN after the first `counts` of a unit; pool: shape (units,), units with the same
    number share the estimate of the shape; theta: shape (pools,), independent excesses for each excess (extremal index).

    A spread that is known from n independent excesses makes the tail heavier: averaged over what the spread may be, an
    exponential tail has the shape 1/n (a Pareto tail), and so much is added to every shape.
    """
    pools = int(pool.max(initial=-1)) + 1
    mean, own = _moments(excesses, counts)
    shape = _drawn_together(own, counts, pool, pools)
    together = np.bincount(pool, counts, pools)
    for number in np.flatnonzero(together >= MATCHED_LEAST):
        among = np.flatnonzero(pool == number)
        shape[among] = _matched(excesses[among], counts[among], mean[among], shape[among], theta[number])
    spread = mean * (1.0 - np.minimum(shape, SHAPE_WITH_MEAN))  # the mean excess of a generalised Pareto tail is spread / (1 - shape)
    spread = np.maximum(spread, SPREAD_FLOOR_RATIO * _typical_spread(spread, pool, pools)[pool])
    shape = _heavier(shape, counts, theta[pool] if len(pool) else theta)
    of_pool = np.bincount(pool, counts, pools)[pool] if len(pool) else np.empty(0)
    far_survival = 1.0 / np.maximum(FAR * np.maximum(counts, 1), of_pool)
    far = spread / shape * (far_survival**-shape - 1.0)
    return np.column_stack([spread, shape, far, far_survival, spread + shape * far, np.maximum(shape, SHAPE_FAR)])


def survival(excess: Array, tail: Array) -> Array:
    """Probability of an excess of at least this much above the threshold, given that it is exceeded; shape (k,).

    excess: shape (k,); tail: shape (k, columns), see COLUMNS.
    """
    spread, shape, far, far_survival, far_spread, far_shape = tail.T
    with np.errstate(over="ignore"):  # an excess of more spreads than there are numbers is beyond any tail: probability 0
        near = (1.0 + shape * np.clip(excess, 0.0, far) / spread) ** (-1.0 / shape)
        further = far_survival * (1.0 + far_shape * np.maximum(excess - far, 0.0) / far_spread) ** (-1.0 / far_shape)
    result: Array = np.where(excess <= far, near, further)
    return result


def excess_at(chance: Array, tail: Array) -> Array:
    """The excess above the threshold whose `survival` is `chance`, shape (k,); chance: above 0, shape (k,)."""
    spread, shape, _, far_survival, far_spread, far_shape = tail.T
    chance = np.minimum(chance, 1.0)
    near = spread / shape * (np.maximum(chance, far_survival) ** -shape - 1.0)
    further = far_spread / far_shape * (np.minimum(chance / far_survival, 1.0) ** -far_shape - 1.0)
    result: Array = near + further
    return result


def _drawn_together(shape: Array, counts: NDArray[np.int64], pool: NDArray[np.int64], pools: int) -> Array:
    """Shapes drawn towards that of their pool, and this towards the usual one.

    The less the units of a pool differ by more than chance, the more (empirical Bayes). By chance a shape varies with the
    variance that Hosking and Wallis give (Technometrics 29 (1987) 339, equation 12), divided by the number of excesses.
    """
    usable = np.isfinite(shape)
    weight = np.where(usable, counts, 0).astype(np.float64)
    own = np.where(usable, shape, 0.0)
    total = np.bincount(pool, weight, pools) + USUAL_EXCESSES
    common = (np.bincount(pool, weight * own, pools) + USUAL_EXCESSES * SHAPE_USUAL) / total
    at = np.clip(common, -0.4, 0.4)  # it is finite below 1/2
    by_chance = (1.0 - at) * (1.0 - at + 2.0 * at**2) * (2.0 - at) ** 2 / ((1.0 - 2.0 * at) * (3.0 - 2.0 * at))
    units = np.bincount(pool, usable, pools)
    middle = np.bincount(pool, own, pools) / np.maximum(units, 1)
    beyond_chance = np.where(usable, (own - middle[pool]) ** 2 - by_chance[pool] / np.maximum(weight, 1.0), 0.0)
    degrees = np.maximum(units - 1, 0)
    expected = DIFFERENCES_KNOWN * by_chance / POOLED_EXCESSES
    varies = (expected + np.where(degrees > 0, np.bincount(pool, beyond_chance, pools), 0.0)) / (DIFFERENCES_KNOWN + degrees)
    pooled = (by_chance / np.maximum(varies, VARIANCE_LEAST))[pool]
    drawn: Array = np.clip((weight * own + pooled * common[pool]) / (weight + pooled), SHAPE_LOWEST, SHAPE_HIGHEST)
    return drawn


def _matched(excesses: Array, counts: NDArray[np.int64], mean: Array, shape: Array, theta: float) -> Array:
    """Shapes of the units of one pool, all moved alike, so that as many of its excesses are as rare as MATCHED_EXCESSES as were.

    No unit alone has seen excesses that are as rare as a promise over many units asks for; all together have. Each excess is
    judged by the mean of the others of its unit: with its own in it, a far one would make itself look usual.
    """
    n = np.maximum(counts, 2)[:, None]
    in_means = excesses / np.maximum((n * mean[:, None] - excesses) / (n - 1), SMALLEST_MEAN)
    unit, _ = np.nonzero(in_means > 2.0)  # others are not rare
    far = in_means[in_means > 2.0]
    rare = MATCHED_EXCESSES / counts.sum()
    low, high = -MATCHED_WITHIN, MATCHED_WITHIN
    for _ in range(MATCHED_HALVINGS):
        moved = np.clip(shape + (low + high) / 2, SHAPE_LOWEST, SHAPE_HIGHEST)
        heavier = _heavier(moved, counts, theta)
        base = np.maximum(1.0 + heavier[unit] * far / (1.0 - np.minimum(moved, SHAPE_WITH_MEAN))[unit], 0.0)
        with np.errstate(divide="ignore"):  # beyond the end of a light tail
            chance = np.where(base > 0, base ** (-1.0 / heavier[unit]), 0.0)
        if np.count_nonzero(chance <= rare) > MATCHED_EXCESSES:
            low = (low + high) / 2
        else:
            high = (low + high) / 2
    result: Array = np.clip(shape + (low + high) / 2, SHAPE_LOWEST, SHAPE_HIGHEST)
    return result


def _heavier(shape: Array, counts: NDArray[np.int64], theta: Array | float) -> Array:
    """Shapes, made heavier by what is not known of the spread; see `fit_tails`."""
    result = np.minimum(shape + 1.0 / np.maximum(counts * theta, 1.0), SHAPE_HIGHEST)
    return np.where(np.abs(result) < SHAPE_GAP, SHAPE_GAP, result)


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
