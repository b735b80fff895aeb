"""Rows before the block that is being scored, so that windows reach over the edges of blocks; and where rows are missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame

GAP_STEPS = 5.0
"""Rows further apart than so many usual steps do not make a window together."""


def usual_step_ns(frame: Frame) -> int:
    """Median time between rows; 0 where there are fewer than two."""
    return int(np.median(np.diff(frame.time_ns))) if len(frame) > 1 else 0


def breaks(time_ns: NDArray[np.int64], before_ns: int, step_ns: int) -> NDArray[np.int64]:
    """Rows that come after a gap, rising; before_ns: time of the row before the first one."""
    if step_ns <= 0:
        return np.empty(0, dtype=np.int64)
    gaps = np.diff(time_ns, prepend=np.int64(before_ns)) > GAP_STEPS * step_ns
    return np.flatnonzero(gaps)


def whole_windows(time_ns: NDArray[np.int64], window: int, step_ns: int) -> NDArray[np.bool_]:
    """Rows that end a window without a gap; shape (n,)."""
    start = np.zeros(len(time_ns), dtype=np.int64)
    if len(time_ns):
        after = breaks(time_ns, int(time_ns[0]), step_ns)
        start[after] = after
        start = np.maximum.accumulate(start)
    return np.arange(len(time_ns)) - start >= window - 1
