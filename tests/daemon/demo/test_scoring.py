"""Found, missed, false: what counts as what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.demo.scoring import GRACE_NS, Outcome, ReportedIncident, same_branch, score
from daemon.demo.truth import InjectedFault, decode, encode

S = 1_000_000_000
START_NS, STOP_NS = 1_000 * S, 1_400 * S
LATER_NS = STOP_NS + 10 * GRACE_NS
DEAD = InjectedFault("fault-1", "dead region", "dead", ("DEMO/ECAL/EB/EB-05",), None, START_NS, STOP_NS)
JOINT_PLACES = ("DEMO/HV/crate1/ch06", "DEMO/ECAL/EB/EB+11", "DEMO/DAQ/EB+/FED632")
JOINT = InjectedFault("fault-2", "trip", "trips", JOINT_PLACES, JOINT_PLACES[0], START_NS, STOP_NS)


def incident(*places: str, opened_s: float = 1_050, resolved_s: float | None = 1_500, name: str = "a") -> ReportedIncident:
    resolved_ns = None if resolved_s is None else int(resolved_s * S)
    return ReportedIncident(name, "what it says", "what to do", places[0], places, int(opened_s * S), resolved_ns)


@pytest.mark.parametrize(
    ("one", "other", "related"),
    [
        ("DEMO/ECAL", "DEMO/ECAL/EB/EB-05", True),
        ("DEMO/ECAL/EB/EB-05/tower03-20", "DEMO/ECAL/EB/EB-05", True),
        ("DEMO/ECAL/EB/EB-05", "DEMO/ECAL/EB/EB-06", False),
        ("DEMO/ECAL", "DEMO/ECAL2", False),
        ("DEMO", "DEMO/ECAL", False),
        ("DEMO", "DEMO", False),
    ],
)
def test_places_match_along_a_branch(one: str, other: str, related: bool) -> None:
    assert same_branch(one, other) is related
    assert same_branch(other, one) is related


def test_a_fault_is_found_by_an_incident_at_its_place_in_its_time() -> None:
    result = score([DEAD], [incident("DEMO/ECAL/EB")], LATER_NS)
    (verdict,) = result.verdicts
    assert (verdict.outcome, verdict.delay_ns, verdict.cleared_ns) == (Outcome.FOUND, 50 * S, 1_500 * S)
    assert result.passed


def test_an_incident_elsewhere_is_false_and_the_fault_is_missed() -> None:
    result = score([DEAD], [incident("DEMO/TRACKER")], LATER_NS)
    assert result.verdicts[0].outcome is Outcome.MISSED
    assert [i.id for i in result.false] == ["a"]
    assert not result.passed


@pytest.mark.parametrize(
    ("opened_s", "found"),
    [(999, False), (1_000, True), (1_400 + GRACE_NS / S, True), (1_401 + GRACE_NS / S, False)],
)
def test_an_incident_must_be_opened_in_the_time_of_the_fault(opened_s: float, found: bool) -> None:
    result = score([DEAD], [incident("DEMO/ECAL", opened_s=opened_s, resolved_s=None)], LATER_NS)
    assert result.passed is found
    assert bool(result.false) is not found


def test_a_fault_that_lasts_can_be_found_at_any_time() -> None:
    lasting = replace(DEAD, stop_ns=None)
    assert score([lasting], [incident("DEMO/ECAL", opened_s=9_000, resolved_s=None)], LATER_NS).passed


def test_two_incidents_for_a_simple_fault_are_no_false_ones() -> None:
    result = score([DEAD], [incident("DEMO/ECAL"), incident("DEMO/ECAL/EB", name="b", opened_s=1_040, resolved_s=1_600)], LATER_NS)
    assert result.passed
    assert [i.id for i in result.verdicts[0].incidents] == ["b", "a"]
    assert result.verdicts[0].cleared_ns == 1_600 * S


def test_it_has_not_cleared_while_one_incident_is_open() -> None:
    result = score([DEAD], [incident("DEMO/ECAL"), incident("DEMO/ECAL", name="b", resolved_s=None)], LATER_NS)
    assert result.verdicts[0].cleared_ns is None


def test_a_joint_fault_is_found_by_one_incident_with_its_cause_and_all_places() -> None:
    (verdict,) = score([JOINT], [incident(JOINT_PLACES[0], "DEMO/ECAL/EB", "DEMO/DAQ")], LATER_NS).verdicts
    assert (verdict.outcome, verdict.remark) == (Outcome.FOUND, "")


@pytest.mark.parametrize(
    ("incidents", "remark"),
    [
        ([incident(JOINT_PLACES[0], "DEMO/DAQ"), incident("DEMO/ECAL", name="b")], "2 incidents instead of one"),
        ([incident("DEMO/ECAL", *JOINT_PLACES)], "DEMO/ECAL is named as its cause instead of DEMO/HV/crate1/ch06"),
        ([incident("DEMO/HV", *JOINT_PLACES)], "DEMO/HV is named as its cause instead of DEMO/HV/crate1/ch06"),
        ([incident(JOINT_PLACES[0], "DEMO/DAQ")], "DEMO/ECAL/EB/EB+11 not named"),
        ([], ""),
    ],
)
def test_a_joint_fault_in_pieces_is_missed_but_not_false(incidents: list[ReportedIncident], remark: str) -> None:
    result = score([JOINT], incidents, LATER_NS)
    assert result.verdicts[0].outcome is Outcome.MISSED
    assert result.verdicts[0].remark == remark
    assert not result.false


def test_an_incident_goes_to_the_fault_that_shares_most_places_then_to_the_latest() -> None:
    again = replace(DEAD, id="fault-3", start_ns=START_NS + 20 * S)
    result = score([DEAD, JOINT, again], [incident(*JOINT_PLACES), incident("DEMO/ECAL", name="b")], LATER_NS)
    assert [[i.id for i in verdict.incidents] for verdict in result.verdicts] == [[], ["a"], ["b"]]


def test_an_incident_that_was_merged_into_another_does_not_count() -> None:
    merged = replace(incident("DEMO/ECAL", name="b"), merged=True)
    assert score([JOINT], [merged, incident(*JOINT_PLACES)], LATER_NS).passed


def test_a_fault_that_has_just_begun_is_not_missed_yet() -> None:
    result = score([DEAD], [], START_NS + GRACE_NS - 1)
    assert result.verdicts[0].outcome is Outcome.TOO_EARLY
    assert result.passed
    assert not score([DEAD], [], START_NS + GRACE_NS).passed


def test_incidents_are_read_as_the_daemon_prints_them() -> None:
    said = {
        "id": "3f",
        "state": "resolved",
        "cause": {"place": "DEMO/HV/crate1/ch06", "channel": "VMon"},
        "places": ["DEMO/HV/crate1/ch06", "DEMO/DAQ"],
        "victims": ["DEMO/ECAL/EB"],
        "opened": "2016-11-30T12:19:48.371Z",
        "resolved": "2016-11-30T12:25:00.000Z",
        "sentence": "ch06 tripped",
        "decision": "Ramp up.",
    }
    read = ReportedIncident.from_json(said)
    assert read.places == ("DEMO/HV/crate1/ch06", "DEMO/DAQ", "DEMO/ECAL/EB")
    assert read.opened_ns == 1_480_508_388_371_000_000
    assert read.resolved_ns is not None
    assert read.resolved_ns - read.opened_ns == 311_629_000_000
    assert not read.merged
    assert ReportedIncident.from_json(said | {"resolved": None}).resolved_ns is None


def test_truth_survives_the_wire() -> None:
    fault = replace(JOINT, stop_ns=None)
    assert InjectedFault.from_event(decode(encode(fault.as_event()))) == fault
    with pytest.raises(ValueError, match="not an event"):
        decode('{"event": "ready"}')
