"""Silence, clocks and vanished channels, as the framework itself watches them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.frame import Channel, Layout
from collectors.wire import CLOCK_PROBLEM
from daemon.detect.findings import Event
from daemon.detect.upkeep import FORGET_NS, UpkeepRule
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


STEPS = st.lists(st.tuples(st.sampled_from(["data", "beat", "ahead", "late", "begin", "a", "ab"]), st.integers(1, 40)), max_size=30)


def go(watched: UpkeepRule, steps: list[tuple[str, int]], start_s: int) -> list[Event]:
    now_s, events = start_s, []
    for what, seconds in steps:
        now_s += seconds
        if what in ("a", "ab"):
            watched.see(layout(*what), now_s * S)
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
    for condition, began in changes(go(rule(), steps, 1000)):
        assert (condition in lasting) is not began
        lasting ^= {condition}
