"""Logarithms of small tail probabilities that do not underflow: natural logarithms throughout."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _log_ndtr(x: Array) -> Array:
    from scipy.special import log_ndtr  # noqa: PLC0415 - not where a process has no histograms

    return np.asarray(log_ndtr(x))


def log_two_sided(pull: Array) -> Array:
    """Of a normal value that is at least this far from 0 on either side."""
    return np.asarray(np.minimum(_log_ndtr(-np.abs(pull)) + np.log(2.0), 0.0))


def log_any_of(log_p: Array, trials: Array) -> Array:
    """Of at least one of `trials` independent events of this probability: 1 - (1 - p)^trials (Dunn and Sidak)."""
    p = np.exp(log_p)
    with np.errstate(divide="ignore"):
        exact = np.log(-np.expm1(trials * np.log1p(-np.minimum(p, 1.0))))
    return np.asarray(np.where(p < 1e-12, np.minimum(log_p + np.log(np.maximum(trials, 1.0)), 0.0), exact))


def log_chi_square(chi_square: Array, degrees: Array) -> Array:
    """Of a chi-square at least as high, by the cube-root approximation (E. Wilson, M. Hilferty, PNAS 17 (1931) 684)."""
    freedom = np.maximum(degrees, 0.1)
    width = 2.0 / (9.0 * freedom)
    z = (np.cbrt(chi_square / freedom) - (1.0 - width)) / np.sqrt(width)
    return np.asarray(np.where(degrees > 0, _log_ndtr(-z), 0.0))
