from __future__ import annotations

from math import inf

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulator import PROCESSORS, plain
from daemon.optimizer.policies import POLICIES, scores
from daemon.optimizer.simulator import Change, Cluster, NodeEvent, Outcome, simulate
from daemon.optimizer.workload import Jobs
from tests.daemon.optimizer.small_jobs import jobs

TEN = 10
rows = st.tuples(st.integers(0, 100), st.integers(0, 60), st.integers(1, TEN), st.integers(1, 90))
workloads = st.lists(rows, min_size=1, max_size=40).map(lambda found: jobs(*sorted(found)))
exact_workloads = st.lists(rows, min_size=1, max_size=40).map(lambda found: jobs(*sorted(row[:3] for row in found)))
policies = st.sampled_from(sorted(POLICIES))
events = st.lists(st.builds(NodeEvent, st.floats(0, 150), st.integers(0, 2), st.sampled_from(list(Change)), st.floats(0, 100)), max_size=4)


def score_of(work: Jobs, policy: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return scores(policy, work.requested_s, work.processors, work.submit_s)


def most_processors_used(work: Jobs, outcome: Outcome) -> int:
    """At any moment, counting the runs that were not killed."""
    moments = outcome.start_s[~np.isnan(outcome.start_s)]
    return max(int(work.processors[(outcome.start_s <= at) & (at < outcome.end_s)].sum()) for at in moments)


@given(workloads, policies, st.booleans())
def test_a_schedule_is_one_that_the_machine_can_run(work: Jobs, policy: str, backfill: bool) -> None:
    outcome = simulate(work, score_of(work, policy), Cluster.empty([TEN]), backfill=backfill)
    assert (outcome.start_s >= work.submit_s).all()  # all started, none before it was submitted
    assert (outcome.end_s == outcome.start_s + work.run_s).all()
    assert most_processors_used(work, outcome) <= TEN


@given(workloads, policies, st.booleans(), events)
def test_failures_and_drains_lose_no_job(work: Jobs, policy: str, backfill: bool, happening: list[NodeEvent]) -> None:
    outcome = simulate(work, score_of(work, policy), Cluster.empty([3, 5, 2]), backfill=backfill, events=happening)
    assert (outcome.start_s >= work.submit_s).all()  # every node comes back, so every job runs
    assert most_processors_used(work, outcome) <= TEN
    assert ((outcome.lost_core_s > 0) <= (outcome.restarts > 0)).all()


@given(workloads, policies, st.booleans())
def test_splitting_the_pool_into_nodes_changes_nothing_while_all_are_up(work: Jobs, policy: str, backfill: bool) -> None:
    pool, nodes = (simulate(work, score_of(work, policy), Cluster.empty(of), backfill=backfill) for of in ([TEN], [1, 4, 3, 2]))
    np.testing.assert_array_equal(pool.start_s, nodes.start_s)


@given(exact_workloads)
def test_easy_never_delays_the_head_beyond_its_reservation(work: Jobs) -> None:
    outcome = simulate(work, work.submit_s, Cluster.empty([TEN]), backfill=True)
    for now_s in np.unique(np.concatenate([work.submit_s, outcome.end_s])):
        waiting = np.flatnonzero((work.submit_s <= now_s) & (outcome.start_s > now_s))
        if len(waiting):
            assert outcome.start_s[waiting[0]] <= reserved_s(work, outcome, int(waiting[0]), float(now_s))


def reserved_s(work: Jobs, outcome: Outcome, head: int, now_s: float) -> float:
    """The moment from which enough processors are free if nothing else starts."""
    running = (outcome.start_s <= now_s) & (outcome.end_s > now_s)
    for at in np.sort(outcome.end_s[running]):
        if TEN - int(work.processors[running & (outcome.end_s > at)].sum()) >= work.processors[head]:
            return float(at)
    return inf


@settings(max_examples=50)
@given(workloads, policies, st.booleans())
def test_the_compiled_loop_does_what_plain_python_does(work: Jobs, policy: str, backfill: bool) -> None:
    scale = PROCESSORS // TEN
    large = Jobs(work.id, work.submit_s, work.run_s, work.requested_s, work.processors * scale)
    score = score_of(large, policy)
    ours = simulate(large, score, Cluster.empty([PROCESSORS]), backfill=backfill).start_s
    np.testing.assert_array_equal(ours, plain(large, score, backfill))
