"""Ridge regression with Huber's weights: a fit that single bad rows do not bend."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.scaling import MAD_TO_SIGMA, spread_of

Array = NDArray[np.float64]

HUBER = 1.345
"""Residual, in standard deviations, beyond which a row counts less; 95 % as efficient as least squares on normal data."""
ROUNDS = 8
RIDGE = 1e-3
"""Penalty on the square of each coefficient, in parts of the sum of weights times the variance of its column."""
TINY = 1e-12


def solve(design: Array, reading: Array, weight: Array) -> Array:
    """Coefficients of a weighted ridge regression; shape (columns,). The mean is free and is not part of them.

    design: (n, columns); reading, weight: (n,).
    """
    total = max(float(weight.sum()), TINY)
    centre = weight @ design / total
    x, y = design - centre, reading - float(weight @ reading) / total
    weighted = x * weight[:, None]
    gram = weighted.T @ x
    scale = np.maximum(np.diag(gram), TINY * total)
    gram[np.diag_indices_from(gram)] += RIDGE * scale
    return np.asarray(np.linalg.solve(gram, weighted.T @ y), dtype=np.float64)


def huber_weights(design: Array, reading: Array) -> Array:
    """Weight of each row after iteratively reweighted least squares; shape (n,), 1 for rows near the fit."""
    # the first round starts from readings that are cut off, or a few far ones would draw the fit to themselves
    low, high = np.quantile(reading, (0.02, 0.98))
    weight: Array = np.ones(len(reading))
    target: Array = np.clip(reading, low, high)
    for _ in range(ROUNDS):
        residual = reading - design @ solve(design, target, weight)
        residual -= np.median(residual)
        scale = MAD_TO_SIGMA * float(np.median(np.abs(residual)))
        if scale <= TINY * max(1.0, float(np.abs(reading).max())):
            return (np.abs(residual) <= TINY * max(1.0, float(np.abs(reading).max()))).astype(np.float64) + TINY
        weight = np.asarray(HUBER / np.maximum(np.abs(residual) / scale, HUBER), dtype=np.float64)
        target = reading
    return weight


def held_back_ratio(reading: Array, fitted: Array) -> float:
    """Spread of what is left of readings over that of the readings, the larger one of both halves; 1 where they have none."""
    half = len(reading) // 2
    ratios = []
    for part in (slice(0, half), slice(half, None)):
        both = np.stack([reading[part], reading[part] - fitted[part]], axis=1)
        before, after = spread_of(both, np.median(both, axis=0))
        ratios.append(float(after / before) if before > 0 else 1.0)
    return max(ratios)
