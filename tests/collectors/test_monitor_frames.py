"""What monitors of any protocol bring becomes updates: the buffer between threads, and the layout over all turns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.collector import CollectError, Origin
from collectors.frame import Kind, Quality
from collectors.slow_control.channel_list import ControlInfo, Plan
from collectors.slow_control.monitor_buffer import MonitorBuffer, shown
from collectors.slow_control.monitor_frames import MonitorFrames
from collectors.slow_control.monitored import Event, Severity
from tests.collectors.monitoring import last, problems, updates_of

NOW_NS = 1_700_000_000_000_000_000
ORIGIN = Origin("hv", "LAB", lambda: NOW_NS)


class Told:
    """Monitors that bring what a test tells them."""

    def __init__(self, max_events: int = 1000) -> None:
        self.buffer = MonitorBuffer(max_events)

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def is_settled(self) -> bool:
        return True

    def nobody(self) -> str:
        return "nobody is there"

    def describe(self, _timeout_s: float) -> dict[int, ControlInfo]:
        return self.buffer.take_infos()

    def value(self, column: int, value: float, severity: int = 0, at_ns: int = NOW_NS) -> None:
        self.buffer.connect([column])
        self.buffer.put([Event(column, value, at_ns, at_ns, severity)])


@pytest.fixture
def monitors() -> Told:
    return Told()


def test_channels_that_are_found_later_do_not_move_those_before_nor_what_is_known_of_them(monitors: Told) -> None:
    frames = MonitorFrames(ORIGIN, [Plan("a")], limits=True, severity=True)
    monitors.value(0, 1.0, Severity.MAJOR)
    monitors.buffer.describe({0: ControlInfo("V", (), {"HIHI": 9.0})})
    first = updates_of(frames.collect(monitors, 0))
    assert [column.name for column in first.layout.columns] == ["a", "a.LOLO", "a.LOW", "a.HIGH", "a.HIHI", "a.SEVR"]
    monitors.buffer.announce([Plan("b", limits={"LOW": 3.0}), Plan("c")])
    monitors.value(1, 2.0)
    monitors.value(0, 5.0)
    second = updates_of(frames.collect(monitors, 0))
    assert [column.name for column in second.layout.columns[:3]] == ["a", "b", "c"]
    assert [last(second, name) for name in ("a", "a.SEVR", "b", "b.LOW", "b.SEVR")] == [(v, Quality.GOOD) for v in (5, 0, 2, 3, 0)]
    assert last(second, "a.HIHI") is None  # it was told in the first turn and has not changed
    missing = last(second, "c")
    assert missing is not None
    assert missing[1] is Quality.DISCONNECTED
    assert updates_of(frames.collect(monitors, 0)).layout is second.layout


def test_a_channel_that_is_lost_loses_its_severity_too_and_gets_both_back_unchanged(monitors: Told) -> None:
    frames = MonitorFrames(ORIGIN, [Plan("a")], severity=True)
    monitors.value(0, 1.0, Severity.MINOR, at_ns=NOW_NS - 1000)
    assert last(updates_of(frames.collect(monitors, 0)), "a.SEVR") == (Severity.MINOR, Quality.GOOD)
    monitors.buffer.lose([0], NOW_NS)
    lost = updates_of(frames.collect(monitors, 0))
    assert [(math.isnan(v), q) for v, q in zip(lost.value, lost.quality, strict=True)] == [(True, Quality.DISCONNECTED)] * 2
    with pytest.raises(CollectError, match="nobody is there"):
        list(frames.collect(monitors, 0))
    monitors.buffer.connect([0])
    monitors.buffer.put([Event(0, 1.0, NOW_NS - 1000, NOW_NS + 1000, Severity.MINOR)])
    back = updates_of(frames.collect(monitors, 0))
    assert [last(back, name) for name in ("a", "a.SEVR")] == [(1, Quality.GOOD), (1, Quality.GOOD)]
    assert (back.time_ns > NOW_NS).all()


def test_what_a_server_refuses_is_said_once_until_it_was_there(monitors: Told) -> None:
    frames = MonitorFrames(ORIGIN, [Plan("a"), Plan("b")])
    monitors.value(0, 1.0)
    monitors.buffer.refuse(1, "no such node")
    monitors.buffer.refuse("folder", "empty")
    assert problems(frames.collect(monitors, 0)) == [("b", "no such node"), ("folder", "empty")]
    monitors.buffer.refuse(1, "no such node")
    assert problems(frames.collect(monitors, 0)) == []
    monitors.value(1, 1.0)
    monitors.buffer.refuse(1, "no such node")
    assert problems(frames.collect(monitors, 0)) == [("b", "no such node")]


def test_status_words_keep_their_names_where_the_server_knows_nothing_of_them(monitors: Told) -> None:
    frames = MonitorFrames(ORIGIN, [Plan("s", kind=Kind.BITS, states=("on", "up"))])
    monitors.value(0, 3.0)
    monitors.buffer.describe({0: ControlInfo("V", ("x", "y"), {})})
    (channel,) = updates_of(frames.collect(monitors, 0)).layout.channels
    assert (channel.kind, channel.unit, channel.states) == (Kind.BITS, "", ("on", "up"))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("value"), st.integers(0, 2)),
        st.tuples(st.just("lose"), st.integers(0, 2)),
        st.tuples(st.just("turn"), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS, st.booleans())
def test_after_any_turns_the_last_word_of_a_channel_is_whether_it_is_connected(steps: Sequence[tuple[str, int]], severity: bool) -> None:
    monitors = Told()
    frames = MonitorFrames(ORIGIN, [Plan("a"), Plan("b"), Plan("c")], severity=severity)
    standing: dict[str, Quality] = {}
    connected: set[int] = set()

    def turn() -> None:
        updates = updates_of(frames.collect(monitors, 0))
        for name in "abc":
            if (found := last(updates, name)) is not None:
                standing[name] = found[1]

    for step, column in steps:
        if step == "turn" and (connected or standing):
            try:
                turn()
            except CollectError:
                assert not connected
        elif step == "value":
            monitors.value(column, 1.0)
            connected.add(column)
        elif step == "lose":
            monitors.buffer.lose([column], NOW_NS)
            connected.discard(column)
    if connected:
        turn()
        assert standing == {name: Quality.GOOD if column in connected else Quality.DISCONNECTED for column, name in enumerate("abc")}


@given(st.integers(1, 20), st.integers(0, 50))
def test_the_buffer_keeps_the_newest_and_counts_the_rest(size: int, events: int) -> None:
    buffer = MonitorBuffer(size)
    buffer.put(Event(0, float(i), NOW_NS, NOW_NS) for i in range(events))
    kept, dropped = buffer.take()
    assert [event.value for event in kept] == [float(i) for i in range(max(events - size, 0), events)]
    assert dropped == max(events - size, 0)
    assert buffer.take() == ([], 0)


def test_of_many_names_a_few_are_shown() -> None:
    assert shown(["a", "b"]) == "a, b"
    assert shown([str(i) for i in range(7)]) == "0, 1, 2, 3, 4 and 2 more"
