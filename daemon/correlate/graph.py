"""The causality graph: which finding can be the cause of which other one.

The idea is that of the expert systems that experiments have run for years: follow the arrows backwards, and what has no
arrow into it is the cause; everything else only suffers from it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from collectors.frame import is_within
from daemon.settings import CausalitySettings, CausePattern
from detectors.finding import Finding

MAX_STEPS = 5
"""Edges that a chain through things without a finding of their own may have."""


@cache
def place_expression(pattern: str) -> re.Pattern[str]:
    """A place pattern as a regular expression: `*` one step or part of one, `**` any steps, `{name}` one named step or part."""
    parts = re.split(r"(/\*\*|\*\*|\*|\{\w+\})", pattern)
    seen: set[str] = set()
    expression = ""
    for part in parts:
        if part == "/**":
            expression += r"(?:/.*)?"
        elif part == "**":
            expression += r".*"
        elif part == "*":
            expression += r"[^/]*"
        elif part.startswith("{"):
            name = part[1:-1]
            expression += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)"
            seen.add(name)
        else:
            expression += re.escape(part)
    return re.compile(expression)


@dataclass(frozen=True)
class Edge:
    """One edge of the graph, as configured."""

    cause: CausePattern
    effect: CausePattern
    same_branch: bool
    max_delay_ns: int


class CausalityGraph:
    """Answers whether one finding explains another, directly or through things that have no finding of their own."""

    def __init__(self, edges: Sequence[CausalitySettings], clock_tolerance_ns: int) -> None:
        self._edges = [Edge(e.cause, e.effect, e.within == "same_branch", int(e.max_delay_s * 1e9)) for e in edges]
        self._tolerance_ns = clock_tolerance_ns

    def explains(self, cause: Finding, effect: Finding) -> bool:
        """Whether `cause` can have brought about `effect`: an edge or a chain of edges fits, and so do the times."""
        if cause.key == effect.key:
            return False
        delay_ns = effect.since_ns - cause.since_ns
        if delay_ns < -self._tolerance_ns:
            return False
        start = (cause.unit.condition, cause.unit.place)
        return self._reaches(start, (effect.unit.condition, effect.unit.place), delay_ns)

    def _reaches(self, start: tuple[str, str], goal: tuple[str, str], delay_ns: int) -> bool:
        """Breadth-first over edges; an edge's effect place stands in for what has no finding of its own."""
        fringe: list[tuple[str | None, str]] = [start]
        used: set[int] = set()
        for _ in range(MAX_STEPS):
            following: list[tuple[str | None, str]] = []
            for number, edge in enumerate(self._edges):
                if number in used or delay_ns > edge.max_delay_ns:
                    continue
                for condition, place in fringe:
                    captured = _fits(edge.cause, condition, place)
                    if captured is None:
                        continue
                    if self._arrives(edge, place, goal, captured):
                        return True
                    used.add(number)
                    following += [(None, stand_in) for stand_in in _literal(edge.effect.place, captured)]
            fringe = following
        return False

    @staticmethod
    def _arrives(edge: Edge, from_place: str, goal: tuple[str, str], captured: dict[str, str]) -> bool:
        condition, place = goal
        found = _fits(edge.effect, condition, place)
        if found is None or any(captured.get(name, value) != value for name, value in found.items()):
            return False
        return not edge.same_branch or is_within(place, from_place) or is_within(from_place, place)


def _fits(pattern: CausePattern, condition: str | None, place: str) -> dict[str, str] | None:
    """The named steps of the place where the pattern fits, None where it does not. A condition of None fits any."""
    if condition is not None and not any(fnmatchcase(condition, wanted) for wanted in pattern.condition):
        return None
    match = place_expression(pattern.place).fullmatch(place)
    return None if match is None else match.groupdict()


def _literal(pattern: str, captured: dict[str, str]) -> list[str]:
    """The one place that a pattern stands for once its names are known; none where it still stands for many."""
    place = re.sub(r"\{(\w+)\}", lambda name: captured.get(name[1], name[0]), pattern)
    return [] if any(sign in place for sign in "*{") else [place]
