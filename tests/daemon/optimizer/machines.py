"""A batch system for tests of decisions: nodes that are drained and resumed, counted, and that can fail at any step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from collectors.collector import Options
from daemon.optimizer.cluster import ClusterError, ClusterNode, ClusterState
from daemon.optimizer.snapshot import Node, QueuedJob, RunningJob, Snapshot
from tests.daemon.reports import S

NOW_NS = 1_000_000 * S


class Crash(BaseException):
    """The process ends here."""


class Machines:
    """Nodes n1, n2, … of 4 processors, each with a job. `acted` lists what really changed, `asked` what was asked for.

    `hidden`: nodes that its answers leave out. `slow`: what is asked for happens, but the answer comes too late.
    """

    options_model: ClassVar[type[Options]] = Options
    name = "slurm"

    def __init__(self, nodes: int = 10) -> None:
        self.nodes = {f"n{number}": ClusterNode(f"n{number}", 4) for number in range(1, nodes + 1)}
        self.queued: list[QueuedJob] = []
        self.acted: list[str] = []
        self.asked: list[str] = []
        self.hidden: set[str] = set()
        self.slow = False
        self.crash_before = self.crash_after = ""
        self.refusal = ""

    def state(self) -> ClusterState:
        shown = {name: node for name, node in self.nodes.items() if name not in self.hidden}
        nodes = tuple(Node(node.name, node.processors, node.in_service) for node in shown.values())
        running = tuple(RunningJob(name, NOW_NS - 7200 * S, NOW_NS - 3600 * S, 7200.0, {name: 4}) for name in shown)
        return ClusterState(shown, Snapshot(NOW_NS, nodes, tuple(self.queued), running))

    def drain(self, node: str, reason: str) -> None:
        self._do("drain", node, replace(self.nodes[node], draining=True, reason=reason))

    def resume(self, node: str, reason: str) -> None:
        if self.nodes[node].reason != reason:
            raise ClusterError(f"node {node}: drained by somebody else")
        self._do("resume", node, replace(self.nodes[node], draining=False, reason=""))

    def drain_commands(self, node: str, reason: str) -> tuple[str, ...]:
        return (f"drain {node} {reason}",)

    def resume_commands(self, node: str) -> tuple[str, ...]:
        return (f"resume {node}",)

    def order_commands(self, state: ClusterState, order: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return tuple(f"top {job}" for job in order if job in {queued.id for queued in state.snapshot.queued}), ("undo",)

    def _do(self, what: str, node: str, changed: ClusterNode) -> None:
        self.asked.append(f"{what} {node}")
        if self.crash_before == what:
            raise Crash
        if self.refusal:
            raise ClusterError(self.refusal)
        if self.nodes[node] == changed or self.nodes[node].plan_key == changed.plan_key != "":
            return
        self.nodes[node] = changed
        self.acted.append(f"{what} {node}")
        if self.slow:
            raise ClusterError("scontrol: no answer within 15 s")
        if self.crash_after == what:
            raise Crash
