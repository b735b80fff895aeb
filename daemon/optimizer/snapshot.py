"""What is known of a batch system at one moment: its nodes, the jobs that run and the jobs that wait.

Times are ns since 1970, UTC; durations are seconds. A snapshot covers one pool of nodes (one partition) that all of its jobs may use.
Jobs that could not start even on an empty cluster now (held, dependent, beginning later) do not belong in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Node:
    """A node: how many processors it offers, and whether new jobs may go there (not drained, not down).

    Running jobs may be on a node that is not in service; they end there and their processors do not come back.
    """

    name: str
    processors: int
    in_service: bool = True


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job that waits. Of two jobs the one with the higher priority is first in the batch system's own order, then the older one."""

    id: str
    submitted_ns: int
    requested_s: float
    processors: int
    priority: float = 0.0


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that runs: since when, for how long at most, and how many processors it holds on each node by name."""

    id: str
    submitted_ns: int
    started_ns: int
    requested_s: float
    processors: Mapping[str, int] = field(hash=False)

    @property
    def total_processors(self) -> int:
        """Processors over all nodes."""
        return sum(self.processors.values())


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A job of the accounting records: what it asked for, and how long it ran."""

    submitted_ns: int
    run_s: float
    requested_s: float
    processors: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The batch system at `time_ns`. Raises ValueError, naming the job or node, where its parts do not fit together."""

    time_ns: int
    nodes: tuple[Node, ...]
    queued: tuple[QueuedJob, ...]
    running: tuple[RunningJob, ...]

    def __post_init__(self) -> None:
        _check_nodes(self.nodes)
        _check_queue(self)
        _check_running(self)

    @property
    def processors(self) -> int:
        """Processors of the nodes that take new jobs."""
        return sum(node.processors for node in self.nodes if node.in_service)

    def on_node(self, name: str) -> tuple[RunningJob, ...]:
        """The jobs that hold processors of a node."""
        return tuple(job for job in self.running if job.processors.get(name, 0) > 0)


def _check_nodes(nodes: tuple[Node, ...]) -> None:
    names = [node.name for node in nodes]
    if len(set(names)) < len(names):
        raise ValueError(f"node {next(name for name in names if names.count(name) > 1)}: listed twice")
    for node in nodes:
        if node.processors < 0:
            raise ValueError(f"node {node.name}: {node.processors} processors")


def _check_queue(snapshot: Snapshot) -> None:
    for job in snapshot.queued:
        if job.processors < 1 or not job.requested_s > 0:
            raise ValueError(f"job {job.id}: {job.processors} processors for {job.requested_s} s requested; both must be above 0")
        if job.submitted_ns > snapshot.time_ns:
            raise ValueError(f"job {job.id}: submitted after the time of the snapshot")


def _check_running(snapshot: Snapshot) -> None:
    held = {node.name: 0 for node in snapshot.nodes}
    for job in snapshot.running:
        if not job.requested_s > 0:
            raise ValueError(f"job {job.id}: {job.requested_s} s requested; must be above 0")
        if not job.submitted_ns <= job.started_ns <= snapshot.time_ns:
            raise ValueError(f"job {job.id}: submission, start and the time of the snapshot are not in this order")
        if job.total_processors < 1 or min(job.processors.values()) < 0:
            raise ValueError(f"job {job.id}: runs on no processors")
        for name, processors in job.processors.items():
            if name not in held:
                raise ValueError(f"job {job.id}: runs on node {name}, which is not in the snapshot")
            held[name] += processors
    for node in snapshot.nodes:
        if held[node.name] > node.processors:
            raise ValueError(f"node {node.name}: its jobs hold {held[node.name]} of {node.processors} processors")
