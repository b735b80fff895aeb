"""Frames written out row by row, and their comparison."""

from __future__ import annotations

from typing import Any

import numpy as np

from collectors.frame import Frame, Layout

S = 1_000_000_000
NAN = np.nan


def frame(layout: Layout, rows: Any, *, first_s: float = 0, step_s: float = 1, dtype: Any = np.float64) -> Frame:
    """Rows at a regular distance."""
    time_ns = (first_s * S + np.arange(len(rows)) * step_s * S).astype(np.int64)
    return Frame(layout, time_ns, np.array(rows, dtype=dtype).reshape(len(rows), layout.width))


def same(one: Any, other: Any) -> bool:
    """Equal, NaN included."""
    return np.array_equal(one, other, equal_nan=True)
