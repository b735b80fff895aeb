"""Centre and spread of channels that a few bad rows do not move, with floors that keep constant channels quiet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAD_TO_SIGMA = 1.4826
"""Standard deviation over median absolute deviation of normal data (P. Rousseeuw, C. Croux, J. Am. Stat. Assoc. 88 (1993))."""
RANGE_QUANTILES = (0.005, 0.995)
RANGE_IN_SIGMA = 5.15
"""Width of that range for normal data. Channels with bursts have a small deviation and a wide range: both count."""
CONSTANT_RATIO = 0.01
"""A channel that never changed is as wide as this part of its value; one that was always zero is 1 wide, in its own unit."""
READINGS_LEAST = 20
"""Readings without which a channel is not learned."""
READING_MOST, SPREAD_LEAST = 1e100, 1e-50
"""Readings further from 0, infinite ones too, count as this far, and no spread is smaller: a reading in spreads is always a number, and
so is the sum of the squares of a million. Otherwise a reading of 3 from a channel that had always been denormal would be infinite, and
a detector would take it for missing."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """Of each key: centre, spread (at least `floor`, never 0) and floor, all of shape (keys,), in the unit of the channel."""

    keys: tuple[str, ...]
    centre: Array
    spread: Array
    floor: Array

    def standardised(self, readings: Array, position: NDArray[np.int64]) -> Array:
        """Readings of channels at these positions among the keys, in spreads from the centre; shape as given, NaN where there is none."""
        z: Array = np.clip(readings, -READING_MOST, READING_MOST)
        z -= self.centre[position]
        z /= self.spread[position]
        return z

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {"keys": list(self.keys), "centre": self.centre, "spread": self.spread, "floor": self.floor}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Scaling:
        """From a `state`."""
        return cls(tuple(state["keys"]), *(np.asarray(state[name], dtype=np.float64) for name in ("centre", "spread", "floor")))


def learn_scaling(keys: tuple[str, ...], readings: Array) -> Scaling:
    """Scaling of all channels that have readings enough; readings: shape (n, len(keys)), NaN where there is none."""
    readings = np.clip(readings, -READING_MOST, READING_MOST)
    counts = np.isfinite(readings).sum(axis=0)
    kept = np.flatnonzero(counts >= READINGS_LEAST)
    rising, counts = np.sort(readings[:, kept], axis=0), counts[kept]
    centre = quantile(rising, counts, 0.5)
    floor = _floor(rising, counts, centre)
    return Scaling(tuple(keys[i] for i in kept), centre, np.maximum(_spread(rising, counts, centre), floor), floor)


def spread_of(values: Array, centre: Array | float = 0.0) -> Array:
    """Spread about a centre of each column, without a floor; 0 for a column without values. values: NaN where there is none."""
    counts = np.isfinite(values).sum(axis=0)
    rising = np.sort(values, axis=0)
    return np.where(counts > 0, _spread(rising, np.maximum(counts, 1), np.broadcast_to(centre, counts.shape)), 0.0)


def _spread(rising: Array, counts: NDArray[np.int64], centre: Array) -> Array:
    deviation = quantile(np.sort(np.abs(rising - centre), axis=0), counts, 0.5)
    low, high = (quantile(rising, counts, q) for q in RANGE_QUANTILES)
    result: Array = np.maximum(MAD_TO_SIGMA * deviation, (high - low) / RANGE_IN_SIGMA)
    return result


def _floor(rising: Array, counts: NDArray[np.int64], centre: Array) -> Array:
    """The resolution of the readings: the smallest step between two that differ."""
    steps = np.diff(rising, axis=0)
    steps = np.where(steps > 0, steps, np.inf).min(axis=0, initial=np.inf)
    steps = np.maximum(steps, 4 * np.finfo(np.float32).eps * np.abs(centre))
    constant = np.where(centre == 0, 1.0, CONSTANT_RATIO * np.abs(centre))
    highest = np.take_along_axis(rising, (counts - 1)[None], axis=0)[0] if len(rising) else centre
    floor = np.where(highest > rising[0], steps, constant) if len(rising) else constant
    return np.maximum(floor, SPREAD_LEAST)


def quantile(rising: Array, counts: NDArray[np.int64], q: float) -> Array:
    """Quantile of the finite values of each column, which stand first and rise; counts: how many those are, above 0."""
    position = q * (counts - 1)
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, counts - 1)
    low, high = (np.take_along_axis(rising, index[None], axis=0)[0] for index in (below, above))
    result: Array = low + (position - below) * (high - low)
    return result
