"""Findings, incidents and everything else that travels as a message, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from daemon.messages import DeadLetter, FindingReport, Message, Progress
from daemon.records import Incident, IncidentState, Label, LabelKind, TimelineEntry
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
        ("id", "condition", "cause_place", "cause_channel", "sentence", "why", "decision", "runbook", "owner", "merged_into", "reason"),
        TEXT,
    ),
    **dict.fromkeys(("places", "victims", "detectors", "findings"), TEXTS),
    **dict.fromkeys(("started_ns", "opened_ns", "updated_ns"), NS),
    resolved_ns=st.none() | NS,
    revision=st.integers(1, 2**31 - 1),
    state=st.sampled_from(IncidentState),
    severity=SEVERITIES,
    certainty=st.sampled_from(Certainty),
    timeline=st.lists(st.builds(TimelineEntry, NS, TEXT, TEXT), max_size=3).map(tuple),
)
LABELS = st.builds(Label, TEXT, TEXT, st.sampled_from(LabelKind), TEXT, NS, TEXT)
DEAD_LETTERS = st.builds(DeadLetter.of, NS, TEXT, TEXT, st.text(), st.binary())
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(FindingReport, TEXT, NS, FINDINGS), st.builds(Progress, TEXT, NS), INCIDENTS, LABELS, DEAD_LETTERS
)
