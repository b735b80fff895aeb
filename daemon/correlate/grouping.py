"""Which findings belong together, and which of them is the cause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
        """Whether two findings belong to one incident: close in time, and on one branch of the tree or cause and effect."""
        window_ns = self._window_ns
        if one.since_ns > end_ns(other, now_ns) + window_ns or other.since_ns > end_ns(one, now_ns) + window_ns:
            return False
        if self._graph.explains(one, other) or self._graph.explains(other, one):
            return True
        return self._one_branch(one.unit.place, other.unit.place)

    def _one_branch(self, one: str, other: str) -> bool:
        """Same place, or one contains the other; the root of the tree contains everything and so relates nothing."""
        if self._root in (one, other):
            return one == other
        return is_within(one, other) or is_within(other, one)

    def causes_first(self, findings: Iterable[Finding]) -> list[Finding]:
        """The findings in order: what nothing else explains first, then the worst, surest, earliest and most particular place."""
        findings = list(findings)
        explained = {f.key: self._depth(f, findings) for f in findings}
        return sorted(findings, key=lambda f: (explained[f.key], *_rank(f)))

    def _depth(self, finding: Finding, findings: Sequence[Finding]) -> int:
        """How many other findings explain it without being explained by it in turn."""
        return sum(self._graph.explains(other, finding) and not self._graph.explains(finding, other) for other in findings)


def _rank(finding: Finding) -> tuple[int, int, int, int, str]:
    lasting = finding.cleared_ns is not None
    worse_first = -SEVERITIES.index(finding.severity)
    surer_first = -CERTAINTIES.index(finding.certainty)
    return (worse_first + lasting, surer_first, finding.since_ns, -finding.unit.place.count("/"), finding.key)
