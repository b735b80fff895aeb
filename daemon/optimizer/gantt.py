"""Pictures of plans: what would happen by itself against what is proposed.

Jobs are drawn until their limits: nobody knows when they will really end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from daemon.optimizer.simulator import Cluster, simulate
from daemon.optimizer.snapshot import Snapshot
from daemon.optimizer.workload import Array, Jobs
from daemon.records import Plan
from detectors.figure import Bar, PlanFigure

MAX_LANES = 12


def drain_figure(plan: Plan, snapshot: Snapshot, gain: str, horizon_s: float, repair_s: float) -> PlanFigure:
    """The jobs of the node, and what becomes of the node after them."""
    node = plan.subject
    ends = sorted((job.started_ns - snapshot.time_ns) / 1e9 + job.requested_s for job in snapshot.on_node(node))
    last_s = max((end for end in ends if end > 0), default=0.0)
    jobs = tuple(
        Bar(f"job {job.id}", f"{job.processors[node]} processors", (job.started_ns - snapshot.time_ns) / 1e9, end_s)
        for job in snapshot.on_node(node)[: MAX_LANES - 1]
        if (end_s := (job.started_ns - snapshot.time_ns) / 1e9 + job.requested_s) > 0
    )
    drained = [Bar(node, "repair", last_s, last_s + repair_s, changed=True)]
    if last_s > 0:
        drained.insert(0, Bar(node, "no new jobs", 0.0, last_s, changed=True))
    default = (*jobs, Bar(node, "takes new jobs", 0.0, max(horizon_s, last_s)))
    return PlanFigure(f"{node} and its jobs", default, (*jobs, *drained), gain)


def order_figure(plan: Plan, snapshot: Snapshot, gain: str, order: Sequence[str], *, backfill: bool) -> PlanFigure:
    """When the first of the waiting jobs would start in either order."""
    jobs, cluster = _simulated(snapshot)
    running, waiting = len(snapshot.running), len(snapshot.queued)
    own = np.array([*(np.inf for _ in range(running)), *(job.priority for job in snapshot.queued)], dtype=np.float64)
    place = {job: index for index, job in enumerate(order)}
    proposed = np.array([-1.0] * running + [float(place.get(job.id, waiting)) for job in snapshot.queued])
    arranged = np.argsort(jobs.submit_s, kind="stable")
    back = np.empty(len(arranged), dtype=np.int64)
    back[arranged] = np.arange(len(arranged))
    moved = Cluster(
        cluster.node_processors, cluster.in_service, back[cluster.held_job], cluster.held_node, cluster.held_processors, cluster.started_s
    )

    def starts(score: Array) -> Array:
        outcome = simulate(jobs.part(arranged), score[arranged], moved, backfill=backfill, now_s=0.0)
        return outcome.start_s[back]

    by_itself, as_proposed = starts(-own), starts(proposed)
    index = {job.id: running + number for number, job in enumerate(snapshot.queued)}
    shown = [index[job] for job in order[:MAX_LANES] if job in index]
    bars = [_bars(snapshot, jobs, start_s, by_itself, shown, running) for start_s in (by_itself, as_proposed)]
    return PlanFigure(f"First jobs of the queue in the order {plan.subject}", bars[0], bars[1], gain)


def _bars(snapshot: Snapshot, jobs: Jobs, start_s: Array, default_s: Array, shown: Sequence[int], running: int) -> tuple[Bar, ...]:
    return tuple(
        Bar(
            lane=f"job {snapshot.queued[job - running].id}",
            label=f"{jobs.processors[job]} processors",
            start_s=float(start_s[job]),
            end_s=float(start_s[job] + jobs.requested_s[job]),
            changed=bool(start_s[job] != default_s[job]),
        )
        for job in shown
        if not np.isnan(start_s[job])
    )


def _simulated(snapshot: Snapshot) -> tuple[Jobs, Cluster]:
    """Running and waiting jobs that run until their limits; seconds from now."""

    def seconds(time_ns: int) -> float:
        return (time_ns - snapshot.time_ns) / 1e9

    running, queued = snapshot.running, snapshot.queued
    requested_s = np.array([*(job.requested_s for job in running), *(job.requested_s for job in queued)], dtype=np.float64)
    submitted_ns = [*(job.submitted_ns for job in running), *(job.submitted_ns for job in queued)]
    jobs = Jobs(
        id=np.arange(len(requested_s), dtype=np.int64),
        submit_s=np.array([seconds(time_ns) for time_ns in submitted_ns], dtype=np.float64),
        run_s=requested_s,
        requested_s=requested_s,
        processors=np.array([*(job.total_processors for job in running), *(job.processors for job in queued)], dtype=np.int64),
    )
    index = {node.name: number for number, node in enumerate(snapshot.nodes)}
    held = [
        (number, index[name], processors, seconds(job.started_ns))
        for number, job in enumerate(running)
        for name, processors in job.processors.items()
        if processors
    ]
    job, node, processors, started_s = zip(*held, strict=True) if held else ((), (), (), ())
    return jobs, Cluster(
        node_processors=np.array([n.processors for n in snapshot.nodes], dtype=np.int64),
        in_service=np.array([n.in_service for n in snapshot.nodes], dtype=bool),
        held_job=np.array(job, dtype=np.int64),
        held_node=np.array(node, dtype=np.int64),
        held_processors=np.array(processors, dtype=np.int64),
        started_s=np.array(started_s, dtype=np.float64),
    )
