"""From events of judges to findings with deterministic keys."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from collectors.frame import digest_of
from daemon import messages
from daemon.messages import FindingReport
from detectors.figure import Figure
from detectors.finding import Certainty, Evidence, Finding, Uncertainty, Unit


@dataclass(frozen=True, slots=True)
class Event:
    """A unit began to be bad (`cleared_ns` None) or is good again. `at_ns`: event time at which this became known."""

    at_ns: int
    unit: Unit
    detector: str
    since_ns: int
    raised_ns: int
    last_ns: int
    cleared_ns: int | None
    evidence: Evidence | None = None
    certainty: Certainty = Certainty.SURE
    tail_probability: float | None = None
    reason: str = ""
    figure: Figure | None = None
    uncertainty: Uncertainty | None = None


class FindingBook:
    """The findings of one stream that last. The key is made of source, unit, detector and beginning: found twice, it is the same."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._active: dict[str, Finding] = {}

    @property
    def active(self) -> int:
        """How many last."""
        return len(self._active)

    def lasting(self, keys: Collection[str]) -> list[Finding]:
        """Those of some keys that last."""
        return [finding for key, finding in self._active.items() if key in keys]

    def take(self, event: Event) -> Finding:
        """The finding as it is after an event."""
        key = digest_of("finding", self._source, event.unit.key, event.unit.condition, event.detector, event.since_ns)
        known = self._active.get(key)
        if known is None:
            known = Finding(
                key=key,
                source=self._source,
                unit=event.unit,
                detectors=(event.detector,),
                severity=event.unit.severity,
                certainty=event.certainty,
                since_ns=event.since_ns,
                raised_ns=event.raised_ns,
                last_ns=event.last_ns,
                cleared_ns=None,
                tail_probability=event.tail_probability,
                evidence=event.evidence or Evidence(event.unit.name),
                reason=event.reason,
                uncertainty=event.uncertainty,
            )
            self._active[key] = known
        if event.cleared_ns is not None:
            del self._active[key]
            return replace(known, last_ns=event.last_ns, cleared_ns=event.cleared_ns)
        if event.last_ns > known.last_ns:
            known = self._active[key] = replace(known, last_ns=event.last_ns)
        if event.reason and event.reason != known.reason:  # a finding that has become a question
            known = self._active[key] = replace(known, certainty=event.certainty, reason=event.reason)
        return known

    def end_others(self, detectors: Collection[str], at_ns: int) -> list[Finding]:
        """Ends what was found by detectors that are no longer configured: nobody else would."""
        ended = [finding for finding in self._active.values() if not set(finding.detectors) & set(detectors)]
        for finding in ended:
            del self._active[finding.key]
        return [replace(finding, cleared_ns=max(at_ns, finding.last_ns)) for finding in ended]

    def state(self) -> list[str]:
        """What lasts, as texts."""
        return [messages.encode(FindingReport("", 0, finding)).decode() for finding in self._active.values()]

    def restore(self, state: list[str]) -> None:
        """Goes on from a `state`."""
        reports: list[Any] = [messages.decode(text.encode()) for text in state]
        self._active = {report.finding.key: report.finding for report in reports}
