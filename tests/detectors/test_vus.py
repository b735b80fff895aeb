"""VUS-PR and the area under the ROC curve: cases worked by hand, and a plain version that goes row by row."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.evaluation.vus import auc, runs, vus_pr


def labelled(rows: int, *events: tuple[int, int]) -> NDArray[np.bool_]:
    labels = np.zeros(rows, dtype=np.bool_)
    for first, last in events:
        labels[first : last + 1] = True
    return labels


def plain(labels: NDArray[np.bool_], scores: NDArray[np.float64], buffer_rows: int, thresholds: int) -> float:
    """The definition, one width, threshold and row at a time."""
    rows = len(labels)
    falling = sorted(scores, reverse=True)
    cuts = [falling[int(i)] for i in np.linspace(0, rows - 1, thresholds)]
    first, last = runs(labels)
    areas = []
    for width in range(buffer_rows + 1):
        half = width // 2
        worth = [float(label) for label in labels]
        for row in range(rows):
            near = [math.sqrt(1 - d / width) for a, b in zip(first, last, strict=True) for d in (a - row, row - b) if 0 < d <= half]
            if not labels[row] and near:
                worth[row] = min(1.0, sum(near))
        segments: list[list[int]] = []
        for a, b in zip(first, last, strict=True):
            if segments and segments[-1][1] + half >= a - half:
                segments[-1][1] = int(b)
            else:
                segments.append([int(a), int(b)])
        before, area = 0.0, 0.0
        for cut in cuts:
            predicted = scores >= cut
            found = sum(w for w, p in zip(worth, predicted, strict=True) if p)
            partly = found - float((labels & predicted).sum())
            touched = [predicted[max(a - half, 0) : min(b + half, rows - 1) + 1].any() for a, b in segments]
            recall = min(found / (labels.sum() + partly / 2), 1.0) * float(np.mean(touched))
            area += (recall - before) * found / predicted.sum()
            before = recall
        areas.append(area)
    return float(np.mean(areas))


def test_a_perfect_score_without_a_buffer_has_area_one() -> None:
    labels = labelled(10, (4, 5))
    assert vus_pr(labels, labels.astype(float), 0, 10) == pytest.approx(1.0)


def test_equal_scores_have_the_share_of_events_as_precision() -> None:
    assert vus_pr(labelled(10, (4, 5)), np.ones(10), 0, 10) == pytest.approx(0.2)


def test_two_events_of_which_one_is_found_first() -> None:
    # thresholds at scores 3, 2, 1: recall (1/2)(1/2), (2/2)(2/2), 1; precision 1, 2/2, 2/4
    scores = np.array([1.0, 3.0, 1.0, 2.0])
    assert vus_pr(labelled(4, (1, 1), (3, 3)), scores, 0, 4) == pytest.approx(0.25 * 1.0 + 0.75 * 1.0)


def test_a_row_too_early_is_worth_more_with_a_buffer_than_without() -> None:
    labels, early = labelled(100, (50, 54)), labelled(100, (48, 49)).astype(float)
    assert vus_pr(labels, early, 0) < 0.1
    assert vus_pr(labels, early, 20) > 0.3


def test_far_from_the_event_the_buffer_does_not_help() -> None:
    labels, far = labelled(400, (50, 54)), labelled(400, (300, 304)).astype(float)
    assert vus_pr(labels, far, 20) == pytest.approx(vus_pr(labels, far, 0), abs=0.05)


def test_without_an_event_there_is_no_figure() -> None:
    assert math.isnan(vus_pr(labelled(10), np.arange(10.0)))
    assert math.isnan(auc(labelled(10), np.arange(10.0)))


def test_rows_without_a_score_count_as_the_least_anomalous() -> None:
    labels = labelled(10, (4, 5))
    scores = np.where(labels, 2.0, 1.0)
    without = np.where(np.arange(10) < 3, np.nan, scores)
    assert vus_pr(labels, without, 0, 10) == pytest.approx(1.0)
    assert auc(labels, without) == 1.0


def test_area_under_the_roc_curve_counts_ties_half() -> None:
    assert auc(labelled(4, (2, 3)), np.array([0.0, 1.0, 1.0, 2.0])) == pytest.approx((1 + 0.5 + 1 + 1) / 4)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=4, max_size=40).filter(lambda rows: any(label for label, _ in rows)),
    st.integers(0, 9),
)
def test_it_is_what_the_definition_says(rows: list[tuple[bool, int]], buffer_rows: int) -> None:
    labels = np.array([label for label, _ in rows])
    scores = np.array([float(score) for _, score in rows])
    assert vus_pr(labels, scores, buffer_rows, 7) == pytest.approx(plain(labels, scores, buffer_rows, 7))
