"""Findings in, incidents out. A pure function of the reports in the order of their event time.

Reports wait until every stream has progressed beyond their time, so that a replay at full speed, a live run and a run
after a crash take them in the same order and give the same incidents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from collectors.frame import digest_of
from daemon.correlate import words
from daemon.correlate.bounds import rolled_up, shortened
from daemon.correlate.grouping import SEVERITIES, Grouping
from daemon.correlate.labelling import ends, labelled
from daemon.messages import FindingReport
from daemon.records import Incident, IncidentState, Label, TimelineEntry
from detectors.finding import Finding, Severity

MAX_FINDINGS = 10_000
"""Keys of findings that an incident carries. With the bounds of its timeline and places, an incident always fits into a message."""


@dataclass(frozen=True, slots=True)
class Open:
    """An incident with its findings, by key, and how many others explain each (see `Grouping.weighed`)."""

    incident: Incident
    findings: Mapping[str, Finding] = field(default_factory=dict)
    depths: Mapping[str, int] = field(default_factory=dict)

    def lasting(self) -> bool:
        """Whether any of it has not cleared."""
        return any(finding.cleared_ns is None for finding in self.findings.values())


class Correlator:
    """Keeps the incidents that are open or were resolved a short while ago. Not thread safe."""

    def __init__(
        self,
        grouping: Grouping,
        *,
        reopen_window_ns: int,
        decisions: Mapping[str, str],
        suggested: Mapping[str, tuple[str, str]],
        opens_at: Severity = Severity.WARNING,
    ) -> None:
        self._grouping = grouping
        self._reopen_window_ns = reopen_window_ns
        self._decisions = decisions
        self._suggested = {**words.DECISIONS, **suggested}
        self._opens_at = SEVERITIES.index(opens_at)
        self.known: dict[str, Open] = {}
        self.dismissed: dict[str, None] = {}
        """Findings that last although a person has ended their incident: they open none, however long they last."""

    def restore(self, known: Iterable[tuple[Incident, Sequence[Finding]]], dismissed: Iterable[str] = ()) -> None:
        """Goes on from what was known: incidents with their findings, and findings of those that a person has ended."""
        self.dismissed = dict.fromkeys(dismissed)
        self.known = {incident.id: self._with(Open(incident), findings) for incident, findings in known}

    def apply(self, report: FindingReport) -> list[Incident]:
        """Takes one report in; the incidents that it changed. What was said before, or is older than what is known, changes nothing."""
        changed = self._taken(report)
        return [self._pictured(incident, report) for incident in changed] if report.figure else changed

    def _pictured(self, incident: Incident, report: FindingReport) -> Incident:
        """Receivers that show the picture of the cause learn that there is a new one."""
        if incident.cause_finding != report.finding.key or incident.merged_into:
            return incident
        pictured = replace(incident, pictured_ns=report.at_ns)
        self.known[incident.id] = replace(self.known[incident.id], incident=pictured)
        return pictured

    def _taken(self, report: FindingReport) -> list[Incident]:
        finding, at_ns = report.finding, report.at_ns
        self._forget(at_ns)
        if finding.key in self.dismissed:
            if finding.cleared_ns is not None:
                del self.dismissed[finding.key]
            return []
        holder = next((o for o in self.known.values() if finding.key in o.findings), None)
        if holder is not None:
            return self._update(holder, finding, at_ns) if _is_news(finding, holder.findings[finding.key]) else []
        if finding.cleared_ns is not None or self._has_later(finding):
            return []  # it was over before anybody heard of it
        joined = [o for o in self.known.values() if self._joins(o, finding, at_ns)]
        if not joined:
            return self._open(finding, at_ns, report.conditions) if SEVERITIES.index(finding.severity) >= self._opens_at else []
        first, *others = sorted(joined, key=lambda o: (o.incident.opened_ns, o.incident.id))
        merged = [self._merge(other, first.incident.id, at_ns) for other in others]
        whole = self._with(_heir(first, others, at_ns), [f for o in others for f in o.findings.values()])
        return [*merged, *self._update(whole, finding, at_ns)]

    def label(self, label: Label, stored: Incident | None = None) -> list[Incident]:
        """What a person said of an incident; the incidents that it changed. `stored` is one that is not known here any more."""
        holder = self.known.get(label.incident)
        incident = stored if holder is None else holder.incident
        if incident is None:
            return []
        changed = labelled(incident, label)
        if changed is incident:
            return []  # it has arrived twice
        if holder is not None:
            if ends(incident, label):
                self.dismissed.update((key, None) for key, finding in holder.findings.items() if finding.cleared_ns is None)
                holder = _ended(holder, label.time_ns)
            self.known[incident.id] = replace(holder, incident=changed)
        return [changed]

    def _joins(self, other: Open, finding: Finding, now_ns: int) -> bool:
        if other.incident.state is IncidentState.RESOLVED:  # only the same thing again reopens it
            return any(f.unit.key == finding.unit.key for f in other.findings.values())
        return any(self._grouping.related(f, finding, now_ns) for f in other.findings.values())

    def _open(self, finding: Finding, at_ns: int, conditions: str) -> list[Incident]:
        opened = Incident(
            id=digest_of("incident", finding.key),
            revision=0,
            state=IncidentState.OPEN,
            severity=finding.severity,
            certainty=finding.certainty,
            condition=finding.unit.condition,
            cause_place=finding.unit.place,
            cause_channel=finding.unit.name,
            sentence="",
            why="",
            decision="",
            runbook="",
            places=(),
            victims=(),
            detectors=(),
            findings=(),
            started_ns=finding.since_ns,
            opened_ns=at_ns,
            updated_ns=at_ns,
            conditions=conditions,
        )
        return self._update(Open(opened), finding, at_ns)

    def _update(self, holder: Open, finding: Finding, at_ns: int) -> list[Incident]:
        """The incident with a finding added or changed, worked out anew from all its findings."""
        before = holder.incident
        whole = self._with(holder, [finding])
        lasting = whole.lasting()
        changed = self._described(whole, at_ns)
        entries = list(before.timeline)
        if finding.key not in holder.findings:
            entries.append(
                TimelineEntry(at_ns, "shiftwatch", f"{'opened' if not before.findings else 'joins'}: {finding.evidence.summary}")
            )
        elif finding.cleared_ns is not None and holder.findings[finding.key].cleared_ns is None:
            entries.append(TimelineEntry(at_ns, "shiftwatch", f"cleared: {finding.unit.name}"))
        if not lasting and before.state is not IncidentState.RESOLVED:
            entries.append(TimelineEntry(at_ns, "shiftwatch", "resolved"))
            changed = replace(changed, state=IncidentState.RESOLVED, resolved_ns=at_ns)
        elif lasting and before.state is IncidentState.RESOLVED:
            entries.append(TimelineEntry(at_ns, "shiftwatch", "opened again"))
            changed = replace(changed, state=IncidentState.OPEN, resolved_ns=None)
        changed = replace(changed, timeline=shortened(entries))
        self.known[changed.id] = replace(whole, incident=changed)
        return [changed]

    def _with(self, holder: Open, findings: Iterable[Finding]) -> Open:
        """The incident with findings added or replaced. Of the episodes of a unit it keeps the first and the last.

        The last says how it stands, the first what it can have brought about.
        """
        held, depths = dict(holder.findings), holder.depths
        for finding in findings:
            if finding.key not in held:
                episodes = sorted((f for f in held.values() if _subject(f) == _subject(finding)), key=_since)
                for between in episodes[1:]:
                    del held[between.key]
                    depths = self._grouping.weighed(depths, held.values(), between, taken_out=True)
                for first in episodes[:1]:
                    if first.cleared_ns is None:  # nobody else would end it
                        held[first.key] = replace(first, cleared_ns=finding.since_ns)
                depths = self._grouping.weighed(depths, held.values(), finding)
            held[finding.key] = finding
        return replace(holder, findings=held, depths=depths)

    def _has_later(self, finding: Finding) -> bool:
        """Whether a later episode of the same unit is known already."""
        subject = _subject(finding)
        return any(f.since_ns > finding.since_ns and _subject(f) == subject for o in self.known.values() for f in o.findings.values())

    def _described(self, whole: Open, at_ns: int) -> Incident:
        before = whole.incident
        ordered = self._grouping.causes_first(whole.findings.values(), whole.depths)
        cause = ordered[0]
        suffering = {place for f in ordered for place in f.evidence.victims} | {f.unit.place for f in ordered[1:]}
        victims = rolled_up(suffering - {cause.unit.place})
        told = {_subject(f): f for f in reversed(ordered)}  # of the episodes of a unit the one that comes first
        todo, runbook = words.decision(cause, self._decisions, self._suggested)
        return replace(
            before,
            revision=before.revision + 1,
            severity=max((f.severity for f in ordered), key=SEVERITIES.index),
            certainty=cause.certainty,
            condition=cause.unit.condition,
            cause_place=cause.unit.place,
            cause_channel=cause.unit.name,
            sentence=words.sentence(cause),
            why=words.why([f for f in ordered if told[_subject(f)] is f], victims),
            decision=todo,
            runbook=runbook,
            reason=cause.reason,
            places=rolled_up({f.unit.place for f in ordered} | suffering),
            victims=victims,
            detectors=tuple(sorted({name for f in ordered for name in f.detectors})),
            findings=tuple(whole.findings)[:MAX_FINDINGS],
            started_ns=min(f.since_ns for f in ordered),
            updated_ns=at_ns,
            reading=words.reading(cause),
            cause_finding=cause.key,
        )

    def _merge(self, other: Open, into: str, at_ns: int) -> Incident:
        """An incident that turned out to be part of an earlier one ends there."""
        incident = other.incident
        entry = TimelineEntry(at_ns, "shiftwatch", f"is part of incident {into}")
        ended = replace(
            incident,
            revision=incident.revision + 1,
            state=IncidentState.RESOLVED,
            resolved_ns=at_ns if incident.resolved_ns is None else incident.resolved_ns,
            updated_ns=at_ns,
            merged_into=into,
            timeline=shortened([*incident.timeline, entry]),
        )
        del self.known[incident.id]
        return ended

    def _forget(self, now_ns: int) -> None:
        """Drops what was resolved so long ago that it cannot open again."""
        limit_ns = now_ns - self._reopen_window_ns
        for key, other in list(self.known.items()):
            resolved_ns = other.incident.resolved_ns
            if other.incident.state is IncidentState.RESOLVED and resolved_ns is not None and resolved_ns < limit_ns:
                del self.known[key]


def _is_news(finding: Finding, known: Finding) -> bool:
    """Whether a report tells more than what is known; what has cleared stays cleared."""
    return known.cleared_ns is None and (finding.cleared_ns is not None or finding.last_ns > known.last_ns)


def _heir(first: Open, others: Sequence[Open], at_ns: int) -> Open:
    """The incident that others become part of: who was on one of those that last is on it, unless somebody is already."""
    before = first.incident
    owners = [o.incident.owner for o in others if o.incident.owner and o.incident.state is not IncidentState.RESOLVED]
    if before.owner or not owners:
        return first
    heir = replace(before, owner=owners[0], state=IncidentState.ACKNOWLEDGED, resolved_ns=None)
    if before.state is IncidentState.RESOLVED:
        heir = replace(heir, timeline=(*before.timeline, TimelineEntry(at_ns, "shiftwatch", "opened again")))
    return replace(first, incident=heir)


def _ended(holder: Open, at_ns: int) -> Open:
    """The incident with all that lasts of it taken as cleared: the same episodes do not open it again."""
    findings = {
        key: finding if finding.cleared_ns is not None else replace(finding, cleared_ns=max(at_ns, finding.last_ns))
        for key, finding in holder.findings.items()
    }
    return replace(holder, findings=findings)


def _since(finding: Finding) -> int:
    return finding.since_ns


def _subject(finding: Finding) -> tuple[str, str, str, tuple[str, ...]]:
    """Whose episodes follow one another: one unit, as one detector sees it."""
    return finding.source, finding.unit.key, finding.unit.condition, finding.detectors
