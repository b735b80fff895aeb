"""The contract of a cluster adapter: a batch system that is read, and whose nodes are drained. Entry points `shiftwatch.clusters`.

An adapter is thin: it knows one batch system's commands and words. What is worth doing, what may be done and what was done
belong to the optimize stage. It never ends a running job, and it never touches a node that somebody else has drained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from collectors.collector import Options
from daemon.optimizer.snapshot import Snapshot

OWN_PREFIX = "shiftwatch:"
"""What the reason of a node begins with that was drained for a plan; the key of the plan follows."""
OWN_REASON = re.compile(rf"{OWN_PREFIX}([0-9a-f]{{16}})(?: |$)")
"""People may well begin a reason with "shiftwatch: …": theirs has no key."""
MAX_REASON_CHARACTERS = 200


class ClusterError(Exception):
    """The batch system could not be read, or refused: one line that names the command and what it said."""


def drain_reason(key: str, why: str) -> str:
    """What is written to the node, so that whoever sees it knows for which plan it was drained and why: plain text of one line."""
    return plain_reason(f"{OWN_PREFIX}{key} {why}")


def plain_reason(reason: str) -> str:
    """Printable ASCII without quotes, in one line that is not too long for a batch system."""
    return re.sub(r"[^ -~]|[\"'\\]", "", " ".join(reason.split()))[:MAX_REASON_CHARACTERS].strip()


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """A node as the batch system shows it.

    up: whether it answers. draining: no new jobs go there, whether or not jobs still run on it. reason: why, as somebody wrote.
    partitions: those that it belongs to, where the batch system has such.
    """

    name: str
    processors: int
    up: bool = True
    draining: bool = False
    reason: str = ""
    partitions: tuple[str, ...] = ()

    @property
    def in_service(self) -> bool:
        """Whether new jobs may go there."""
        return self.up and not self.draining

    @property
    def plan_key(self) -> str:
        """Key of the plan that its reason names; "" where it is not drained, or for something else."""
        match = OWN_REASON.match(self.reason) if self.draining else None
        return match[1] if match else ""

    def drained_for(self, key: str, why: str) -> bool:
        """Whether it is drained for a plan in the plan's own words: a reason that somebody has changed since is theirs."""
        return self.draining and self.reason == drain_reason(key, why)


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

    def emptied_partition(self, name: str, *also: str) -> str:
        """A partition that would have no node in service left without this node (and without `also`); "" where there is none."""
        left = [node for node in self.nodes.values() if node.in_service and node.name != name and node.name not in also]
        served = {partition for node in left for partition in node.partitions}
        return next((partition for partition in self.nodes[name].partitions if partition not in served), "")


class Cluster(Protocol):
    """A batch system. Built as `Class(options)`; nothing is asked while it is built. Calls come from one thread."""

    options_model: ClassVar[type[Options]]
    name: str

    def state(self) -> ClusterState:
        """How it is now. Raises ClusterError."""

    def drain(self, node: str, reason: str) -> None:
        """Lets no new jobs onto a node; those that run end there. `reason` is that of `drain_reason`, and is written as it is.

        Nothing happens where it is drained for that plan already. Raises ClusterError, also where somebody else has drained it.
        """

    def resume(self, node: str, reason: str) -> None:
        """Takes a node back into service that is drained with this very reason; nothing happens where it is in service.

        Raises ClusterError, also where the reason is another one: somebody else has drained it, or changed what was written.
        """

    def drain_commands(self, node: str, reason: str) -> tuple[str, ...]:
        """What a person would type to drain it."""

    def resume_commands(self, node: str) -> tuple[str, ...]:
        """What a person would type to take it back into service."""

    def order_commands(self, state: ClusterState, order: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What a person would type so that waiting jobs (ids, the first to start first) start in this order, and to undo it."""
