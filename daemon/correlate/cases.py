"""Keeps the cause of each incident as a case that labels can be learned from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sqlalchemy import Connection

from daemon.correlate.correlator import Open
from daemon.records import Incident
from daemon.store.cases import drop_case, has_verdict, put_case
from detectors.reranking import Case

SETTLED_NS = 60_000_000_000
"""A case is its incident at this age: others have joined it, and what is new and what is over are seen alike."""


def keep_cases(connection: Connection, changed: Iterable[Incident], known: Mapping[str, Open]) -> None:
    """Writes the cases of incidents that changed, in the caller's transaction.

    A case stays as it is once somebody has said what the incident was: what a label brings about (an incident that was dismissed
    is soon over) must not tell of the label.
    """
    for incident in changed:
        if incident.merged_into:
            drop_case(connection, incident.id)
            continue
        holder = known.get(incident.id)
        case = None if holder is None else _case_of(incident, holder)
        if case is not None and not has_verdict(connection, incident.id):
            put_case(connection, incident.id, case)


def _case_of(incident: Incident, holder: Open) -> Case | None:
    """The cause as it stood when the incident was SETTLED_NS old, however much later that is worked out; None where it is not known."""
    cause = holder.findings.get(incident.cause_finding)
    if cause is None:
        return None
    until_ns = max(incident.opened_ns + SETTLED_NS, cause.raised_ns)
    agreeing = {name for finding in holder.findings.values() if finding.raised_ns <= until_ns for name in finding.detectors}
    return Case.of(replace(cause, last_ns=min(cause.last_ns, until_ns)), len(agreeing))
