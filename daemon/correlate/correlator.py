"""Findings in, incidents out. A pure function of the reports in the order of their event time.

Reports wait until every stream has progressed beyond their time, so that a replay at full speed, a live run and a run
after a crash take them in the same order and give the same incidents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from collectors.frame import digest_of
from daemon.correlate import words
from daemon.correlate.grouping import SEVERITIES, Grouping
from daemon.messages import FindingReport
from daemon.records import Incident, IncidentState, Label, LabelKind, TimelineEntry
from detectors.finding import Finding, Severity


@dataclass(frozen=True, slots=True)
class Open:
    """An incident with its findings, by key."""

    incident: Incident
    findings: Mapping[str, Finding] = field(default_factory=dict)

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

    def apply(self, report: FindingReport) -> list[Incident]:
        """Takes one report in; the incidents that it changed."""
        finding, at_ns = report.finding, report.at_ns
        self._forget(at_ns)
        holder = next((o for o in self.known.values() if finding.key in o.findings), None)
        if holder is not None:
            if holder.findings[finding.key] == finding:
                return []
            return self._update(holder, finding, at_ns)
        if finding.cleared_ns is not None:
            return []  # it was over before anybody heard of it
        joined = [o for o in self.known.values() if self._joins(o, finding, at_ns)]
        if not joined:
            return self._open(finding, at_ns) if SEVERITIES.index(finding.severity) >= self._opens_at else []
        first, *others = sorted(joined, key=lambda o: (o.incident.opened_ns, o.incident.id))
        merged = [self._merge(other, first.incident.id, at_ns) for other in others]
        findings = {**first.findings, **{key: f for o in others for key, f in o.findings.items()}}
        return [*merged, *self._update(replace(first, findings=findings), finding, at_ns)]

    def label(self, label: Label) -> list[Incident]:
        """What a person said of an incident; the incidents that it changed."""
        holder = self.known.get(label.incident)
        if holder is None:
            return []
        incident = holder.incident
        state = incident.state
        if label.kind is LabelKind.ACKNOWLEDGE and state is IncidentState.OPEN:
            state = IncidentState.ACKNOWLEDGED
        said = TimelineEntry(label.time_ns, label.who, f"{label.kind.replace('_', ' ')}{': ' + label.comment if label.comment else ''}")
        owner = label.who if label.kind is LabelKind.ACKNOWLEDGE else incident.owner
        changed = replace(incident, state=state, owner=owner, revision=incident.revision + 1, timeline=(*incident.timeline, said))
        self.known[incident.id] = replace(holder, incident=changed)
        return [changed]

    def _joins(self, other: Open, finding: Finding, now_ns: int) -> bool:
        if other.incident.state is IncidentState.RESOLVED:  # only the same thing again reopens it
            return any(f.unit.key == finding.unit.key for f in other.findings.values())
        return any(self._grouping.related(f, finding, now_ns) for f in other.findings.values())

    def _open(self, finding: Finding, at_ns: int) -> list[Incident]:
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
        )
        return self._update(Open(opened), finding, at_ns)

    def _update(self, holder: Open, finding: Finding, at_ns: int) -> list[Incident]:
        """The incident with a finding added or changed, worked out anew from all its findings."""
        findings = {**holder.findings, finding.key: finding}
        before = holder.incident
        lasting = any(f.cleared_ns is None for f in findings.values())
        changed = self._described(before, findings, at_ns)
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
        changed = replace(changed, timeline=tuple(entries))
        self.known[changed.id] = Open(changed, findings)
        return [changed]

    def _described(self, before: Incident, findings: Mapping[str, Finding], at_ns: int) -> Incident:
        ordered = self._grouping.causes_first(findings.values())
        cause = ordered[0]
        suffering = {place for f in ordered for place in f.evidence.victims} | {f.unit.place for f in ordered[1:]}
        victims = tuple(sorted(suffering - {cause.unit.place}))
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
            why=words.why(ordered, victims),
            decision=todo,
            runbook=runbook,
            reason=cause.reason,
            places=tuple(sorted({f.unit.place for f in ordered} | suffering)),
            victims=victims,
            detectors=tuple(sorted({name for f in ordered for name in f.detectors})),
            findings=tuple(findings),
            started_ns=min(f.since_ns for f in ordered),
            updated_ns=at_ns,
        )

    def _merge(self, other: Open, into: str, at_ns: int) -> Incident:
        """An incident that turned out to be part of an earlier one ends there."""
        incident = other.incident
        entry = TimelineEntry(at_ns, "shiftwatch", f"is part of incident {into}")
        ended = replace(
            incident,
            revision=incident.revision + 1,
            state=IncidentState.RESOLVED,
            resolved_ns=at_ns,
            updated_ns=at_ns,
            merged_into=into,
            timeline=(*incident.timeline, entry),
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
