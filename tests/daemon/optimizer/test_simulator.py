from __future__ import annotations

import subprocess
import sys
from math import nan

import numpy as np
import pytest

from daemon.optimizer.simulator import Cluster, simulate
from daemon.optimizer.workload import Jobs
from tests.daemon.optimizer.small_jobs import cluster, jobs


def starts(work: Jobs, nodes: Cluster, *, backfill: bool, score: list[float] | None = None, now_s: float = 0.0) -> list[float]:
    order = work.submit_s if score is None else np.array(score)
    return list(simulate(work, order, nodes, backfill=backfill, now_s=now_s).start_s)


def test_the_head_of_the_queue_holds_up_the_rest_without_backfilling() -> None:
    work = jobs((0, 100, 8), (1, 50, 6), (2, 10, 2))
    assert starts(work, Cluster.empty([10]), backfill=False) == [0, 100, 100]


def test_a_short_job_is_backfilled_where_it_ends_before_the_reservation() -> None:
    work = jobs((0, 100, 8), (1, 50, 6), (2, 98, 2), (2, 99, 2))
    # 2 is over at 100, when the head starts. 3 would be over at 101 if it had found processors: 2 took the last.
    assert starts(work, Cluster.empty([10]), backfill=True) == [0, 100, 2, 100]


def test_a_long_job_is_backfilled_on_the_extra_processors_only() -> None:
    # At 100 the head needs 6 of 10: 4 are extra. Job 2 (long, 1) takes one of them, 3 (long, 1) another.
    work = jobs((0, 100, 8), (1, 50, 6), (2, 1000, 1), (3, 1000, 1), (4, 10, 1))
    assert starts(work, Cluster.empty([10]), backfill=True) == [0, 100, 2, 3, 100]
    # With 9 needed by the head only 1 is extra: the second long job waits behind it.
    work = jobs((0, 100, 8), (1, 50, 9), (2, 1000, 1), (3, 1000, 1))
    assert starts(work, Cluster.empty([10]), backfill=True) == [0, 100, 2, 150]


def test_jobs_that_end_together_all_count_as_extra() -> None:
    work = jobs((0, 100, 3), (0, 100, 3), (0, 500, 2), (1, 10, 5), (2, 1000, 2))
    # At 100 both first jobs end: 8 are free, 5 needed, 3 extra.
    assert starts(work, Cluster.empty([10]), backfill=True) == [0, 0, 0, 100, 2]


def test_backfilling_goes_in_the_order_of_the_policy() -> None:
    work = jobs((0, 100, 8), (1, 50, 6), (2, 20, 2), (2, 10, 2))
    assert starts(work, Cluster.empty([10]), backfill=True, score=[0, 1, 3, 2]) == [0, 100, 12, 2]


def test_a_job_that_ends_early_frees_its_processors_early() -> None:
    work = jobs((0, 40, 10, 100), (1, 10, 10))
    assert starts(work, Cluster.empty([10]), backfill=True) == [0, 40]


def test_a_job_over_its_requested_time_is_expected_to_end_at_any_moment() -> None:
    # From 10 on the head is expected to start at once, so a job longer than nothing needs extra processors.
    work = jobs((0, 100, 8, 10), (1, 10, 10), (50, 1, 2))
    assert starts(work, Cluster.empty([10]), backfill=True) == [0, 100, 110]


def test_all_jobs_over_their_requested_time_count_as_extra() -> None:
    # At 50 both first jobs may end at any moment: 10 are free then, 6 needed, 4 extra.
    work = jobs((0, 100, 4, 10), (0, 100, 4, 20), (1, 10, 6), (50, 500, 2))
    assert starts(work, Cluster.empty([10]), backfill=True) == [0, 0, 100, 50]


def test_the_head_does_not_starve_while_small_jobs_keep_coming() -> None:
    work = jobs((0, 100, 4), (1, 10, 10), *((2 + i, 60, 1) for i in range(200)))
    found = starts(work, Cluster.empty([10]), backfill=True)
    assert found[1] == 100
    assert sum(start < 100 for start in found[2:]) == 6  # one on each free processor; after them 60 s would be too long


def test_running_jobs_are_where_they_are() -> None:
    work = jobs((-100, 150, 6), (-50, 20, 8), (-10, 30, 4))
    nodes = cluster([5, 5], (0, 0, 5, -90), (0, 1, 1, -90))
    assert starts(work, nodes, backfill=False) == [-90, 60, 80]
    assert starts(work, nodes, backfill=True) == [-90, 60, 0]


def test_a_running_job_beyond_its_run_time_ends_now() -> None:
    work = jobs((-100, 20, 4), (-50, 20, 4))
    outcome = simulate(work, work.submit_s, cluster([4], (0, 0, 4, -90)), backfill=False, now_s=0.0)
    assert outcome.end_s.tolist() == [0, 20]


def test_a_job_larger_than_the_cluster_never_starts_and_holds_nobody_up() -> None:
    work = jobs((0, 10, 11), (1, 10, 10))
    np.testing.assert_array_equal(starts(work, Cluster.empty([10]), backfill=False), [nan, 1])


def test_nothing_starts_after_the_end_of_the_simulation() -> None:
    work = jobs((0, 10, 4), (1, 10, 4), (2, 10, 4))
    found = simulate(work, work.submit_s, Cluster.empty([4]), backfill=False, until_s=15.0)
    np.testing.assert_array_equal(found.start_s, [0, 10, nan])
    np.testing.assert_array_equal(found.end_s, [10, 20, nan])


def test_a_job_without_run_time_is_over_at_once() -> None:
    assert starts(jobs((0, 0, 4), (0, 10, 4)), Cluster.empty([4]), backfill=True) == [0, 0]


def test_no_jobs_give_an_empty_outcome() -> None:
    assert starts(jobs(), Cluster.empty([4]), backfill=True) == []


@pytest.mark.parametrize(
    ("work", "nodes", "complaint"),
    [
        (jobs((5, 1, 1), (4, 1, 1)), Cluster.empty([4]), "job 1: submitted before the one in front of it"),
        (jobs((0, nan, 1)), Cluster.empty([4]), "job 0: run_s is nan"),
        (jobs((0, 1, 0)), Cluster.empty([4]), "job 0: no processors"),
        (jobs((0, 1, 5)), cluster([4], (0, 0, 5, 0)), "node 0: running jobs hold more processors than it has"),
        (jobs((0, 1, 5)), cluster([4], (0, 0, 3, 0)), "job 0: holds another number of processors than it uses"),
        (jobs((0, 1, 5)), cluster([4], (0, 1, 5, 0)), "on a node that does not exist"),
        (jobs((0, 1, 5)), cluster([9], (1, 0, 5, 0)), "one is not among the jobs"),
    ],
)
def test_input_that_does_not_fit_together_is_refused(work: Jobs, nodes: Cluster, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        simulate(work, work.submit_s, nodes, backfill=True)


def test_the_compiler_is_not_imported_before_something_is_simulated() -> None:
    code = "import sys, daemon.optimizer.advice; print('numba' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
