"""What people deal with: incidents, the labels they put on them, and plans."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from detectors.finding import Certainty, Severity


def iso(time_ns: int | None) -> str | None:
    """ISO 8601 in UTC with milliseconds ("2016-11-30T12:19:48.371Z"); None stays None."""
    if time_ns is None:
        return None
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % 1_000_000_000 // 1_000_000:03d}Z"


class IncidentState(StrEnum):
    """Open until everything in it has cleared; acknowledged once somebody is on it."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """Something that happened to an incident: `what` is a sentence, `who` a person or "shiftwatch"."""

    time_ns: int
    who: str
    what: str


@dataclass(frozen=True, slots=True)
class Incident:
    """Findings that belong together, with one cause and one suggested decision.

    The id is stable over restarts and replays: it is made of the finding that opened it. `revision` grows with every
    change; a receiver that has seen a revision needs no older one. Event time throughout, ns since 1970, UTC.
    `merged_into` names the incident that took this one over, once both turned out to have one cause. `reading` is what the
    cause showed last, with its unit ("IMon 12.3 uA instead of 4.1 uA"); `cause_finding` is the key of the finding whose
    picture comes first. `silenced_until_ns`: until then receivers stay quiet about it. `conditions`: those under which it
    opened ("run 382711, LS 214 · stable beams"). `pictured_ns` is when the picture of its cause was taken last, 0 for never.
    """

    id: str
    revision: int
    state: IncidentState
    severity: Severity
    certainty: Certainty
    condition: str
    cause_place: str
    cause_channel: str
    sentence: str
    why: str
    decision: str
    runbook: str
    places: tuple[str, ...]
    victims: tuple[str, ...]
    detectors: tuple[str, ...]
    findings: tuple[str, ...]
    started_ns: int
    opened_ns: int
    updated_ns: int
    resolved_ns: int | None = None
    owner: str = ""
    merged_into: str = ""
    reason: str = ""
    timeline: tuple[TimelineEntry, ...] = ()
    reading: str = ""
    cause_finding: str = ""
    silenced_until_ns: int | None = None
    conditions: str = ""
    pictured_ns: int = 0

    def silenced(self, at_ns: int) -> bool:
        """Whether somebody asked for quiet about it until later than `at_ns`."""
        return self.silenced_until_ns is not None and at_ns < self.silenced_until_ns

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints: the fields that scripts rely on."""
        return {
            "id": self.id,
            "state": str(self.state),
            "severity": str(self.severity),
            "certainty": str(self.certainty),
            "condition": self.condition,
            "cause": {"place": self.cause_place, "channel": self.cause_channel},
            "places": list(self.places),
            "victims": list(self.victims),
            "started": iso(self.started_ns),
            "opened": iso(self.opened_ns),
            "resolved": iso(self.resolved_ns),
            "findings": len(self.findings),
            "sentence": self.sentence,
            "why": self.why,
            "decision": self.decision,
            "runbook": self.runbook,
            "owner": self.owner,
            "reading": self.reading,
            "conditions": self.conditions,
            "silenced_until": iso(self.silenced_until_ns),
        }


class LabelKind(StrEnum):
    """What a person says of an incident: I am on it; it is real; it is nothing; not now; it is over.

    Not a problem and resolve end it: what lasts of it opens no incident any more, only what begins anew does.
    """

    ACKNOWLEDGE = "acknowledge"
    REAL = "real"
    NOT_A_PROBLEM = "not_a_problem"
    SILENCE = "silence"
    RESOLVE = "resolve"


@dataclass(frozen=True, slots=True)
class Label:
    """One thing a person said of an incident, at a time. `key` makes it the same label when it arrives twice.

    `until_ns` is that of a silence.
    """

    key: str
    incident: str
    kind: LabelKind
    who: str
    time_ns: int
    comment: str = ""
    until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ShadowFinding:
    """Something that a detector or model in shadow would have said. version: of the model, 0 for one learned while watching."""

    key: str
    stream: str
    detector: str
    version: int
    since_ns: int
    raised_ns: int
    cleared_ns: int | None
    certainty: str
    unit: str
    place: str
    condition: str
    summary: str


class PlanState(StrEnum):
    """Proposed; active once it was carried out (by the daemon or by a person); ended: undone, withdrawn or expired."""

    PROPOSED = "proposed"
    ACTIVE = "active"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the optimizer proposes: actions in order, the gain expected of them with its interval, and how to undo them.

    kind: "drain" or "order"; subject: the node, or the name of the policy. The actions are commands of the cluster as a person would
    type them. `why` is a sentence; `incident` the incident that it was made for ("" for none); `outcome` what became of it.
    """

    key: str
    kind: str
    cluster: str
    subject: str
    place: str
    state: PlanState
    actions: tuple[str, ...]
    undo: tuple[str, ...]
    why: str
    expected_gain: float
    gain_low: float
    gain_high: float
    gain_unit: str
    made_ns: int
    valid_until_ns: int
    changed_ns: int
    acted: bool = False
    incident: str = ""
    outcome: str = ""

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "key": self.key,
            "kind": self.kind,
            "cluster": self.cluster,
            "subject": self.subject,
            "place": self.place,
            "state": str(self.state),
            "actions": list(self.actions),
            "undo": list(self.undo),
            "why": self.why,
            "gain": {"expected": self.expected_gain, "low": self.gain_low, "high": self.gain_high, "unit": self.gain_unit},
            "made": iso(self.made_ns),
            "valid_until": iso(self.valid_until_ns),
            "changed": iso(self.changed_ns),
            "acted": self.acted,
            "incident": self.incident,
            "outcome": self.outcome,
        }
