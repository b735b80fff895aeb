"""Intervals of means over the items of a suite, by resampling the items (B. Efron, Ann. Stat. 7 (1979) 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

SAMPLES: Final = 4000
LEVEL: Final = 0.95


def mean_known(values: Sequence[float]) -> float:
    """Mean of the figures that make sense: an item without any event has no area. NaN where none does."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def interval(values: Sequence[float], seed: int = 0, level: float = LEVEL) -> tuple[float, float]:
    """Where the mean lies with this probability. Paired gains: give the differences. NaN with fewer than two values."""
    known = np.array([value for value in values if np.isfinite(value)], dtype=np.float64)
    if len(known) < 2:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(len(known), size=(SAMPLES, len(known)))
    low, high = np.quantile(known[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
