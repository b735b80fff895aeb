"""The range that a channel usually has, as its history shows it again and again: one glitch or incident does not make it wider.

A mean and a standard deviation are carried away by a single wild reading, and a detector that measures in them is blind to that
channel from then on. What is to be usual must have been seen at several times.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.scaling import quantile

Array = NDArray[np.float64]

PARTS = 20
"""The history is looked at in so many parts, one after the other."""
PARTS_LEAST, ROWS_LEAST = 3, 0.01
"""What is reached in fewer of them, and in a smaller part of the rows, is not usual but a glitch or an incident. A level that came to
stay near the end of the history is usual, and so is a job that runs for a minute each day."""
MARGIN = 1.0
"""So many times its usual range a channel may still lie beyond it."""


def usual_limits(z: Array, there: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Lowest and highest value that is believed of each channel, both of shape (d,); equal for a channel that is usually constant.

    z: readings, shape (n, d), row after row in time; there: where there is one. 0 and 0 for a channel without readings.
    """
    edges = np.linspace(0, len(z), min(PARTS, len(z)) + 1).astype(np.int64)[:-1]
    if not len(edges):
        return np.zeros(z.shape[1]), np.zeros(z.shape[1])
    high = _seen_often(np.maximum.reduceat(np.where(there, z, -np.inf), edges, axis=0))
    low = -_seen_often(-np.minimum.reduceat(np.where(there, z, np.inf), edges, axis=0))
    rising, counts = np.sort(np.where(there, z, np.nan), axis=0), np.maximum(there.sum(axis=0), 1)
    low = np.fmin(low, quantile(rising, counts, ROWS_LEAST))
    high = np.fmax(high, quantile(rising, counts, 1.0 - ROWS_LEAST))
    margin = MARGIN * np.maximum(high - low, 0.0)
    return low - margin, high + margin


def within_limits(z: Array, there: NDArray[np.bool_]) -> Array:
    """The readings, those beyond the limits put to the limit; 0 where there is none."""
    low, high = usual_limits(z, there)
    return np.where(there, np.clip(z, low, high), 0.0)


def _seen_often(highest: Array) -> Array:
    """Of the highest values of all parts, shape (parts, d), the one that PARTS_LEAST of them reach, or all where there are fewer."""
    rising = np.sort(highest, axis=0)
    known = np.isfinite(rising).sum(axis=0)
    at = len(rising) - np.clip(known, 1, PARTS_LEAST)
    found = np.take_along_axis(rising, at[None], axis=0)[0]
    return np.where(known > 0, found, 0.0)
