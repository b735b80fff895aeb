"""Event-driven simulation of a batch system, with or without EASY backfilling, from any state of its cluster.

Waiting jobs are considered in the order of a policy whenever something changes. The first that does not fit holds up the rest; with EASY
backfilling (Lifka, "The ANL/IBM SP scheduling system", 1995) it gets a reservation at the time when enough running jobs are expected to
have ended, and others may start where that does not delay it. Running jobs are expected to end when their requested time is over.

Nodes may be drained (no new jobs; out once empty) or fail (jobs are killed and wait again at their old place), and come back repaired. The
scheduler does not know of either beforehand. Where a job needs more than all nodes in service together, others pass it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import inf

import numpy as np
from numpy.typing import NDArray

from daemon.optimizer import tables
from daemon.optimizer.policies import ranks
from daemon.optimizer.workload import Array, Integers, Jobs

Booleans = NDArray[np.bool_]


class Change(IntEnum):
    """What happens to a node."""

    DRAIN = tables.DRAIN
    FAIL = tables.FAIL


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """A node is drained or fails. It is back `repair_s` after it was empty, and then sound: later events pass it by."""

    time_s: float
    node: int
    change: Change
    repair_s: float = inf


@dataclass(frozen=True, slots=True, eq=False)
class Cluster:
    """Nodes and what runs on them at the start.

    node_processors, in_service: shape (m,). held_job, held_node, held_processors: shape (k,), what running jobs (by index in the
    simulated jobs) hold where; started_s: shape (k,), when that job started.
    """

    node_processors: Integers
    in_service: Booleans
    held_job: Integers
    held_node: Integers
    held_processors: Integers
    started_s: Array

    @classmethod
    def empty(cls, node_processors: Sequence[int]) -> Cluster:
        """Idle nodes, all in service; `[256]` is one pool of 256 processors."""
        none = np.zeros(0, dtype=np.int64)
        nodes = np.array(node_processors, dtype=np.int64)
        return cls(nodes, np.ones(len(nodes), dtype=bool), none, none, none, np.zeros(0))


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of each job; arrays of shape (n,), seconds from the origin of the jobs.

    start_s, end_s: of the run that was not killed; NaN for a job that never started. lost_core_s: processors × seconds of killed
    runs. node_empty_s: shape (m,), when the last job left a node that was drained or failed; NaN where that did not happen.
    """

    start_s: Array
    end_s: Array
    lost_core_s: Array
    restarts: Integers
    node_empty_s: Array


def simulate(
    jobs: Jobs,
    score: Array,
    cluster: Cluster,
    *,
    backfill: bool,
    events: Sequence[NodeEvent] = (),
    now_s: float = -inf,
    until_s: float = inf,
) -> Outcome:
    """Runs the jobs in the order of their scores (lowest first), shape (n,).

    Nothing starts before `now_s`; the cluster is as it is then, and jobs may have been submitted earlier. What would happen after
    `until_s` is left out. Raises ValueError for jobs that are not sorted by submission, use no processors, or hold more of a node than
    it has.
    """
    _check(jobs, score, cluster, events)
    # Only here, because it imports numba: a daemon that simulates nothing starts without.
    from daemon.optimizer import kernel  # noqa: PLC0415

    t = _tables(jobs, score, cluster, sorted(events, key=lambda event: event.time_s))
    order = np.argsort(cluster.held_job, kind="stable")
    held, started_s = cluster.held_job[order], cluster.started_s[order]
    t.run_s[held] = np.maximum(t.run_s[held], now_s - started_s)  # who is there after his end, ends now
    kernel.resume(t, held, cluster.held_node[order], cluster.held_processors[order], started_s)
    kernel.loop(t, now_s, until_s, backfill)
    return Outcome(t.start_s, t.end_s, t.lost_core_s, t.restarts, t.node_empty_s)


def _check(jobs: Jobs, score: Array, cluster: Cluster, events: Sequence[NodeEvent]) -> None:
    if len(score) != len(jobs) or np.isnan(score).any():
        raise ValueError(f"{len(score)} scores for {len(jobs)} jobs, {np.count_nonzero(np.isnan(score))} of them not a number")
    if (np.diff(jobs.submit_s) < 0).any():
        raise ValueError(f"job {jobs.id[int(np.argmax(np.diff(jobs.submit_s) < 0)) + 1]}: submitted before the one in front of it")
    for name, least in (("submit_s", -inf), ("run_s", 0.0), ("requested_s", 0.0)):
        bad = ~np.isfinite(getattr(jobs, name)) | (getattr(jobs, name) < least)
        if bad.any():
            raise ValueError(f"job {jobs.id[bad][0]}: {name} is {getattr(jobs, name)[bad][0]}")
    if (jobs.processors < 1).any():
        raise ValueError(f"job {jobs.id[jobs.processors < 1][0]}: no processors")
    for event in events:
        if not 0 <= event.node < len(cluster.node_processors) or not event.repair_s >= 0:
            raise ValueError(f"node {event.node}: no such node, or a repair of {event.repair_s} s")
    if len(cluster.held_job):
        _check_held(jobs, cluster)


def _check_held(jobs: Jobs, cluster: Cluster) -> None:
    """What running jobs hold: the compiled loop looks at no bounds."""
    m = len(cluster.node_processors)
    if not (
        cluster.held_job.min() >= 0 and cluster.held_job.max() < len(jobs) and 0 <= cluster.held_node.min() <= cluster.held_node.max() < m
    ):
        raise ValueError("running jobs: one is not among the jobs, or on a node that does not exist")
    if cluster.held_processors.min() < 1 or not np.isfinite(cluster.started_s).all():
        raise ValueError("running jobs: one holds no processors of a node, or started at no time")
    held = np.bincount(cluster.held_node, weights=cluster.held_processors, minlength=m)
    if (held > cluster.node_processors).any():
        raise ValueError(f"node {int(np.argmax(held > cluster.node_processors))}: running jobs hold more processors than it has")
    running = np.unique(cluster.held_job)
    total = np.bincount(cluster.held_job, weights=cluster.held_processors)[running]
    if (total != jobs.processors[running]).any():
        raise ValueError(f"job {jobs.id[running[total != jobs.processors[running]]][0]}: holds another number of processors than it uses")


def _tables(jobs: Jobs, score: Array, cluster: Cluster, events: Sequence[NodeEvent]) -> tables.Tables:
    n, m = len(jobs), len(cluster.node_processors)
    slots = int(cluster.node_processors.sum())
    free = np.where(cluster.in_service, cluster.node_processors, 0)
    counts = np.zeros(5, dtype=np.int64)
    counts[tables.FREE] = counts[tables.CAPACITY] = free.sum()
    return tables.Tables(
        submit_s=np.array(jobs.submit_s, dtype=np.float64),
        run_s=np.array(jobs.run_s, dtype=np.float64),
        requested_s=np.array(jobs.requested_s, dtype=np.float64),
        processors=np.array(jobs.processors, dtype=np.int64),
        rank=ranks(score, jobs.submit_s).astype(np.float64),
        start_s=np.full(n, np.nan),
        end_s=np.full(n, np.nan),
        expected_end_s=np.full(n, np.nan),
        lost_core_s=np.zeros(n),
        restarts=np.zeros(n, dtype=np.int64),
        slot=np.full(n, -1, dtype=np.int64),
        slot_node=np.zeros(slots + 1, dtype=np.int64),
        slot_processors=np.zeros(slots + 1, dtype=np.int64),
        slot_next=np.arange(1, slots + 2, dtype=np.int64),
        node_processors=np.array(cluster.node_processors, dtype=np.int64),
        node_free=free.astype(np.int64),
        node_busy=np.zeros(m, dtype=np.int64),
        node_state=np.where(cluster.in_service, tables.IN_SERVICE, tables.DRAINING).astype(np.int64),
        node_repair_s=np.full(m, inf),
        node_back_s=np.full(m, inf),
        node_empty_s=np.full(m, np.nan),
        node_repaired=np.zeros(m, dtype=np.int64),
        event_s=np.array([event.time_s for event in events], dtype=np.float64),
        event_node=np.array([event.node for event in events], dtype=np.int64),
        event_kind=np.array([event.change for event in events], dtype=np.int64),
        event_repair_s=np.array([event.repair_s for event in events], dtype=np.float64),
        items=np.zeros((3, 2 * n + 1), dtype=np.int64),
        first=np.zeros(3, dtype=np.int64),
        last=np.zeros(3, dtype=np.int64),
        counts=counts,
    )
