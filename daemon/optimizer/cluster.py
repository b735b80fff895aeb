"""The contract of a cluster adapter: a batch system that is read, and whose nodes are drained. Entry points `shiftwatch.clusters`.

An adapter is thin: it knows one batch system's commands and words. What is worth doing, what may be done and what was done
belong to the optimize stage. It never ends a running job, and it never touches a node that somebody else has drained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from collectors.collector import Options
from daemon.optimizer.snapshot import Snapshot

OWN_PREFIX = "shiftwatch:"
"""What the reason of a node begins with that the daemon has drained; the key of the plan follows."""


class ClusterError(Exception):
    """The batch system could not be read, or refused: one line that names the command and what it said."""


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """A node as the batch system shows it.

    up: whether it answers. draining: no new jobs go there, whether or not jobs still run on it. reason: why, as somebody wrote.
    """

    name: str
    processors: int
    up: bool = True
    draining: bool = False
    reason: str = ""

    @property
    def in_service(self) -> bool:
        """Whether new jobs may go there."""
        return self.up and not self.draining

    @property
    def plan_key(self) -> str:
        """Key of the plan for which the daemon drained it; "" where it is not drained, or by somebody else."""
        if not self.draining or not self.reason.startswith(OWN_PREFIX):
            return ""
        return (self.reason.removeprefix(OWN_PREFIX).split() or ["?"])[0]


@dataclass(frozen=True, slots=True)
class ClusterState:
    """Nodes by name, and the queue and the jobs as the simulator takes them."""

    nodes: Mapping[str, ClusterNode]
    snapshot: Snapshot

    def out_ratio(self, *also: str) -> float:
        """Share of all processors that is drained (by anybody) or down, as it would be with `also` drained too."""
        total = sum(node.processors for node in self.nodes.values())
        out = sum(node.processors for node in self.nodes.values() if not node.in_service or node.name in also)
        return out / total if total else 0.0


class Cluster(Protocol):
    """A batch system. Built as `Class(options)`; nothing is asked while it is built. Calls come from one thread."""

    options_model: ClassVar[type[Options]]
    name: str

    def state(self) -> ClusterState:
        """How it is now. Raises ClusterError."""

    def drain(self, node: str, reason: str) -> None:
        """Lets no new jobs onto a node; those that run end there. `reason` begins with OWN_PREFIX and the key of a plan.

        Nothing happens where it is drained for that plan already. Raises ClusterError, also where somebody else has drained it.
        """

    def resume(self, node: str) -> None:
        """Takes a node back into service that was drained with OWN_PREFIX; nothing happens where it is in service.

        Raises ClusterError, also where somebody else has drained it.
        """

    def drain_commands(self, node: str, reason: str) -> tuple[str, ...]:
        """What a person would type to drain it."""

    def resume_commands(self, node: str) -> tuple[str, ...]:
        """What a person would type to take it back into service."""

    def order_commands(self, state: ClusterState, order: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What a person would type so that waiting jobs (ids, the first to start first) start in this order, and to undo it."""
