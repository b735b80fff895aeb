"""Which node a place in the tree belongs to."""

from __future__ import annotations

import re
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


def _expression(pattern: str) -> str:
    """`*` is one step or part of one, `**` any steps, also none."""
    parts = {"/**": r"(?:/.*)?", "**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*"}
    return "".join(parts.get(part, re.escape(part)) for part in re.split(r"(/\*\*$|\*\*/|\*\*|\*)", pattern))
