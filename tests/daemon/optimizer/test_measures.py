from __future__ import annotations

import numpy as np
import pytest

from daemon.optimizer.measures import bounded_slowdown, measure, paired_bootstrap
from daemon.optimizer.simulator import Cluster, simulate
from tests.daemon.optimizer.small_jobs import jobs


def test_short_runs_count_as_ten_seconds() -> None:
    wait_s, run_s = np.array([0.0, 90.0, 90.0, 0.0]), np.array([1.0, 1.0, 30.0, 0.0])
    assert bounded_slowdown(wait_s, run_s).tolist() == [1.0, 9.1, 4.0, 1.0]


def test_measures_of_a_schedule() -> None:
    work = jobs((0, 100, 8), (1, 50, 6), (2, 10, 2), (3, 10, 99))
    found = measure(work, simulate(work, work.submit_s, Cluster.empty([10]), backfill=False), 10)
    assert found.bounded_slowdown == pytest.approx((1 + 149 / 50 + 108 / 10) / 3)
    assert found.mean_wait_s == pytest.approx((0 + 99 + 98) / 3)
    assert found.longest_wait_s == 99
    assert 98 < found.p99_wait_s < 99
    assert found.utilisation == pytest.approx((800 + 300 + 20) / (10 * 150))
    assert found.never_started == 1


def test_nothing_started_has_no_measures() -> None:
    work = jobs((0, 10, 99))
    found = measure(work, simulate(work, work.submit_s, Cluster.empty([10]), backfill=False), 10)
    assert np.isnan([found.bounded_slowdown, found.longest_wait_s]).all()
    assert found.never_started == 1


def test_a_paired_interval_does_not_see_what_both_share() -> None:
    random = np.random.default_rng(3)
    shared = random.normal(1000.0, 500.0, 100)
    low, high = paired_bootstrap(shared + 5.0 + random.normal(0, 1, 100), shared)
    assert 4.5 < low < high < 5.5


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    random = np.random.default_rng(4)
    covered = 0
    for trial in range(200):
        low, high = paired_bootstrap(random.normal(2.0, 1.0, 50), np.zeros(50), resamples=400, seed=trial)
        covered += low <= 2.0 <= high
    assert 165 <= covered <= 195  # 180 of 200 expected


def test_arrays_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="paired bootstrap"):
        paired_bootstrap(np.zeros(3), np.zeros(4))
