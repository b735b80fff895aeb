"""The level around which the scores of a unit move, and which thresholds go along with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PARTS = 56
"""A window is looked at in so many parts: three hours in one of a week."""
QUANTILE = 0.75
"""Of the highest scores of the parts. What is high in fewer than a quarter of them, whatever its height, does not lift the level."""


def levels(start_ns: NDArray[np.int64], maxima: Array, window_ns: int) -> tuple[Array, Array]:
    """The level before each block, shape (blocks, units), and the one now, shape (units,); NaN where nothing is known.

    maxima: the highest scores of blocks of time that begin at `start_ns`, shape (blocks, units); infinite ones are not known.
    The level is a quantile of the highest scores of the parts of the window before; the blocks of the first window all get
    that of the first window.
    """
    maxima = np.where(np.isfinite(maxima), maxima, np.nan)
    blocks, units = maxima.shape
    if not blocks:
        return np.empty((0, units)), np.full(units, np.nan)
    part_ns = max(1, min(window_ns, int(start_ns[-1] - start_ns[0]) + 1) // PARTS)
    number = start_ns // part_ns
    begins = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
    highest = np.fmax.reduceat(maxima, begins, axis=0)
    kept = min(PARTS, len(begins))
    windows = np.lib.stride_tricks.sliding_window_view(highest, kept, axis=0)  # (parts - kept + 1, units, kept)
    after = np.take_along_axis(np.sort(windows, axis=-1), _rank(windows)[..., None], axis=-1)[..., 0]
    part = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, blocks)))
    return after[np.maximum(part - kept, 0)], after[-1]


def usual(start_ns: NDArray[np.int64], maxima: Array, window_ns: int) -> Array:
    """Median of the highest scores of the blocks within the last window, shape (units,); NaN where nothing is known."""
    recent = maxima[int(np.searchsorted(start_ns, start_ns[-1] - window_ns)) :] if len(start_ns) else maxima
    recent = np.where(np.isfinite(recent), recent, np.nan)
    if not len(recent):
        return np.full(maxima.shape[1], np.nan)
    middle = np.maximum(np.isfinite(recent).sum(axis=0) - 1, 0) // 2
    result: Array = np.take_along_axis(np.sort(recent, axis=0), middle[None, :], axis=0)[0]
    return result


def _rank(windows: Array) -> NDArray[np.int64]:
    """Position of the quantile among the known values of each window, which are sorted first."""
    known = np.isfinite(windows).sum(axis=-1)
    result: NDArray[np.int64] = np.maximum(np.ceil(QUANTILE * known).astype(np.int64) - 1, 0)
    return result
