"""Silence, clocks and vanished channels, as the framework itself watches them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.frame import Channel, Layout, digest_of
from collectors.wire import CLOCK_PROBLEM
from daemon.detect.findings import Event
from daemon.detect.upkeep import UpkeepRule
from daemon.detect.vanished import FORGET_NS, PLACES_MOST
from daemon.sections import SourceSettings
from tests.daemon.reports import S

SECTION = SourceSettings(collector="any", silent_after_s=30, max_clock_skew_s=300)
AHEAD = f"{CLOCK_PROBLEM} is 3600 s ahead, taken at arrival"


def rule(section: SourceSettings | None = SECTION) -> UpkeepRule:
    return UpkeepRule("hv", "DEMO/HV", section)


def layout(*names: str) -> Layout:
    return Layout("hv", tuple(Channel(name, "voltage", "V") for name in names))


def changes(events: list[Event]) -> list[tuple[str, bool]]:
    """Conditions that began (True) or ended."""
    return [(event.unit.condition, event.cleared_ns is None) for event in events]


def beat(watched: UpkeepRule, at_s: float, heard_s: float, problem: str = "") -> list[Event]:
    return watched.judge(int(at_s * S), int(heard_s * S), problem, fresh=False)


def data(watched: UpkeepRule, at_s: float) -> list[Event]:
    return watched.judge(int(at_s * S), int(at_s * S), "", fresh=True)


class TestSilence:
    def test_begins_after_the_time_out_and_ends_with_data(self) -> None:
        watched = rule()
        assert data(watched, 1000) == []
        assert beat(watched, 1030, 1000) == []
        (began,) = beat(watched, 1031, 1000, "no route to host")
        assert (began.unit.condition, began.unit.place, began.since_ns, began.raised_ns) == ("source_silent", "DEMO/HV", 1000 * S, 1031 * S)
        assert began.evidence is not None
        assert began.evidence.summary == "hv has sent nothing for 31 s: no route to host"
        assert beat(watched, 1100, 1000) == []
        (ended,) = data(watched, 1110)
        assert (ended.since_ns, ended.cleared_ns) == (1000 * S, 1110 * S)

    def test_counts_from_the_beginning_where_nothing_ever_came(self) -> None:
        watched = rule()
        assert beat(watched, 1000, 0) == []
        assert beat(watched, 1030, 0) == []
        assert changes(beat(watched, 1031, 0)) == [("source_silent", True)]

    def test_the_time_in_which_the_producer_was_down_does_not_count(self) -> None:
        watched = rule()
        data(watched, 1000)
        watched.begin(5000 * S)
        assert beat(watched, 5000, 1000) == []
        assert beat(watched, 5030, 1000) == []
        assert changes(beat(watched, 5031, 1000)) == [("source_silent", True)]

    def test_one_that_lasts_lasts_on_while_the_producer_is_started_again(self) -> None:
        watched = rule()
        data(watched, 1000)
        beat(watched, 1031, 1000)
        watched.begin(1040 * S)
        assert beat(watched, 1040, 0) == []
        assert changes(data(watched, 1050)) == [("source_silent", False)]

    def test_a_source_that_is_not_configured_may_be_silent(self) -> None:
        watched = rule(None)
        data(watched, 1000)
        assert beat(watched, 10**6, 1000) == []


class TestClock:
    def test_what_the_collector_says_of_it_is_one_finding_until_it_is_right(self) -> None:
        watched = rule()
        (began,) = beat(watched, 1000, 1000, AHEAD)
        assert began.evidence is not None
        assert began.evidence.summary == f"The clock of hv is wrong: {AHEAD}"
        for at in range(1001, 1010):
            assert data(watched, at) == []
            assert beat(watched, at, at, AHEAD) == []
        assert changes(beat(watched, 1010, 1010)) == [("clock_off", False)]

    def test_another_problem_is_not_one_of_the_clock(self) -> None:
        assert beat(rule(), 1000, 1000, "connection refused") == []

    @pytest.mark.parametrize(("behind_s", "wrong"), [(300, False), (301, True)])
    def test_rows_far_behind_the_newest_are(self, behind_s: int, wrong: bool) -> None:
        watched = rule()
        watched.late(behind_s * S)
        assert changes(beat(watched, 1000, 1000)) == [("clock_off", True)] * wrong
        watched.late(0)
        assert changes(beat(watched, 1001, 1001)) == [("clock_off", False)] * wrong


class TestVanished:
    def test_a_channel_that_is_no_longer_shown_and_comes_back(self) -> None:
        watched = rule()
        watched.see(layout("a", "b", "c"), 1000 * S)
        assert data(watched, 1000) == []
        watched.see(layout("b"), 1010 * S)
        (began,) = data(watched, 1010)
        assert (began.unit.condition, began.since_ns) == ("channel_vanished", 1010 * S)
        assert began.evidence is not None
        assert began.evidence.summary == "hv no longer shows a, c"
        assert [c.name for c in began.evidence.ranked] == ["a", "c"]
        watched.see(layout("a", "b"), 1020 * S)
        assert data(watched, 1020) == []
        watched.see(layout("a", "b", "c"), 1030 * S)
        assert changes(data(watched, 1030)) == [("channel_vanished", False)]

    def test_what_has_been_gone_for_long_was_taken_away_on_purpose(self) -> None:
        watched = rule()
        watched.see(layout("a", "b"), 1000 * S)
        watched.see(layout("b"), 1010 * S)
        data(watched, 1010)
        later_s = 1011 + FORGET_NS / S
        watched.see(layout("b"), int(later_s * S))
        assert changes(data(watched, later_s)) == [("channel_vanished", False)]

    def test_may_be_switched_off(self) -> None:
        watched = rule(SourceSettings(collector="any", watch_vanished=False))
        watched.see(layout("a", "b"), 1000 * S)
        watched.see(layout("b"), 1010 * S)
        assert data(watched, 1010) == []


def disks(*places: str) -> Layout:
    return Layout("hv", tuple(Channel(f"{place}:presence", "presence", "", place=f"DEMO/HV/{place}") for place in places))


def vanished(watched: UpkeepRule, at_s: float, *left: str) -> list[Event]:
    watched.see(disks(*left), int(at_s * S))
    return data(watched, at_s)


def where(events: list[Event]) -> list[tuple[str, bool]]:
    """Places at which something vanished (True) or is back."""
    return [(event.unit.place, event.cleared_ns is None) for event in events]


class TestPlacesOfWhatVanished:
    def test_each_is_reported_where_it_was(self) -> None:
        watched = rule()
        assert vanished(watched, 1000, "n1/sda", "n1/sdb", "n2/sda") == []
        one, other = vanished(watched, 1010, "n1/sda")
        assert where([one, other]) == [("DEMO/HV/n1/sdb", True), ("DEMO/HV/n2/sda", True)]
        assert one.unit.key != other.unit.key
        assert one.unit.name == "sdb of hv"
        assert one.evidence is not None
        assert one.evidence.summary == "hv no longer shows n1/sdb:presence"
        assert [c.place for c in one.evidence.ranked] == ["DEMO/HV/n1/sdb"]
        (back,) = vanished(watched, 1020, "n1/sda", "n2/sda")
        assert (back.unit, back.since_ns, back.cleared_ns) == (other.unit, other.since_ns, 1020 * S)

    def test_channels_of_one_place_are_one_finding_from_the_first_to_the_last(self) -> None:
        watched = rule()
        whole = Layout("hv", tuple(Channel(name, "voltage", "V", place="DEMO/HV/crate1") for name in "abc"))
        watched.see(whole, 1000 * S)
        watched.see(Layout("hv", whole.columns[:2]), 1010 * S)
        (began,) = data(watched, 1010)
        watched.see(Layout("hv", ()), 1020 * S)
        assert data(watched, 1020) == []
        watched.see(Layout("hv", whole.columns[:1]), 1030 * S)
        assert data(watched, 1030) == []
        watched.see(whole, 1040 * S)
        (ended,) = data(watched, 1040)
        assert (ended.unit, ended.since_ns) == (began.unit, 1010 * S)

    def test_many_disks_of_one_node_are_the_node(self) -> None:
        watched = rule()
        of_node = [f"rack1/n1/sd{i:02d}" for i in range(PLACES_MOST + 4)]
        vanished(watched, 1000, *of_node, "rack1/n2/sda")
        assert where(vanished(watched, 1010, "rack1/n2/sda")) == [("DEMO/HV/rack1/n1", True)]
        assert where(vanished(watched, 1020, *of_node, "rack1/n2/sda")) == [("DEMO/HV/rack1/n1", False)]

    def test_a_single_disk_elsewhere_keeps_its_place_beside_many(self) -> None:
        watched = rule()
        of_node = [f"rack1/n1/sd{i:02d}" for i in range(40)]
        vanished(watched, 1000, *of_node, "lone", "stays")
        assert where(vanished(watched, 1010, "stays")) == [("DEMO/HV/lone", True), ("DEMO/HV/rack1/n1", True)]

    def test_hundreds_that_go_one_after_the_other_are_few_findings(self) -> None:
        watched = rule()
        all_of_them = [f"rack{i // 20}/n{i // 4}/sd{i}" for i in range(300)]
        vanished(watched, 1000, *all_of_them)
        told = [event for i in range(300) for event in vanished(watched, 1001 + i, *all_of_them[i + 1 :])]
        assert 1 <= len(told) <= PLACES_MOST + 1
        assert where(told)[-1] == ("DEMO/HV", True)

    def test_after_a_restart_it_is_still_known_where_a_disk_was(self) -> None:
        before, after = rule(), rule()
        vanished(before, 1000, "n1/sda", "n1/sdb", "n2/sda")
        (lasting,) = vanished(before, 1010, "n1/sda", "n2/sda")
        after.restore(json.loads(json.dumps(before.state())))
        assert where(vanished(after, 1020, "n1/sda")) == [("DEMO/HV/n2/sda", True)]
        ended = vanished(after, 1030, "n1/sda", "n1/sdb", "n2/sda")
        assert (ended[0].unit, ended[0].since_ns) == (lasting.unit, lasting.since_ns)
        assert where(ended) == [("DEMO/HV/n1/sdb", False), ("DEMO/HV/n2/sda", False)]

    def test_a_state_of_a_version_that_knew_no_places_is_gone_on_from(self) -> None:
        state = {
            "standing": {"source_silent": [0, 0], "clock_off": [0, 0], "channel_vanished": [1010 * S, 1011 * S]},
            "names": ["n1/sda:presence", "n1/sdb:presence"],
            "vanished": {"n1/sdb:presence": [1010 * S, "DEMO/HV"]},
            "late_ns": 0,
            "begun_ns": 1000 * S,
            "clock_problem": "",
        }
        watched = rule()
        watched.restore(state)
        assert vanished(watched, 1020, "n1/sda") == []
        (ended,) = vanished(watched, 1030, "n1/sda", "n1/sdb")
        assert (ended.unit.place, ended.since_ns, ended.raised_ns, ended.cleared_ns) == ("DEMO/HV", 1010 * S, 1011 * S, 1030 * S)
        assert ended.unit.key == digest_of("hv", "channel_vanished")

    def test_names_that_come_and_go_are_not_kept_where_nobody_watches_them(self) -> None:
        watched = rule(SourceSettings(collector="any", watch_vanished=False))
        for i in range(100):
            vanished(watched, 1000 + i, f"run{i}")
        assert "run1" not in json.dumps(watched.state())


PLACES = {"two": ("n1/sda", "n2/sda"), "one": ("n2/sda",), "many": tuple(f"n1/sd{i}" for i in range(12))}
STEPS = st.lists(
    st.tuples(st.sampled_from(["data", "beat", "ahead", "late", "begin", "a", "ab", *PLACES]), st.integers(1, 40)), max_size=30
)


def go(watched: UpkeepRule, steps: list[tuple[str, int]], start_s: int) -> list[Event]:
    now_s, events = start_s, []
    for what, seconds in steps:
        now_s += seconds
        if what in ("a", "ab"):
            watched.see(layout(*what), now_s * S)
        elif what in PLACES:
            watched.see(disks(*PLACES[what]), now_s * S)
        elif what == "late":
            watched.late((seconds - 20) * 30 * S)
        elif what == "begin":
            watched.begin(now_s * S)
        events += data(watched, now_s) if what == "data" else beat(watched, now_s, now_s - 2 * seconds, AHEAD if what == "ahead" else "")
    return events


@given(STEPS, st.integers(0, 30))
def test_going_on_from_a_saved_state_gives_the_same(steps: list[tuple[str, int]], cut: int) -> None:
    whole, first, second = rule(), rule(), rule()
    before = go(first, steps[:cut], 1000)
    second.restore(json.loads(json.dumps(first.state())))
    after = go(second, steps[cut:], 1000 + sum(seconds for _, seconds in steps[:cut]))
    assert [*before, *after] == go(whole, steps, 1000)


@given(STEPS)
def test_what_begins_ends_before_it_begins_again(steps: list[tuple[str, int]]) -> None:
    lasting: set[str] = set()
    for event in go(rule(), steps, 1000):
        assert (event.unit.key in lasting) is not (event.cleared_ns is None)
        lasting ^= {event.unit.key}
