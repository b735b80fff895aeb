"""Shapes of many histograms of equal size against their reference: pulls of bins and of windows of neighbouring bins.

The reference is the sum of normal intervals. A count is compared with its part of the entries of the interval, so that more
luminosity is no alarm; its variance has three sources: counting, the statistics of the reference, and a relative systematic
spread that the history shows beyond them. Counting with such a spread is a gamma mixture of Poisson distributions; the signed
root of its deviance is the pull (for small parts this is the beta-binomial comparison of AutoDQM, arXiv:2501.13789). It is
worked out where a quick, variance-stabilised pull (F. Anscombe, Biometrika 35 (1948) 246) is suspicious.

Windows of 2, 4, 8 … neighbouring bins make the comparison depend on the order of bins: a peak that moves by half a bin shifts
many bins by little, on one side up and on the other down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.tail_logs import log_any_of, log_chi_square, log_two_sided

Array = NDArray[np.float64]

SUSPICIOUS = 2.5
EXPECTED_LEAST = 1.0
"""Bins in which less is expected take no part in chi-square."""
PART_MOST = 0.9
"""A window that holds more of all entries says nothing that the rest does not say."""
OUTLYING = 25.0
"""Squared relative deviations count at most as this many times the typical one when the spread is learned."""
MEDIAN_CHI_SQUARE = 0.455


@dataclass(frozen=True, eq=False)
class Windows:
    """Single bins first, then windows of neighbours; start and stop: shape (features,)."""

    bins: int
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    @classmethod
    def of(cls, bins: int, *, neighbours: bool) -> Windows:
        """With windows of 2, 4, 8 … bins up to half of all, each overlapping the next by half, where bins are `neighbours`."""
        start, stop = [np.arange(bins)], [np.arange(bins) + 1]
        width = 2
        while neighbours and width <= bins // 2:
            first = np.arange(0, bins - width + 1, width // 2)
            start.append(first)
            stop.append(first + width)
            width *= 2
        return cls(bins, np.concatenate(start), np.concatenate(stop))

    def sums(self, counts: Array) -> Array:
        """Counts of each feature; shape (..., bins) to (..., features)."""
        if len(self.start) == self.bins:
            return counts
        running = np.concatenate([np.zeros((*counts.shape[:-1], 1)), np.cumsum(counts, axis=-1)], axis=-1)
        windows = running[..., self.stop[self.bins :]] - running[..., self.start[self.bins :]]
        return np.concatenate([counts, windows], axis=-1)


@dataclass(frozen=True, eq=False)
class Compared:
    """pull, expected: shape (n, histograms, features); degrees: bins that count in chi-square, (n, histograms)."""

    pull: Array
    expected: Array
    counted: NDArray[np.bool_]

    def score(self, bins: int, chi_scale: Array, chi_freedom: Array) -> Array:
        """-log10 of the chance of the highest pull or of chi-square, the smaller one; shape (n, histograms).

        chi_scale, chi_freedom: shape (histograms,), see `learn_counts`.
        """
        highest = np.abs(self.pull).max(axis=-1, initial=0.0)
        trials = np.full(highest.shape, float(self.pull.shape[-1]))
        log_highest = log_any_of(log_two_sided(highest), trials)
        chi_square, degrees = self.chi_square(bins)
        log_chi = log_chi_square(chi_square / chi_scale * chi_freedom, degrees * chi_freedom)
        either = np.minimum(np.minimum(log_highest, log_chi) + np.log(2.0), 0.0)
        result: Array = 0.0 - either / np.log(10.0)
        return result

    def chi_square(self, bins: int) -> tuple[Array, Array]:
        """Sum of the squared pulls of single bins, and the degrees of freedom; both (n, histograms)."""
        squares = np.where(self.counted, self.pull[..., :bins] ** 2, 0.0)
        return squares.sum(axis=-1), np.maximum(self.counted.sum(axis=-1) - 1.0, 0.0)


def learn_counts(counts: Array, windows: Windows, tolerance_ratio: float) -> dict[str, Array]:
    """Reference of one histogram; counts: shape (n, bins), rows that can be judged.

    Returns `part` of all entries and `dispersion` (relative variance beyond counting) of each feature, shape (features,), and
    of shape () `chi_scale` and `chi_freedom`: bins that change together make chi-square larger and as if of fewer bins.
    """
    content = windows.sums(counts)
    totals, reference = counts.sum(axis=1, keepdims=True), content.sum(axis=0)
    part = np.maximum(reference, 0.5) / totals.sum()
    expected = totals * part
    relative = ((content - expected) / expected) ** 2
    typical = np.maximum(np.median(relative, axis=0) / MEDIAN_CHI_SQUARE, (1.0 / expected).mean(axis=0))
    squares = (expected**2).sum(axis=0)
    beyond = (expected**2 * np.minimum(relative, OUTLYING * typical)).sum(axis=0) - (expected * (1.0 - part)).sum(axis=0)
    noise = np.sqrt(2.0 * squares)  # of the sum of squared Poisson fluctuations
    dispersion = np.maximum((beyond - noise) / squares, tolerance_ratio**2) + 1.0 / (reference + 1.0)
    learned = {"part": part, "dispersion": dispersion}
    compared = compare_counts(counts[:, None], windows, part[None], dispersion[None])
    return {**learned, **_chi_square_of(compared, windows.bins)}


def compare_counts(counts: Array, windows: Windows, part: Array, dispersion: Array) -> Compared:
    """counts: shape (n, histograms, bins); part and dispersion: shape (histograms, features)."""
    content = windows.sums(counts)
    expected = counts.sum(axis=-1, keepdims=True) * part
    rest = np.sqrt(np.maximum(1.0 - part, 1.0 - PART_MOST))
    pull = 2.0 * (np.sqrt(content + 0.375) - np.sqrt(expected + 0.375)) / (np.sqrt(1.0 + dispersion * expected) * rest)
    suspects = np.abs(pull) > SUSPICIOUS
    if suspects.any():
        alpha = np.broadcast_to(dispersion, pull.shape)[suspects]
        exact = _deviance_root(content[suspects], expected[suspects], alpha)
        pull[suspects] = exact / np.broadcast_to(rest, pull.shape)[suspects]
    pull *= part <= PART_MOST
    return Compared(pull, expected, expected[..., : windows.bins] >= EXPECTED_LEAST)


def learn_profile(entries: Array, mean: Array, variance: Array, tolerance_ratio: float) -> dict[str, Array]:
    """Reference of one profile; entries (effective), mean and variance of y in each bin: shape (n, bins).

    Returns `mean`, `variance` of y (NaN in bins that are never filled) and `spread_squared`, the variance of the mean that is
    there beyond counting, shape (bins,), and `chi_scale` and `chi_freedom` as for counts.
    """
    weight = np.where(np.isfinite(mean), entries, 0.0)
    total = weight.sum(axis=0)
    safe = np.maximum(total, 1e-300)
    usual = np.where(total > 0, (weight * np.nan_to_num(mean)).sum(axis=0) / safe, np.nan)
    within = np.where(total > 0, (weight * np.nan_to_num(variance)).sum(axis=0) / safe, np.nan)
    rows = np.maximum((weight > 0).sum(axis=0), 1)
    deviation = np.where(weight > 0, (mean - usual) ** 2, 0.0)
    counting = np.where(weight > 0, within / np.maximum(weight, 1e-300), 0.0)
    noise = np.sqrt(2.0 * (counting**2).sum(axis=0))
    beyond = np.maximum(deviation.sum(axis=0) - counting.sum(axis=0) - noise, 0.0) / rows
    spread_squared = np.maximum(beyond, tolerance_ratio**2 * within) + within / safe
    compared = compare_profiles(entries[:, None], mean[:, None], usual[None], within[None], spread_squared[None])
    return {"mean": usual, "variance": within, "spread_squared": spread_squared, **_chi_square_of(compared, len(usual))}


def compare_profiles(entries: Array, mean: Array, usual: Array, variance: Array, spread_squared: Array) -> Compared:
    """entries, mean: shape (n, histograms, bins); the others: shape (histograms, bins). Expected is the usual mean."""
    counted = (entries >= EXPECTED_LEAST) & np.isfinite(mean) & np.isfinite(usual) & (variance + spread_squared > 0)
    width = np.sqrt(np.where(counted, variance / np.maximum(entries, EXPECTED_LEAST) + spread_squared, 1.0))
    pull = np.where(counted, (mean - usual) / width, 0.0)
    return Compared(pull, np.broadcast_to(usual, pull.shape), counted)


def _deviance_root(content: Array, expected: Array, dispersion: Array) -> Array:
    """Signed square root of the deviance of counts with variance expected + dispersion expected^2."""
    logged = content * np.log(np.maximum(content, 1e-300) / expected)
    deviance = 2.0 * (logged - (content + 1.0 / dispersion) * np.log1p(dispersion * (content - expected) / (1.0 + dispersion * expected)))
    return np.asarray(np.sign(content - expected) * np.sqrt(np.maximum(deviance, 0.0)))


def _chi_square_of(compared: Compared, bins: int) -> dict[str, Array]:
    """How chi-square of normal intervals is distributed: its mean for a degree of freedom, and the part of these that are free.

    Two moments are matched (F. Satterthwaite, Biometrics Bull. 2 (1946) 110); the mean is at least 1, the part at most 1.
    """
    chi_square, degrees = compared.chi_square(bins)
    reduced = chi_square / np.maximum(degrees, 1.0)
    capped = np.minimum(reduced, OUTLYING * np.median(reduced))
    mean, variance = float(capped.mean()), float(capped.var())
    freedom = 2.0 * mean**2 / (variance * max(float(degrees.mean()), 1.0)) if variance > 0 else 1.0
    return {"chi_scale": np.asarray(max(1.0, mean)), "chi_freedom": np.asarray(min(1.0, freedom))}
