from __future__ import annotations

from math import nan

import numpy as np
import pytest

from daemon.optimizer.simulator import Change, Cluster, NodeEvent, simulate
from tests.daemon.optimizer.small_jobs import cluster, jobs


def drain(time_s: float, node: int, repair_s: float = np.inf) -> NodeEvent:
    return NodeEvent(time_s, node, Change.DRAIN, repair_s)


def fail(time_s: float, node: int, repair_s: float = np.inf) -> NodeEvent:
    return NodeEvent(time_s, node, Change.FAIL, repair_s)


def test_a_drained_node_ends_its_jobs_and_takes_no_new_ones() -> None:
    work = jobs((0, 100, 4), (0, 100, 4), (10, 30, 4), (20, 30, 4))
    found = simulate(work, work.submit_s, Cluster.empty([4, 4]), backfill=False, events=[drain(5, 0)])
    assert found.start_s.tolist() == [0, 0, 100, 130]
    assert found.lost_core_s.tolist() == [0, 0, 0, 0]
    assert found.node_empty_s[0] == 100
    assert np.isnan(found.node_empty_s[1])


def test_idle_processors_of_a_drained_node_are_gone_at_once() -> None:
    work = jobs((0, 100, 1), (10, 30, 6))
    found = simulate(work, work.submit_s, Cluster.empty([4, 4]), backfill=False, events=[drain(5, 0)])
    np.testing.assert_array_equal(found.start_s, [0, nan])  # only 4 of the 6 are left in service


def test_a_drained_node_is_back_after_its_repair() -> None:
    work = jobs((0, 100, 2), (10, 30, 6))
    found = simulate(work, work.submit_s, Cluster.empty([4, 4]), backfill=False, events=[drain(5, 0, repair_s=50)])
    assert found.start_s.tolist() == [0, 150]


def test_processors_on_a_drained_node_do_not_count_for_the_reservation() -> None:
    # Job 0 sits on the drained node: the head (5) can only get job 1's processors, at 200, so a job of 150 s may start before it.
    # If job 0's counted, the head would be expected to start at 100 with 1 extra processor, and the last job (2) would have to wait.
    work = jobs((0, 100, 4), (0, 200, 3), (10, 30, 5), (20, 150, 2))
    found = simulate(work, work.submit_s, Cluster.empty([4, 5]), backfill=True, events=[drain(5, 0)])
    assert found.start_s.tolist() == [0, 0, 200, 20]


def test_a_failure_kills_the_jobs_on_the_node_and_they_start_again() -> None:
    work = jobs((0, 100, 4), (0, 100, 4), (10, 30, 4))
    found = simulate(work, work.submit_s, Cluster.empty([4, 4]), backfill=False, events=[fail(40, 0)])
    # Job 0 waits again, at its old place in front of job 2.
    assert found.start_s.tolist() == [100, 0, 200]
    assert found.restarts.tolist() == [1, 0, 0]
    assert found.lost_core_s.tolist() == [160, 0, 0]


def test_a_job_over_several_nodes_dies_with_one_of_them() -> None:
    work = jobs((0, 100, 6), (10, 30, 2), (20, 5, 4))
    found = simulate(work, work.submit_s, Cluster.empty([4, 4]), backfill=False, events=[fail(50, 0, repair_s=100)])
    assert found.start_s[0] == 150  # not before both nodes are there again
    assert found.lost_core_s[0] == 300
    assert found.start_s[1] == 10
    assert found.start_s[2] == 50  # the other node's processors are free at once


def test_work_done_before_the_simulation_is_lost_as_well() -> None:
    work = jobs((-300, 500, 4))
    found = simulate(work, work.submit_s, cluster([4, 4], (0, 0, 4, -200)), backfill=False, events=[fail(10, 0)], now_s=0.0)
    assert found.lost_core_s.tolist() == [840]
    assert found.start_s.tolist() == [10]


def test_a_failure_at_the_very_start_queues_a_running_job_once() -> None:
    work = jobs((-300, 500, 4), (-200, 50, 4))
    found = simulate(work, work.submit_s, cluster([4, 4], (0, 0, 4, -200), (1, 1, 4, -150)), backfill=True, events=[fail(0, 0)], now_s=0.0)
    assert found.start_s.tolist() == [0, -150]
    assert found.restarts.tolist() == [1, 0]


def test_a_node_that_was_drained_and_repaired_does_not_fail_later() -> None:
    work = jobs((0, 10, 4), (200, 100, 8))
    found = simulate(work, work.submit_s, Cluster.empty([4, 4]), backfill=False, events=[drain(5, 0, 20), fail(250, 0)])
    assert found.restarts.tolist() == [0, 0]
    assert found.start_s.tolist() == [0, 200]


def test_a_draining_node_may_fail_before_its_jobs_end() -> None:
    work = jobs((0, 100, 4))
    found = simulate(work, work.submit_s, Cluster.empty([4, 4]), backfill=False, events=[drain(5, 0), fail(50, 0)])
    assert found.start_s.tolist() == [50]
    assert found.node_empty_s[0] == 50


def test_a_node_out_of_service_gives_nothing_back() -> None:
    work = jobs((-100, 150, 4), (-50, 10, 5))
    found = simulate(work, work.submit_s, cluster([4, 4], (0, 0, 4, -90), out=(0,)), backfill=False, now_s=0.0)
    np.testing.assert_array_equal(found.start_s, [-90, nan])


@pytest.mark.parametrize("event", [drain(0, 2), drain(0, -1), drain(0, 0, repair_s=-1.0), drain(0, 0, repair_s=nan)])
def test_an_event_of_no_node_is_refused(event: NodeEvent) -> None:
    work = jobs((0, 1, 1))
    with pytest.raises(ValueError, match="no such node, or a repair of"):
        simulate(work, work.submit_s, Cluster.empty([4, 4]), backfill=False, events=[event])
