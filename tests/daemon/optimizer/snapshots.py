"""Batch systems at a moment, for advice."""

from __future__ import annotations

from daemon.optimizer.advice import FinishedJob, Node, QueuedJob, RunningJob, Snapshot

NOW_NS = 1_700_000_000_000_000_000
HOUR_NS = 3_600_000_000_000


def queued(name: str, processors: int, requested_h: float, waited_h: float, priority: float = 0.0) -> QueuedJob:
    return QueuedJob(name, NOW_NS - round(waited_h * HOUR_NS), requested_h * 3600.0, processors, priority)


def running(name: str, elapsed_h: float, requested_h: float, **processors: int) -> RunningJob:
    started_ns = NOW_NS - round(elapsed_h * HOUR_NS)
    return RunningJob(name, started_ns, started_ns, requested_h * 3600.0, processors)


def snapshot(nodes: int, queue: list[QueuedJob], runs: list[RunningJob], processors: int = 8) -> Snapshot:
    return Snapshot(NOW_NS, tuple(Node(f"n{i}", processors) for i in range(nodes)), tuple(queue), tuple(runs))


def blocked() -> Snapshot:
    """Two long jobs in front of many short ones: any order by length is far better than that by age."""
    short = [queued(f"short{i}", 1, 0.1, 1.0) for i in range(40)]
    return snapshot(2, [queued("long0", 8, 12.0, 2.0), queued("long1", 8, 12.0, 2.0), *short], [running("r", 1.0, 4.0, n0=8)])


def records(count: int, gap_h: float, ratio: float = 0.5) -> tuple[FinishedJob, ...]:
    """Jobs of an hour requested, at regular intervals."""
    return tuple(FinishedJob(NOW_NS + round(i * gap_h * HOUR_NS), 3600.0 * ratio, 3600.0, 1 + i % 4) for i in range(count))
