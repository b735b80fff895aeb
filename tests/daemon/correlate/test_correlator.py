"""From findings to incidents: one cause and its victims are one incident, unrelated faults stay apart."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from daemon.records import IncidentState
from detectors.finding import Certainty, Evidence, Finding, Severity
from tests.daemon.correlating import BUSY, DEAD, DISK, TRIP, Told
from tests.daemon.reports import S, cleared, finding, raised


class TestJointFault:
    @pytest.mark.parametrize("order", list(itertools.permutations([TRIP, DEAD, BUSY])))
    @pytest.mark.parametrize("spread_s", [0, 20])
    def test_is_one_incident_in_whatever_order_it_becomes_known(self, order: tuple[Finding, ...], spread_s: int) -> None:
        told = Told()
        told.feed(raised(found, at=1010 + spread_s * number) for number, found in enumerate(order))
        incident = told.only()
        assert (incident.cause_place, incident.cause_channel, incident.condition) == ("DEMO/ECAL/HV/ch03", "ch03 VMon", "hv_trip")
        assert incident.victims == ("DEMO/DAQ/FED 603", "DEMO/ECAL/EB+/EB+03")
        assert set(incident.places) == {TRIP.unit.place, DEAD.unit.place, BUSY.unit.place}
        assert (incident.severity, incident.certainty) == (Severity.CRITICAL, Certainty.SURE)
        assert (incident.started_ns, incident.opened_ns) == (1000 * S, 1010 * S)
        assert incident.decision == "Call HV."

    def test_lasts_until_all_of_it_has_cleared(self) -> None:
        told = Told()
        told.feed(map(raised, (TRIP, BUSY, DEAD)))
        told.feed([cleared(TRIP, 1100), cleared(DEAD, 1110)])
        assert told.only().state is IncidentState.OPEN
        assert told.only().cause_place == TRIP.unit.place
        told.feed([cleared(BUSY, 1120)])
        assert (told.only().state, told.only().resolved_ns) == (IncidentState.RESOLVED, 1120 * S)

    def test_names_what_became_part_of_it(self) -> None:
        told = Told()
        changes = told.feed([raised(DEAD, 1010), raised(BUSY, 1011), raised(TRIP, 1012)])
        (merged,) = {i.id for i in changes if i.merged_into}
        ended = told.latest[merged]
        assert (ended.state, ended.resolved_ns, ended.merged_into) == (IncidentState.RESOLVED, 1012 * S, told.only().id)
        assert told.only().id in ended.timeline[-1].what

    def test_as_json(self) -> None:
        told = Told()
        told.feed(map(raised, (TRIP, BUSY, DEAD)))
        told.feed([cleared(found, 1100) for found in (TRIP, DEAD, BUSY)])
        shown = told.only().as_json()
        assert shown["id"] == told.only().id
        assert (shown["state"], shown["severity"], shown["condition"]) == ("resolved", "critical", "hv_trip")
        assert shown["cause"] == {"place": "DEMO/ECAL/HV/ch03", "channel": "ch03 VMon"}
        assert shown["places"] == ["DEMO/DAQ/FED 603", "DEMO/ECAL/EB+/EB+03", "DEMO/ECAL/HV/ch03"]
        assert (shown["started"], shown["opened"]) == ("1970-01-01T00:16:40.000Z", "1970-01-01T00:16:40.000Z")
        assert shown["resolved"] == "1970-01-01T00:18:20.000Z"
        assert (shown["findings"], shown["decision"]) == (3, "Call HV.")


class TestVictims:
    @pytest.mark.parametrize(("victim", "incidents"), [("DEMO/DAQ/FED 603", 1), ("DEMO/TRG", 1), ("DEMO/other", 2), ("DEMO", 2)])
    def test_several_causes_of_one_stop_are_one_incident(self, victim: str, incidents: int) -> None:
        one = finding("DEMO/ECAL/rack", "no_power", evidence=Evidence("no power", victims=(victim,)))
        other = finding("DEMO/TRG", "stuck", evidence=Evidence("stuck", victims=("DEMO/DAQ/FED 603", "DEMO")))
        told = Told([])
        told.feed(map(raised, (one, other)))
        assert len(told.whole) == incidents

    def test_are_part_of_the_incident(self) -> None:
        told = Told()
        told.feed([raised(replace(TRIP, evidence=Evidence("trip", victims=("DEMO/LASER", TRIP.unit.place))))])
        assert told.only().victims == ("DEMO/LASER",)
        assert told.only().places == (TRIP.unit.place, "DEMO/LASER")


class TestApart:
    def test_two_unrelated_faults_at_one_time_stay_two(self) -> None:
        told = Told()
        told.feed(map(raised, (TRIP, DISK, BUSY, DEAD)))
        assert [i.cause_place for i in told.whole if i.condition != "disk_failing"] == [TRIP.unit.place]
        assert len(told.whole) == 2

    def test_another_channel_is_another_incident(self) -> None:
        told = Told()
        told.feed(map(raised, (TRIP, finding("DEMO/DAQ/FED 604", "dead_time", since=1005))))
        assert len(told.whole) == 2

    @pytest.mark.parametrize(("source", "incidents"), [("weather", 2), ("hv", 1)])
    def test_the_root_of_the_tree_relates_nothing_but_what_one_source_says_of_it(self, source: str, incidents: int) -> None:
        told = Told()
        silent = finding("DEMO", "source_silent", source="hv")
        told.feed([raised(TRIP), raised(silent), raised(finding("DEMO", "clock_off", source=source))])
        assert len(told.whole) == 1 + incidents

    def test_no_place_relates_no_more_than_the_root(self) -> None:
        told = Told()
        told.feed(map(raised, (TRIP, finding("", "outlier"))))
        assert len(told.whole) == 2

    def test_one_branch_of_the_tree_is_one_incident(self) -> None:
        told = Told()
        told.feed(map(raised, (finding("DEMO/HV/crate1/ch01"), finding("DEMO/HV", "source_silent"))))
        assert told.only().places == ("DEMO/HV", "DEMO/HV/crate1/ch01")

    def test_what_ended_before_the_next_thing_began_is_not_related(self) -> None:
        told = Told(join_window_s=60)
        told.feed([raised(TRIP, 1000), cleared(TRIP, 1050), raised(finding("DEMO/ECAL/HV", "source_silent", since=1110))])
        assert len(told.whole) == 2


class TestSeverity:
    def test_what_is_for_the_record_opens_nothing(self) -> None:
        told = Told()
        note = finding("DEMO/HV", severity=Severity.INFO)
        assert told.feed([raised(note), cleared(note, 1100)]) == []

    def test_it_joins_what_is_open(self) -> None:
        told = Told()
        told.feed(map(raised, (TRIP, finding("DEMO/ECAL/HV", "note", severity=Severity.INFO))))
        assert len(told.only().findings) == 2

    def test_the_worst_counts_and_the_certainty_is_that_of_the_cause(self) -> None:
        told = Told()
        unsure = replace(finding("DEMO/ECAL/HV/ch03", "spark"), certainty=Certainty.UNSURE, reason="it has seen 40 rows")
        told.feed(map(raised, (unsure, replace(DEAD, severity=Severity.CRITICAL))))
        assert (told.only().severity, told.only().certainty) == (Severity.CRITICAL, Certainty.UNSURE)
        assert "Unsure because it has seen 40 rows (limits)." in told.only().why

    def test_without_causality_the_worst_then_the_surest_then_the_earliest_leads(self) -> None:
        place = "DEMO/ECAL/HV/ch09"
        late = finding(place, "a", since=1003, severity=Severity.CRITICAL)
        unsure = replace(finding(place, "b", since=1001, severity=Severity.CRITICAL), certainty=Certainty.LIKELY)
        mild = finding(place, "c", since=1000)
        told = Told([])
        told.feed(map(raised, (mild, unsure, late)))
        assert told.only().condition == "a"
        told.feed([cleared(late, 1100)])
        assert told.only().condition == "b"
