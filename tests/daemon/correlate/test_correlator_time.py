"""What flaps, what is said again, what goes on after a restart: incidents stay the same and small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.correlate import bounds as module
from daemon.messages import FindingReport
from daemon.records import IncidentState
from detectors.finding import Finding, Severity
from tests.daemon.correlating import BUSY, DEAD, DISK, REOPEN_S, TRIP, Told
from tests.daemon.reports import S, cleared, finding, raised


class TestReopening:
    def again(self, since: float) -> Finding:
        return finding(TRIP.unit.place, "hv_trip", since=since, name="ch03 VMon", source="hv", severity=Severity.CRITICAL)

    @pytest.mark.parametrize(("after_s", "incidents"), [(1, 1), (REOPEN_S, 1), (REOPEN_S + 1, 2)])
    def test_the_same_thing_within_the_window_is_the_same_incident(self, after_s: float, incidents: int) -> None:
        told = Told()
        told.feed([raised(TRIP), cleared(TRIP, 1100), raised(self.again(1100 + after_s))])
        assert len(told.whole) == incidents
        assert told.whole[-1].state is IncidentState.OPEN
        assert told.whole[-1].resolved_ns is None
        assert told.whole[0].started_ns == 1000 * S

    def test_something_else_at_the_place_is_a_new_incident(self) -> None:
        told = Told()
        told.feed([raised(TRIP), cleared(TRIP, 1100), raised(finding(TRIP.unit.place, "outlier", since=1110))])
        assert len(told.whole) == 2

    def test_a_cause_that_flaps_still_explains_its_victim(self) -> None:
        told = Told()
        worse = replace(DEAD, severity=Severity.CRITICAL)
        told.feed([raised(TRIP), raised(worse), cleared(TRIP, 1040)])
        for since in (1050, 1150, 1250):
            told.feed([raised(self.again(since)), cleared(self.again(since), since + 50)])
        assert sorted(told.known[told.only().id].depths.values()) == [0, 0, 1]
        assert told.only().cause_place == TRIP.unit.place
        assert (
            told.only().why
            == "With it: DEMO/ECAL/EB+/EB+03: dead_region. 1 place only suffers from it: DEMO/ECAL/EB+/EB+03. Sure (limits)."
        )

    def test_what_was_lost_sight_of_ends_when_it_begins_again(self) -> None:
        told = Told()
        told.feed([raised(TRIP), raised(self.again(1500)), cleared(self.again(1500), 1600)])
        assert told.only().state is IncidentState.RESOLVED

    def test_what_flaps_for_a_day_stays_small(self) -> None:
        told = Told()
        for since in range(1000, 1000 + 86_400, 60):
            told.feed([raised(self.again(since)), cleared(self.again(since), since + 30)])
        incident = told.only()
        assert len(incident.timeline) <= module.MAX_ENTRIES
        assert incident.timeline[0].what.startswith("opened")
        assert (len(incident.findings), incident.started_ns) == (2, 1000 * S)

    def test_a_storm_still_fits_into_a_message(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_PLACES", 10)
        told = Told()
        crates = [finding(f"DEMO/HV/crate{number % 3}/ch{number}") for number in range(30)]
        told.feed([raised(finding("DEMO/HV", "source_silent", since=990)), *map(raised, crates)])
        assert told.only().places == ("DEMO/HV", "DEMO/HV/crate0", "DEMO/HV/crate1", "DEMO/HV/crate2")


class TestRepeats:
    def test_what_was_said_before_changes_nothing(self) -> None:
        told = Told()
        told.feed([raised(TRIP), raised(BUSY)])
        known = dict(told.latest)
        assert told.feed([raised(TRIP), raised(BUSY)]) == []
        assert told.latest == known

    def test_what_has_cleared_stays_cleared(self) -> None:
        told = Told()
        told.feed([raised(TRIP), cleared(TRIP, 1100)])
        assert told.feed([raised(TRIP), raised(replace(TRIP, last_ns=2000 * S)), cleared(TRIP, 1200)]) == []
        assert told.only().state is IncidentState.RESOLVED

    def test_an_older_report_does_not_overwrite_a_newer_one(self) -> None:
        told = Told()
        worse = replace(TRIP, last_ns=1050 * S, severity=Severity.WARNING)
        told.feed([raised(TRIP), raised(worse)])
        assert told.feed([raised(TRIP)]) == []
        assert told.only().severity is Severity.WARNING

    def test_an_earlier_episode_that_comes_late_is_not_news(self) -> None:
        told = Told()
        told.feed([raised(finding("DEMO/x", since=1500))])
        assert told.feed([raised(finding("DEMO/x", since=1000))]) == []

    def test_what_was_over_before_anybody_heard_of_it_opens_nothing(self) -> None:
        assert Told().feed([cleared(TRIP, 1100)]) == []

    def test_ids_depend_on_the_finding_that_opened_it_alone(self) -> None:
        one, other = Told(), Told()
        one.feed(map(raised, (TRIP, BUSY)))
        other.feed(map(raised, (DISK, TRIP)))
        assert {i.id for i in one.whole} < {i.id for i in other.whole}


EPISODES = st.lists(
    st.tuples(st.sampled_from([TRIP, DEAD, BUSY, DISK]), st.integers(0, 100), st.integers(1, 60), st.booleans()), min_size=1, max_size=8
)


def history(episodes: Sequence[tuple[Finding, int, int, bool]]) -> list[FindingReport]:
    """Reports in order of time; episodes of one unit follow one another."""
    free = dict.fromkeys((TRIP.key, DEAD.key, BUSY.key, DISK.key), 1000)
    reports: list[FindingReport] = []
    for base, pause_s, length_s, ends in episodes:
        start = free[base.key] + pause_s
        free[base.key] = start + length_s + 1 if ends else 10**9
        if start >= 10**9:
            continue
        found = replace(base, key=f"{base.key}{start}", since_ns=start * S, raised_ns=start * S, last_ns=start * S)
        reports += [raised(found)] + [cleared(found, start + length_s)] * ends
    return sorted(reports, key=lambda report: (report.at_ns, report.finding.key, report.finding.cleared_ns or 0))


@settings(max_examples=60, deadline=None)
@given(EPISODES, st.data())
def test_feeding_any_prefix_twice_gives_the_same(episodes: list[tuple[Finding, int, int, bool]], data: st.DataObject) -> None:
    reports = history(episodes)
    once, twice = Told(), Told()
    once.feed(reports)
    cut = data.draw(st.integers(0, len(reports)))
    start = data.draw(st.integers(0, cut))
    twice.feed([*reports[:cut], *reports[start:]])
    assert twice.latest == once.latest


@settings(max_examples=60, deadline=None)
@given(EPISODES, st.data())
def test_going_on_from_a_saved_state_gives_the_same(episodes: list[tuple[Finding, int, int, bool]], data: st.DataObject) -> None:
    reports = history(episodes)
    cut = data.draw(st.integers(0, len(reports)))
    whole, first, second = Told(), Told(), Told()
    whole.feed(reports)
    first.feed(reports[:cut])
    second.restore((o.incident, list(o.findings.values())) for o in first.known.values())
    second.latest = dict(first.latest)
    second.feed(reports[cut:])
    assert second.latest == whole.latest
    assert {key: o.depths for key, o in second.known.items()} == {key: o.depths for key, o in whole.known.items()}
