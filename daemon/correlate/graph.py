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
from daemon.sections import CausalitySettings, CausePattern
from detectors.finding import Finding

MAX_STEPS = 5
"""Edges that a chain through things without a finding of their own may have."""
NAMED = r"\{[A-Za-z0-9_]+\}"
KEPT_DEPARTURES = 50_000
"""Things whose way through the graph is remembered: a storm of findings asks again and again for the same ones."""


@cache
def place_expression(*patterns: str) -> re.Pattern[str]:
    """Place patterns as a regular expression: `*` one step or part of one, `**` any steps, `{name}` one named step or part.

    Several patterns fit several places, one on a line; what has a name is the same in all of them.
    """
    seen: set[str] = set()
    return re.compile("\n".join(_expression(pattern, seen) for pattern in patterns))


def _expression(pattern: str, seen: set[str]) -> str:
    expression = ""
    for part in re.split(rf"(/\*\*|\*\*|\*|{NAMED})", pattern):
        if part == "/**":
            expression += r"(?:/.*)?"
        elif part == "**":
            expression += r".*"
        elif part == "*":
            expression += r"[^/\n]*"
        elif re.fullmatch(NAMED, part):
            name = f"_{part[1:-1]}"  # a number is no name of a group
            expression += f"(?P={name})" if name in seen else f"(?P<{name}>[^/\n]+)"
            seen.add(name)
        else:
            expression += re.escape(part)
    return expression


@dataclass(frozen=True)
class Edge:
    """One edge of the graph, as configured."""

    cause: CausePattern
    effect: CausePattern
    same_branch: bool
    max_delay_ns: int

    def leads(self, from_place: str, condition: str, place: str) -> bool:
        """Whether it leads from a place that its cause fits to a condition at a place."""
        if self.same_branch and not _one_branch(from_place, place):
            return False
        if not any(fnmatchcase(condition, wanted) for wanted in self.effect.condition):
            return False
        return place_expression(self.cause.place, self.effect.place).fullmatch(f"{from_place}\n{place}") is not None


Node = tuple[tuple[str, ...], str]
"""Conditions (a finding's own, or the patterns of an edge's effect) at a place."""


@dataclass(frozen=True, slots=True)
class Departure:
    """An edge that a chain can go on with, from a place, and the longest delay that it and all edges before it allow."""

    edge: Edge
    place: str
    longest_ns: int


class CausalityGraph:
    """Answers whether one finding explains another, directly or through things that have no finding of their own."""

    def __init__(self, edges: Sequence[CausalitySettings], clock_tolerance_ns: int) -> None:
        self._edges = [Edge(e.cause, e.effect, e.within == "same_branch", int(e.max_delay_s * 1e9)) for e in edges]
        self._tolerance_ns = clock_tolerance_ns
        self._departures: dict[tuple[str, str], tuple[Departure, ...]] = {}

    def explains(self, cause: Finding, effect: Finding) -> bool:
        """Whether `cause` can have brought about `effect`: an edge or a chain of edges fits, and so do the times."""
        departures = self._departures_of(cause.unit.condition, cause.unit.place)
        if not departures or cause.key == effect.key:
            return False
        delay_ns = effect.since_ns - cause.since_ns
        if delay_ns < -self._tolerance_ns:
            return False
        condition, place = effect.unit.condition, effect.unit.place
        return any(delay_ns <= d.longest_ns and d.edge.leads(d.place, condition, place) for d in departures)

    def _departures_of(self, condition: str, place: str) -> tuple[Departure, ...]:
        known = self._departures.get((condition, place))
        if known is None:
            if len(self._departures) >= KEPT_DEPARTURES:
                self._departures.clear()
            known = self._departures[condition, place] = tuple(self._search(condition, place))
        return known

    def _search(self, condition: str, place: str) -> list[Departure]:
        """Breadth-first over edges; an edge's effect stands in for what has no finding of its own."""
        found: list[Departure] = []
        fringe: dict[Node, int] = {((condition,), place): max((edge.max_delay_ns for edge in self._edges), default=0)}
        reached: dict[Node, int] = {}
        for _ in range(MAX_STEPS):
            following: dict[Node, int] = {}
            for (conditions, from_place), allowed_ns in fringe.items():
                for edge in self._edges:
                    captured = _fits(edge.cause, conditions, from_place)
                    if captured is None:
                        continue
                    longest_ns = min(allowed_ns, edge.max_delay_ns)
                    found.append(Departure(edge, from_place, longest_ns))
                    stand_in = _literal(edge.effect.place, captured)
                    if stand_in is None or (edge.same_branch and not _one_branch(from_place, stand_in)):
                        continue
                    node = (edge.effect.condition, stand_in)
                    if longest_ns > reached.get(node, -1):
                        reached[node] = following[node] = longest_ns
            fringe = following
        return found


def _one_branch(one: str, other: str) -> bool:
    return is_within(one, other) or is_within(other, one)


def _fits(pattern: CausePattern, conditions: tuple[str, ...], place: str) -> dict[str, str] | None:
    """The named steps of the place where the pattern fits, None where it does not. `conditions` may be patterns themselves."""
    if not any(fnmatchcase(have, wanted) or fnmatchcase(wanted, have) for have in conditions for wanted in pattern.condition):
        return None
    match = place_expression(pattern.place).fullmatch(place)
    return None if match is None else match.groupdict()


def _literal(pattern: str, captured: dict[str, str]) -> str | None:
    """The one place that a pattern stands for once its names are known, with all below it; None where it stands for many."""
    place = re.sub(NAMED, lambda name: captured.get(f"_{name[0][1:-1]}", name[0]), pattern.removesuffix("/**"))
    return None if any(sign in place for sign in "*{") else place
