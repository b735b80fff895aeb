"""Exponential moving means of many channels at once, which a spike cannot carry away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import compiled

Array = NDArray[np.float64]


def weight_of(rows: float) -> float:
    """Weight of the newest reading in a mean that reaches back over about so many rows."""
    return 2.0 / (rows + 1.0)


@compiled
def moving_means(values: Array, start: Array, weight: float, step_most: Array) -> Array:
    """The mean before the first row and after each row; shape (n + 1, columns).

    values: shape (n, columns), NaN leaves the mean as it is; start: the mean to go on from; step_most: how far a reading
    may pull, readings further away count as this far (P. Huber's influence function); both of shape (columns,).
    """
    n, columns = values.shape
    means = np.empty((n + 1, columns))
    means[0] = start
    for row in range(n):
        for column in range(columns):
            mean = means[row, column]
            step = values[row, column] - mean
            if np.isnan(step):
                means[row + 1, column] = mean
                continue
            limit = step_most[column]
            means[row + 1, column] = mean + weight * min(max(step, -limit), limit)
    return means
