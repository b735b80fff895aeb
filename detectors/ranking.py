"""The highest few of many: scores of groups and what they rest on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def mean_of_highest(values: Array, top: int) -> Array:
    """Mean of the `top` highest values of each row, of fewer where fewer are finite; NaN where none is. Shape (n,).

    The mean over all of a large group would hide one bad channel among many quiet ones.
    """
    n, width = values.shape
    count = np.minimum(np.isfinite(values).sum(axis=1), top)
    if not n or not width:
        return np.full(n, np.nan)
    filled = np.where(np.isfinite(values), values, -np.inf)
    if top < width:
        filled = np.partition(filled, width - top, axis=1)[:, width - top :]
    total = np.where(np.isfinite(filled), filled, 0.0).sum(axis=1)
    mean: Array = np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
    return mean


def shares(values: Array, top: int) -> Array:
    """Part of each value in the mean of the `top` highest, 0 for all others; values: not negative, shape (width,)."""
    part = np.zeros(len(values))
    highest = np.argsort(-values, kind="stable")[:top]
    total = float(values[highest].sum())
    part[highest] = values[highest] / total if total > 0 else 0.0
    return part
