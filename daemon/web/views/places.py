"""The tree of places, each with the worst that is known in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collectors.frame import is_within
from daemon.records import Incident
from daemon.web.views.marks import AFFECTED, NO_DATA, QUIET, Mark, mark_of
from daemon.web.words import clean

CHILDREN_MOST = 6


@dataclass(frozen=True, slots=True)
class Node:
    """A place with the worst that is known in it, and `detail` that says it in words.

    children: the places below in which something is wrong, and how many `more` there are; affected: places that only suffer.
    """

    name: str
    place: str
    mark: Mark
    detail: str
    children: tuple[Node, ...] = ()
    more: int = 0
    affected: int = 0


def tree(
    root: str, places: Iterable[str], incidents: Sequence[Incident], silent: Sequence[str] = (), watched: Sequence[str] = ()
) -> tuple[Node, tuple[Node, ...]]:
    """The experiment and its branches, each with its worst state; what no living source covers is not called quiet."""
    known = {*places, *(i.cause_place for i in incidents), *(place for i in incidents for place in i.places)}
    branches = {"/".join(steps[:2]) if steps[0] == root else steps[0] for place in known if (steps := place.split("/"))[0]} - {root}
    causes = [(i.cause_place, mark_of(i)) for i in incidents]
    affected = {place for i in incidents for place in (*i.victims, *i.places)}
    dead = [place for place in silent if not any(is_within(place, other) or is_within(other, place) for other in watched)]
    nodes = tuple(_node(branch, causes, affected, dead, deeper=True) for branch in sorted(branches, key=str.casefold))
    whole = max([node.mark for node in nodes] + [mark for place, mark in causes if place == root], key=lambda m: m.rank, default=QUIET)
    return Node(clean(root), root, whole, whole.word), nodes


def _node(place: str, causes: Sequence[tuple[str, Mark]], affected: set[str], dead: Sequence[str], *, deeper: bool) -> Node:
    here = [mark for cause, mark in causes if is_within(cause, place)]
    hit = {victim for victim in affected if is_within(victim, place)}
    fallback = AFFECTED if hit else NO_DATA if any(is_within(place, gone) for gone in dead) else QUIET
    worst = max([*here, fallback], key=lambda mark: mark.rank)
    below = {"/".join(cause.split("/")[: place.count("/") + 2]) for cause, _ in causes if is_within(cause, place)} - {place}
    nodes = sorted((_node(child, causes, set(), (), deeper=False) for child in below if deeper), key=lambda n: (-n.mark.rank, n.name))
    shown, more = tuple(nodes[:CHILDREN_MOST]), max(0, len(nodes) - CHILDREN_MOST)
    return Node(
        clean(place.rpartition("/")[2]), place, worst, _in_words(here, worst), shown, more, len(hit - {cause for cause, _ in causes})
    )


def _in_words(here: Sequence[Mark], worst: Mark) -> str:
    counts = Counter(mark.word for mark in here)
    return ", ".join(f"{count} {word}" for word, count in counts.items()) or worst.word
