"""Which node a place in the tree belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from daemon.optimizer.settings import NODE


@dataclass(frozen=True, slots=True)
class NodePlace:
    """A node, and its own place: all below it belongs to it."""

    node: str
    place: str


class NodePattern:
    """Places by a pattern such as "T2_X/{node}/**"."""

    def __init__(self, pattern: str) -> None:
        head, _, tail = pattern.partition(NODE)
        self._expression = re.compile(f"(?P<place>{_expression(head)}(?P<node>[^/]+)){_expression(tail)}")
        fixed = re.split(r"[^/]*\*", head)[0].strip("/")
        self.queue_place = f"{fixed}/queue" if fixed else "queue"
        """Place of what concerns the queue: beside the nodes, because what lies above them would join their incidents."""

    def node_at(self, place: str) -> NodePlace | None:
        """The node that a place belongs to; None where there is none."""
        match = self._expression.fullmatch(place)
        return None if match is None else NodePlace(match["node"], match["place"])


class NodeNames:
    """The names of a cluster's nodes.

    A place may have the full name of a host where the cluster has the short one, or the other way round.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(names)
        self._of_host: dict[str, list[str]] = {}
        for name in sorted(self._names):
            self._of_host.setdefault(name.partition(".")[0], []).append(name)

    def of(self, step: str) -> str:
        """The name in the cluster of a node as a place has it; the same where none, or more than one, fits."""
        if step in self._names:
            return step
        host, dot, _ = step.partition(".")
        fitting = [name for name in self._of_host.get(host, ()) if not dot or "." not in name]
        return fitting[0] if len(fitting) == 1 else step


def _expression(pattern: str) -> str:
    """`*` is one step or part of one, `**` any steps, also none."""
    parts = {"/**": r"(?:/.*)?", "**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*"}
    return "".join(parts.get(part, re.escape(part)) for part in re.split(r"(/\*\*$|\*\*/|\*\*|\*)", pattern))
