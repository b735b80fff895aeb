"""Findings and reports for tests, with times in seconds."""

from __future__ import annotations

from dataclasses import replace

from collectors.frame import digest_of
from daemon.messages import FindingReport
from detectors.finding import Certainty, Evidence, Finding, Severity, Unit

S = 1_000_000_000


def finding(
    place: str,
    condition: str = "outlier",
    *,
    since: float = 1000,
    name: str = "",
    source: str = "source",
    severity: Severity = Severity.WARNING,
    certainty: Certainty = Certainty.SURE,
    evidence: Evidence | None = None,
    reason: str = "",
) -> Finding:
    """A finding that lasts, raised in the row in which it began."""
    unit = Unit(digest_of(source, place, condition, name), name or place, place, condition, severity)
    since_ns = int(since * S)
    return Finding(
        key=digest_of(source, unit.key, since_ns),
        source=source,
        unit=unit,
        detectors=("limits",),
        severity=severity,
        certainty=certainty,
        since_ns=since_ns,
        raised_ns=since_ns,
        last_ns=since_ns,
        cleared_ns=None,
        tail_probability=None,
        evidence=evidence or Evidence(f"{unit.name}: {condition}"),
        reason=reason,
    )


def raised(found: Finding, at: float | None = None, stream: str = "") -> FindingReport:
    """The report that it was raised."""
    return FindingReport(stream or found.source, found.raised_ns if at is None else int(at * S), found)


def cleared(found: Finding, at: float, stream: str = "") -> FindingReport:
    """The report that it has cleared; its last bad row was a second before."""
    ended = replace(found, last_ns=max(found.last_ns, int((at - 1) * S)), cleared_ns=int(at * S))
    return FindingReport(stream or found.source, int(at * S), ended)
