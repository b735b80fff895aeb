from __future__ import annotations

import numpy as np
import pytest

from daemon.optimizer.policies import POLICIES, ranks, scores


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("fcfs", 1000.0),
        ("sjf", 100.0),
        ("saf", 1600.0),
        ("f1", 2.0 * 16 + 870.0 * 3),
        ("f2", 10.0 * 16 + 25600.0 * 3),
        ("f3", 100.0 * 16 + 6.86e6 * 3),
        ("f4", 100.0 * 4 + 5.30e5 * 3),
    ],
)
def test_scores_are_the_published_ones(policy: str, expected: float) -> None:
    score = scores(policy, np.array([100.0]), np.array([16]), np.array([1000.0]))
    assert score[0] == pytest.approx(expected)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_job_submitted_at_the_origin_has_a_score(policy: str) -> None:
    assert np.isfinite(scores(policy, np.array([0.0, 5.0]), np.array([1, 2]), np.array([0.0, 0.0]))).all()


def test_an_unknown_policy_is_named() -> None:
    with pytest.raises(ValueError, match="policy 'lifo': not one of fcfs, sjf, saf"):
        scores("lifo", np.zeros(1), np.ones(1, dtype=np.int64), np.zeros(1))


def test_equal_scores_go_by_submission_then_by_index() -> None:
    assert ranks(np.array([2.0, 1.0, 1.0, 1.0]), np.array([0.0, 9.0, 3.0, 9.0])).tolist() == [3, 1, 0, 2]
