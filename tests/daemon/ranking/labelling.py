"""Incidents in a database with what people called them: those of a pump are mostly nothing, those of the high voltage are real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from daemon.records import Incident, IncidentState, Label, LabelKind
from daemon.store.cases import put_case
from daemon.store.store import Store
from detectors.finding import Certainty, Severity
from detectors.reranking import Case

S = 1_000_000_000
START_NS = 1_700_000_000 * S
PUMP, HV = "LAB/pump", "LAB/hv"


def case(number: int, place: str = HV, *, seed: int = 1, **changes: object) -> Case:
    """The cause of incident `number`, ten minutes after the one before it; how rare it is says nothing."""
    rng = np.random.default_rng((seed, number))
    made = Case(
        f"f{number}", START_NS + number * 600 * S, "outlier", place, Severity.WARNING, Certainty.LIKELY, 10.0 ** -rng.uniform(3, 9), 1,
        int(rng.integers(1, 5)), float(rng.exponential(60)),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]  # fields of a case


def incident_of(known: Case, **changes: object) -> Incident:
    """The incident of which this is the case."""
    identity, at_ns = f"i{known.key[1:]}", known.raised_ns
    made = Incident(
        identity, 1, IncidentState.OPEN, known.severity, known.certainty, known.condition, known.place, "ch0",
        f"{known.place} {identity} is off.", "", "", "", (known.place,), (), ("robust_z",), (known.key,), at_ns, at_ns, at_ns,
        cause_finding=known.key,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]  # fields of an incident


def pumps_and_voltages(count: int, first: int = 0, **changes: object) -> list[Case]:
    """Causes in turn, from number `first` on."""
    places = (PUMP, HV)
    return [case(number, places[number % 2], **changes) for number in range(first, first + count)]  # type: ignore[arg-type]


def put(store: Store, cases: Sequence[Case], **changes: object) -> list[Incident]:
    """Writes them with their incidents."""
    incidents = [incident_of(each, **changes) for each in cases]
    with store.transaction() as connection:
        for incident, each in zip(incidents, cases, strict=True):
            store.put_incident(connection, incident)
            put_case(connection, incident.id, each)
    return incidents


def label(store: Store, cases: Sequence[Case], *, informative: bool = True) -> None:
    """People say what they were, a minute after each; one in ten is called the wrong thing, or half of them."""
    with store.transaction() as connection:
        for each in cases:
            rng = np.random.default_rng((7, int(each.key[1:])))
            is_real = (each.place == HV) != (rng.random() < 0.1) if informative else rng.random() < 0.5
            kind = LabelKind.REAL if is_real else LabelKind.NOT_A_PROBLEM
            incident = f"i{each.key[1:]}"
            assert store.put_label(connection, Label(f"l{incident}", incident, kind, "Ada", each.raised_ns + 60 * S))


def labelled(store: Store, count: int, *, informative: bool = True) -> list[Case]:
    """So many incidents with labels, that are over."""
    cases = pumps_and_voltages(count)
    put(store, cases, state=IncidentState.RESOLVED, resolved_ns=cases[-1].raised_ns)
    label(store, cases, informative=informative)
    return cases
