"""The cause of each incident becomes a case in the transaction of the incident, the same whenever it is worked out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.correlate.cases import SETTLED_NS
from daemon.messages import Progress
from daemon.records import IncidentState, Label, LabelKind
from daemon.store.cases import cases_of, labelled_cases
from detectors.finding import Certainty, Contribution, Evidence, Severity
from detectors.reranking import Case
from tests.daemon.correlating import Message, Site, trip
from tests.daemon.reports import S, cleared, finding, raised

EVIDENCE = Evidence("off", (Contribution("a", "DEMO/x", 1.0, 0.0, 0.9), Contribution("b", "DEMO/x", 1.0, 0.0, 0.1)))
FOUND = replace(
    finding("DEMO/x", evidence=EVIDENCE, certainty=Certainty.LIKELY, source="x"),
    tail_probability=1e-7, detectors=("vae",), raised_ns=1010 * S, last_ns=1010 * S,
)  # fmt: skip
LATER = replace(FOUND, last_ns=5000 * S)


def case_of(site: Site, number: int = 0) -> Case:
    incident = site.incidents[number]
    return cases_of(site.store, [incident.id])[incident.id]


def label(site: Site, kind: LabelKind, at_s: int, number: int = 0) -> Label:
    incident = site.incidents[number]
    return Label(f"{incident.id}/{kind}", incident.id, kind, "Ada", at_s * S)


def test_the_cause_as_it_was_found(site: Site) -> None:
    site.say(raised(FOUND), Progress("x", 1011 * S))
    assert case_of(site) == Case(FOUND.key, 1010 * S, "outlier", "DEMO/x", Severity.WARNING, Certainty.LIKELY, 1e-7, 1, 2, 10.0)


def test_detectors_that_agree_within_a_minute_count(site: Site) -> None:
    second = replace(FOUND, key="second", detectors=("forest",), raised_ns=1040 * S)
    late = replace(FOUND, key="late", detectors=("silent",), raised_ns=1200 * S)
    site.say(raised(FOUND), raised(second), raised(late), Progress("x", 2000 * S))
    assert len(site.incidents) == 1
    assert site.incidents[0].detectors == ("forest", "silent", "vae")
    assert case_of(site).detectors == 2


@pytest.mark.parametrize("at_once", [True, False])
def test_a_replay_makes_the_same_case_as_a_live_run(site: Site, at_once: bool) -> None:
    """The case is the incident at the age of a minute, also where it is long over when the database is written."""
    said: list[Message] = [raised(FOUND), Progress("x", 1011 * S), cleared(LATER, 5001), Progress("x", 6000 * S)]
    for batch in [said] if at_once else [said[:2], said[2:]]:
        site.say(*batch)
    assert site.incidents[0].state is IncidentState.RESOLVED
    assert case_of(site).duration_s == 10 + SETTLED_NS / S


def test_what_was_soon_over_is_short(site: Site) -> None:
    site.say(raised(FOUND), cleared(FOUND, 1021), Progress("x", 2000 * S))
    assert case_of(site).duration_s == 20.0


def test_the_case_of_the_cause_and_none_of_what_it_took_over(site: Site) -> None:
    cause, dead, busy = trip(3, 1000)
    site.say(*(Progress(name, 0) for name in ("hv", "dqm", "daq")), *(raised(found) for found in (cause, dead, busy)))
    site.say(*(Progress(name, 2000 * S) for name in ("hv", "dqm", "daq")))
    whole = [incident for incident in site.incidents if not incident.merged_into]
    assert [incident.cause_finding for incident in whole] == [cause.key]
    found = cases_of(site.store, [incident.id for incident in site.incidents])
    assert {key: case.key for key, case in found.items()} == {whole[0].id: cause.key}
    assert found[whole[0].id].condition == "hv_trip"


def test_a_label_freezes_the_case(live: Site) -> None:
    live.say(raised(FOUND), Progress("x", 1011 * S))
    live.say(label(live, LabelKind.NOT_A_PROBLEM, 1020))
    before = case_of(live)
    live.say(raised(replace(FOUND, key="second", detectors=("forest",), raised_ns=1040 * S)), Progress("x", 1050 * S))
    assert cases_of(live.store, [live.incidents[0].id])[live.incidents[0].id] == before
    (said,) = labelled_cases(live.store)
    assert (said.case, said.is_real, said.labelled_ns) == (before, False, 1020 * S)


def test_cases_outlast_a_crash(site: Site) -> None:
    site.say(raised(FOUND), Progress("x", 1011 * S))
    before = case_of(site)
    site.crash()
    site.work()
    assert case_of(site) == before
