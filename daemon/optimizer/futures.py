"""Sampled futures of a batch system: how long its jobs will run, and what will be submitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daemon.optimizer.arrivals import Arrivals, run_time_ratios
from daemon.optimizer.outlook import Outlook
from daemon.optimizer.policies import scores
from daemon.optimizer.simulator import Booleans, Cluster
from daemon.optimizer.snapshot import Snapshot
from daemon.optimizer.workload import Array, Integers, Jobs

OVERRUN_S = 60.0
"""How much longer a job runs that is already beyond all that was ever seen."""
PRIORITY = "priority"
"""The batch system's own order: by priority, then by age; what arrives later comes after what waits now."""


@dataclass(frozen=True, slots=True, eq=False)
class Future:
    """Jobs to simulate, seconds from the time of the snapshot, and what runs already.

    waits: shape (n,), not running now. priority: shape (n,), −inf for jobs that arrive later, inf for running ones (which count only
    if they are killed). queue_position: shape (n,), index in the snapshot's queue, −1 for others. origin_s: oldest job of the queue.
    """

    jobs: Jobs
    cluster: Cluster
    waits: Booleans
    priority: Array
    queue_position: Integers
    origin_s: float

    def score(self, policy: str) -> Array:
        """Scores of the jobs under a policy, lowest first. Raises ValueError for an unknown policy."""
        if policy == PRIORITY:
            return -self.priority
        return scores(policy, self.jobs.requested_s, self.jobs.processors, self.jobs.submit_s - self.origin_s)


class Futures:
    """Draws futures of one snapshot; the same seed draws the same ones."""

    def __init__(self, snapshot: Snapshot, outlook: Outlook) -> None:
        self._snapshot = snapshot
        self._seed = outlook.seed
        running, queued = snapshot.running, snapshot.queued
        self._now = Jobs(
            id=np.arange(len(running) + len(queued), dtype=np.int64),
            submit_s=_seconds([*(job.submitted_ns for job in running), *(job.submitted_ns for job in queued)], snapshot.time_ns),
            run_s=np.zeros(len(running) + len(queued)),
            requested_s=np.array([*(job.requested_s for job in running), *(job.requested_s for job in queued)], dtype=np.float64),
            processors=np.array([*(job.total_processors for job in running), *(job.processors for job in queued)], dtype=np.int64),
        )
        self._elapsed_s = np.concatenate([-_seconds([job.started_ns for job in running], snapshot.time_ns), np.zeros(len(queued))])
        self._ratios = run_time_ratios(outlook)
        self._arrivals = Arrivals(outlook, self._now, snapshot.processors, sum(node.processors for node in snapshot.nodes))

    def draw(self, number: int) -> Future:
        """One future."""
        random = np.random.default_rng((self._seed, number))
        arriving = self._arrivals.draw(random)
        now = self._now
        submit_s = np.concatenate([now.submit_s, arriving.submit_s])
        jobs = Jobs(
            id=np.arange(len(submit_s), dtype=np.int64),
            submit_s=submit_s,
            run_s=np.concatenate([self._run_times(random), arriving.run_s]),
            requested_s=np.concatenate([now.requested_s, arriving.requested_s]),
            processors=np.concatenate([now.processors, arriving.processors]),
        )
        order = np.argsort(submit_s, kind="stable")
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        runs, waits = len(self._snapshot.running), len(self._snapshot.queued)
        priority = np.full(len(order), -np.inf)
        priority[:runs] = np.inf
        priority[runs : runs + waits] = [job.priority for job in self._snapshot.queued]
        position = np.full(len(order), -1, dtype=np.int64)
        position[runs : runs + waits] = np.arange(waits)
        origin_s = float(now.submit_s[runs:].min()) if waits else 0.0
        return Future(jobs.part(order), self._cluster(place), order >= runs, priority[order], position[order], origin_s)

    def _cluster(self, place: Integers) -> Cluster:
        index = {node.name: i for i, node in enumerate(self._snapshot.nodes)}
        held = [
            (place[number], index[name], processors, -self._elapsed_s[number])
            for number, job in enumerate(self._snapshot.running)
            for name, processors in job.processors.items()
            if processors
        ]
        job, node, processors, started_s = zip(*held, strict=True) if held else ((), (), (), ())
        return Cluster(
            node_processors=np.array([node.processors for node in self._snapshot.nodes], dtype=np.int64),
            in_service=np.array([node.in_service for node in self._snapshot.nodes], dtype=bool),
            held_job=np.array(job, dtype=np.int64),
            held_node=np.array(node, dtype=np.int64),
            held_processors=np.array(processors, dtype=np.int64),
            started_s=np.array(started_s, dtype=np.float64),
        )

    def _run_times(self, random: np.random.Generator) -> Array:
        """Requested time × a ratio, of those ratios that are above what a running job has used already."""
        requested_s, elapsed_s = self._now.requested_s, self._elapsed_s
        used = np.searchsorted(self._ratios, elapsed_s / requested_s, side="right")
        left = len(self._ratios) - used
        drawn = used + np.minimum((random.random(len(used)) * left).astype(np.int64), np.maximum(left - 1, 0))
        longest_s = np.maximum(requested_s, elapsed_s + OVERRUN_S)
        run_s: Array = np.where(left > 0, requested_s * self._ratios[np.minimum(drawn, len(self._ratios) - 1)], longest_s)
        return run_s


def _seconds(times_ns: list[int], origin_ns: int) -> Array:
    """Seconds from the origin; integers are subtracted first, so that nothing is lost."""
    return np.array([time_ns - origin_ns for time_ns in times_ns], dtype=np.float64) / 1e9
