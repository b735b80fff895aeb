"""Which findings belong together, and which of them is the cause."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from collectors.frame import is_within
from daemon.correlate.graph import CausalityGraph
from detectors.finding import Certainty, Finding, Severity

SEVERITIES = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
CERTAINTIES = (Certainty.UNSURE, Certainty.LIKELY, Certainty.SURE)


def end_ns(finding: Finding, now_ns: int) -> int:
    """When it ended; now, while it lasts."""
    return now_ns if finding.cleared_ns is None else finding.last_ns


class Grouping:
    """Relations between findings, by place, time and causality."""

    def __init__(self, graph: CausalityGraph, root: str, join_window_ns: int) -> None:
        self._graph = graph
        self._root = root
        self._window_ns = join_window_ns

    def related(self, one: Finding, other: Finding, now_ns: int) -> bool:
        """Whether two findings belong to one incident: close in time, and on one branch of the tree, cause and effect, or of one victim."""
        window_ns = self._window_ns
        if one.since_ns > end_ns(other, now_ns) + window_ns or other.since_ns > end_ns(one, now_ns) + window_ns:
            return False
        if self._graph.explains(one, other) or self._graph.explains(other, one):
            return True
        return self._one_branch(one, other) or self._share_victims(one, other)

    def _one_branch(self, one: Finding, other: Finding) -> bool:
        """Same place, or one contains the other. The root contains everything: it relates only what one source says of it."""
        place, other_place = one.unit.place, other.unit.place
        if {place, other_place} & {"", self._root}:
            return place == other_place and one.source == other.source
        return is_within(place, other_place) or is_within(other_place, place)

    def _share_victims(self, one: Finding, other: Finding) -> bool:
        """Whether one suffers from the other, or a third from both: several causes of one stop are one incident."""
        if not one.evidence.victims and not other.evidence.victims:
            return False
        named = ({*f.evidence.victims, f.unit.place} - {"", self._root} for f in (one, other))
        return one.unit.place != other.unit.place and not next(named).isdisjoint(next(named))

    def weighed(self, depths: Mapping[str, int], others: Iterable[Finding], finding: Finding, *, taken_out: bool = False) -> dict[str, int]:
        """`depths` after a finding has joined the others, or was taken out from among them.

        A depth is how many other findings explain one without being explained by it in turn. It depends on what never
        changes of a finding, so that each pair is looked at once and not again with every report.
        """
        changed = dict(depths)
        own = 0
        for other in others:
            explains, explained = self._graph.explains(finding, other), self._graph.explains(other, finding)
            if explains and not explained:
                changed[other.key] += -1 if taken_out else 1
            own += explained and not explains
        if taken_out:
            del changed[finding.key]
        else:
            changed[finding.key] = own
        return changed

    def causes_first(self, findings: Iterable[Finding], depths: Mapping[str, int]) -> list[Finding]:
        """The findings in order: what nothing else explains first, then the worst, surest, earliest and most particular place."""
        return sorted(findings, key=lambda f: (depths[f.key], *_rank(f)))


def _rank(finding: Finding) -> tuple[int, int, int, int, str]:
    cleared = finding.cleared_ns is not None
    worse_first = -SEVERITIES.index(finding.severity)
    surer_first = -CERTAINTIES.index(finding.certainty)
    return (worse_first + cleared, surer_first, finding.since_ns, -finding.unit.place.count("/"), finding.key)
