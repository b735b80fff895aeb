"""From findings to incidents: one cause and its victims are one incident, unrelated faults stay apart, nothing flaps."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.correlate import correlator as module
from daemon.correlate.correlator import Correlator
from daemon.correlate.graph import CausalityGraph
from daemon.correlate.grouping import Grouping
from daemon.messages import FindingReport
from daemon.records import Incident, IncidentState
from daemon.settings import CausalitySettings
from detectors.finding import Certainty, Finding, Severity
from tests.daemon.reports import S, cleared, finding, raised

REOPEN_S = 300
EDGES = [
    CausalitySettings.model_validate({"cause": {"place": "DEMO/ECAL/HV/ch{n}"}, "effect": {"place": "DEMO/ECAL/EB+/EB+{n}"}}),
    CausalitySettings.model_validate({"cause": {"place": "DEMO/ECAL/HV/ch{n}"}, "effect": {"place": "DEMO/DAQ/FED 6{n}"}}),
]
TRIP = finding("DEMO/ECAL/HV/ch03", "hv_trip", since=1000, name="ch03 VMon", source="hv", severity=Severity.CRITICAL)
DEAD = finding("DEMO/ECAL/EB+/EB+03", "dead_region", since=1010, source="dqm", certainty=Certainty.LIKELY)
BUSY = finding("DEMO/DAQ/FED 603", "dead_time", since=1005, source="daq")
DISK = finding("DEMO/COMPUTING/node2/sdb", "disk_failing", since=1000, source="disks")


class Told(Correlator):
    """A correlator that remembers what became of each incident, as the database does."""

    def __init__(self, edges: Sequence[CausalitySettings] = EDGES, *, join_window_s: float = 60) -> None:
        graph = CausalityGraph(edges, 60 * S)
        grouping = Grouping(graph, "DEMO", int(join_window_s * S))
        super().__init__(
            grouping, reopen_window_ns=REOPEN_S * S, decisions={"hv_trip": "Call HV."}, suggested={"dead_time": ("Wait.", "busy")}
        )
        self.latest: dict[str, Incident] = {}

    def feed(self, reports: Iterable[FindingReport]) -> list[Incident]:
        """Applies reports; every change, checked for a revision that grows."""
        changes = [incident for report in reports for incident in self.apply(report)]
        for change in changes:
            before = self.latest.get(change.id)
            assert before is None or change.revision > before.revision
            self.latest[change.id] = change
        return changes

    @property
    def whole(self) -> list[Incident]:
        """Incidents that did not become part of another one, in the order in which they opened."""
        return sorted((i for i in self.latest.values() if not i.merged_into), key=lambda i: (i.opened_ns, i.id))

    def only(self) -> Incident:
        (incident,) = self.whole
        return incident


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

    def test_what_flaps_for_a_day_stays_small(self) -> None:
        told = Told()
        for since in range(1000, 1000 + 86_400, 60):
            told.feed([raised(self.again(since)), cleared(self.again(since), since + 30)])
        incident = told.only()
        assert len(incident.timeline) <= module.MAX_ENTRIES
        assert incident.timeline[0].what.startswith("opened")
        assert (len(incident.findings), incident.started_ns) == (1, 1000 * S)

    def test_a_storm_still_fits_into_a_message(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_PLACES", 10)
        told = Told()
        crates = [finding(f"DEMO/HV/crate{number % 3}/ch{number}") for number in range(30)]
        told.feed([raised(finding("DEMO/HV", "source_silent", since=990)), *map(raised, crates)])
        assert told.only().places == ("DEMO/HV", "DEMO/HV/crate0", "DEMO/HV/crate1", "DEMO/HV/crate2")


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
