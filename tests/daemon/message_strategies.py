"""Findings, incidents and everything else that travels as a message, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from daemon.messages import Answer, DeadLetter, FindingReport, Message, Progress, StageStatus
from daemon.records import Incident, IncidentState, Label, LabelKind, Plan, PlanState, TimelineEntry
from detectors.finding import Certainty, Contribution, Evidence, Finding, Severity, Unit

NS = st.integers(-(2**63) + 1, 2**63 - 1)
TEXT = st.text(max_size=6)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
SEVERITIES = st.sampled_from(Severity)

CONTRIBUTIONS = st.builds(Contribution, TEXT, TEXT, st.floats(), st.floats(), st.floats(), TEXT, TEXT)
FINDINGS = st.builds(
    Finding,
    key=TEXT,
    source=TEXT,
    unit=st.builds(Unit, TEXT, TEXT, TEXT, TEXT, SEVERITIES),
    detectors=TEXTS,
    severity=SEVERITIES,
    certainty=st.sampled_from(Certainty),
    since_ns=NS,
    raised_ns=NS,
    last_ns=NS,
    cleared_ns=st.none() | NS,
    tail_probability=st.none() | st.floats(),
    evidence=st.builds(Evidence, TEXT, st.lists(CONTRIBUTIONS, max_size=3).map(tuple), TEXTS),
    reason=TEXT,
)
INCIDENTS = st.builds(
    Incident,
    **dict.fromkeys(
        (
            *("id", "condition", "cause_place", "cause_channel", "sentence", "why", "decision", "runbook", "owner", "merged_into"),
            *("reason", "reading", "cause_finding", "conditions"),
        ),
        TEXT,
    ),
    **dict.fromkeys(("places", "victims", "detectors", "findings"), TEXTS),
    **dict.fromkeys(("started_ns", "opened_ns", "updated_ns", "pictured_ns"), NS),
    resolved_ns=st.none() | NS,
    silenced_until_ns=st.none() | NS,
    revision=st.integers(1, 2**31 - 1),
    state=st.sampled_from(IncidentState),
    severity=SEVERITIES,
    certainty=st.sampled_from(Certainty),
    timeline=st.lists(st.builds(TimelineEntry, NS, TEXT, TEXT), max_size=3).map(tuple),
)
LABELS = st.builds(Label, TEXT, TEXT, st.sampled_from(LabelKind), TEXT, NS, TEXT, st.none() | NS)
DEAD_LETTERS = st.builds(DeadLetter.of, NS, TEXT, TEXT, st.text(), st.binary())
PLANS = st.builds(
    Plan,
    **dict.fromkeys(("key", "kind", "cluster", "subject", "place", "why", "gain_unit", "incident", "outcome"), TEXT),
    **dict.fromkeys(("actions", "undo"), TEXTS),
    **dict.fromkeys(("made_ns", "valid_until_ns", "changed_ns"), NS),
    **dict.fromkeys(("expected_gain", "gain_low", "gain_high"), st.floats()),
    state=st.sampled_from(PlanState),
    acted=st.booleans(),
)
STATUSES = st.builds(StageStatus, TEXT, TEXT, NS, st.dictionaries(TEXT, TEXT | st.integers(-9, 9) | st.lists(TEXT, max_size=2), max_size=3))
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(FindingReport, TEXT, NS, FINDINGS, TEXT, TEXT),
    st.builds(Progress, TEXT, NS),
    st.builds(Answer, TEXT, TEXTS, TEXT, NS),
    INCIDENTS,
    LABELS,
    DEAD_LETTERS,
    PLANS,
    STATUSES,
)
