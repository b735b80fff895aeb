"""A histogram against its reference, as the detector `reference` compares them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Histogram
from detectors.figure import HistogramFigure, MapFigure
from detectors.picturing import histogram_figure, map_figure
from detectors.shapes import Windows

Array = NDArray[np.float64]

CHANCE_OF_ANY = 0.01
"""Pulls are suspicious beyond what one of all bins reaches with this chance in a normal interval."""
SIDE_EFFECT = 0.3
"""Bins that are not so far off as this part of the worst are not marked: one very hot bin makes all others look low."""
MARKED_MOST = 200


def pull_limit(bins: int) -> float:
    """The pull that one of so many normal bins exceeds, up or down, with CHANCE_OF_ANY."""
    from scipy.special import ndtri  # noqa: PLC0415 - only where a picture is drawn

    return float(-ndtri(CHANCE_OF_ANY / (2 * max(1, bins))))


def suspicious_bins(pull: Array, windows: Windows, limit: float) -> NDArray[np.bool_]:
    """Bins beyond the limit; where there is none, those of the strongest window, which stands out as a whole. Shape (bins,)."""
    beyond = _beyond(pull[: windows.bins], limit)
    if not beyond.any() and len(pull):
        strongest = int(np.argmax(np.abs(pull)))
        beyond[int(windows.start[strongest]) : int(windows.stop[strongest])] = True
    return beyond


def count_picture(
    histogram: Histogram, counts: Array, expected: Array, pull: Array, dispersion: Array, windows: Windows
) -> HistogramFigure | MapFigure:
    """counts: shape (bins,); expected, pull, dispersion (relative variance beyond counting): of all features, shape (features,)."""
    bins = windows.bins
    expected, limit = expected[:bins], pull_limit(bins)
    suspicious = suspicious_bins(pull, windows, limit)
    if len(histogram.axes) == 2:
        return map_figure(histogram, "entries", counts, expected, _worst(pull[:bins], suspicious), region=False)
    errors = np.sqrt(np.maximum(counts, 1.0)), np.sqrt(dispersion[:bins]) * expected
    return histogram_figure(histogram, "entries", (counts, errors[0]), (expected, errors[1]), pull[:bins], limit, suspicious)


def profile_picture(
    histogram: Histogram, entries: Array, mean: Array, variance: Array, usual: Array, spread_squared: Array, pull: Array
) -> HistogramFigure | MapFigure:
    """All of shape (bins,): effective entries, mean and variance of y, and the usual mean with its variance beyond counting."""
    limit = pull_limit(len(pull))
    suspicious = _beyond(pull, limit)
    if not suspicious.any():
        suspicious[int(np.argmax(np.abs(pull)))] = True
    if len(histogram.axes) == 2:
        return map_figure(histogram, "mean", mean, usual, _worst(pull, suspicious), region=False)
    error = np.sqrt(variance / np.maximum(entries, 1.0))
    return histogram_figure(histogram, "mean", (mean, error), (usual, np.sqrt(spread_squared)), pull, limit, suspicious)


def _beyond(pull: Array, limit: float) -> NDArray[np.bool_]:
    far = np.abs(pull)
    result: NDArray[np.bool_] = far > max(limit, SIDE_EFFECT * float(far.max(initial=0.0)))
    return result


def _worst(pull: Array, suspicious: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Suspicious cells, worst first."""
    cells = np.flatnonzero(suspicious)
    return cells[np.argsort(-np.abs(pull[cells]), kind="stable")][:MARKED_MOST]
