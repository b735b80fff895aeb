"""VUS-PR: the volume under the surface of precision and recall over thresholds and widths of a buffer about each event.

A label says when an event was to the row; a detector that is a few rows early or late is nearly as good. So each event is
widened by a buffer in which rows count in part, and the area under the precision-recall curve is averaged over the widths of
that buffer, from 0 to `BUFFER_ROWS`. Recall also counts which part of the events is touched at all.
Source: J. Paparrizos et al., Volume Under the Surface, PVLDB 15 (2022) 2774, as TSB-AD computes it (Q. Liu and J. Paparrizos,
NeurIPS 2024): 250 thresholds at even ranks of the scores.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

BUFFER_ROWS: Final = 100
THRESHOLDS: Final = 250


def runs(labels: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """First and last row, both included, of each run of rows that are true; labels: shape (n,)."""
    edges = np.diff(np.concatenate([[0], labels.astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1


def vus_pr(labels: NDArray[np.bool_], scores: Array, buffer_rows: int = BUFFER_ROWS, thresholds: int = THRESHOLDS) -> float:
    """VUS-PR, between 0 and 1; NaN where there is no event. labels, scores: shape (n,); higher scores are more anomalous.

    Rows without a score (NaN) count as the least anomalous ones.
    """
    first, last = runs(labels)
    if not len(first):
        return float("nan")
    level = _levels(scores, thresholds)
    areas = [_average_precision(labels, level, first, last, width, thresholds) for width in range(buffer_rows + 1)]
    return float(np.mean(areas))


def auc(labels: NDArray[np.bool_], scores: Array) -> float:
    """Area under the ROC curve of rows: the chance that an anomalous row scores above a normal one, ties count half.

    NaN where all rows are alike. labels, scores: shape (n,); NaN scores are the lowest.
    """
    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        return float("nan")
    _, position, counts = np.unique(_known(scores), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[position]
    return float((ranks[labels].sum() - positive * (positive + 1) / 2.0) / (positive * negative))


def _known(scores: Array) -> Array:
    known = np.isfinite(scores)
    lowest = float(scores[known].min()) if known.any() else 0.0
    highest = float(scores[known].max()) if known.any() else 0.0
    return np.nan_to_num(scores, nan=lowest - 1.0, posinf=highest + 1.0, neginf=lowest - 1.0)


def _levels(scores: Array, thresholds: int) -> Rows:
    """The first threshold that each row reaches, shape (n,); `thresholds` where it reaches none. They fall from first to last."""
    values = _known(scores)
    falling = -np.sort(-values)
    cuts = falling[np.linspace(0, len(values) - 1, thresholds).astype(np.int64)]
    return np.searchsorted(-cuts, -values, side="left")


def _average_precision(labels: NDArray[np.bool_], level: Rows, first: Rows, last: Rows, width: int, thresholds: int) -> float:
    """Area under the curve with buffers of one width, half of it on each side of an event."""
    half = width // 2
    partial = _buffers(labels, first, last, width)
    predicted = _reached(level, thresholds)
    buffered = np.flatnonzero(partial)
    found_partly = _reached(level[buffered], thresholds, partial[buffered])
    found = _reached(level[labels], thresholds) + found_partly
    apart = first[1:] - half > last[:-1] + half
    starts = np.maximum(first[np.append(True, apart)] - half, 0)
    ends = np.minimum(last[np.append(apart, True)] + half, len(labels) - 1)
    touched = np.array([level[a : b + 1].min() for a, b in zip(starts, ends, strict=True)])
    existence = _reached(touched, thresholds) / len(starts)
    positives = int(labels.sum()) + found_partly / 2.0
    recall = np.minimum(found / positives, 1.0) * existence
    precision = found / np.maximum(predicted, 1)
    return float(np.diff(recall, prepend=0.0) @ precision)


def _buffers(labels: NDArray[np.bool_], first: Rows, last: Rows, width: int) -> Array:
    """What each row outside events counts, falling with the distance from the nearest event; shape (n,)."""
    worth = np.zeros(len(labels))
    if width < 2:
        return worth
    distance = np.arange(1, width // 2 + 1)
    falling = np.sqrt(1.0 - distance / width)
    for rows in (last[:, None] + distance, first[:, None] - distance):
        inside = (rows >= 0) & (rows < len(labels))
        np.add.at(worth, rows[inside], np.broadcast_to(falling, rows.shape)[inside])
    worth[labels] = 0.0
    return np.minimum(worth, 1.0)


def _reached(level: Rows, thresholds: int, weights: Array | None = None) -> Array:
    """How much lies at or above each threshold; shape (thresholds,)."""
    counts: Array = np.cumsum(np.bincount(level, weights, thresholds + 1)[:thresholds]).astype(np.float64)
    return counts
