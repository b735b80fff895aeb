"""Incidents and labels to store."""

from __future__ import annotations

from daemon.records import Incident, IncidentState, Label, LabelKind
from daemon.store.store import Store
from detectors.finding import Certainty, Severity


def incident(identity: str = "a1", revision: int = 1, opened_ns: int = 10, **changes: object) -> Incident:
    """One that says what it is about, with some things changed."""
    described: dict[str, object] = {
        "state": IncidentState.OPEN,
        "severity": Severity.CRITICAL,
        "certainty": Certainty.SURE,
        "condition": "tripped",
        "cause_place": "CMS/HV",
        "cause_channel": "ch03",
        "sentence": "Vmon of ch03 fell to 0 V.",
        "why": "",
        "decision": "",
        "runbook": "",
        "places": ("CMS/HV",),
        "victims": (),
        "detectors": ("limits",),
        "findings": ("f1",),
        "started_ns": opened_ns,
        "opened_ns": opened_ns,
        "updated_ns": opened_ns,
        **changes,
    }
    return Incident(id=identity, revision=revision, **described)  # type: ignore[arg-type]  # as checked by the dataclass above


def label(key: str = "k1", of: str = "a1", who: str = "Ann", comment: str = "") -> Label:
    """What somebody said of the incident `of`."""
    return Label(key, of, LabelKind.REAL, who, 20, comment)


def put(store: Store, *incidents: Incident) -> None:
    """Writes incidents in a transaction of their own."""
    with store.transaction() as connection:
        for each in incidents:
            store.put_incident(connection, each)
