"""What monitors of any protocol bring becomes updates: the buffer between threads, and the layout over all turns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.align import Aligner
from collectors.collector import CollectError, Origin
from collectors.frame import Channel, Kind, Layout, Quality
from collectors.slow_control import monitored
from collectors.slow_control.channel_list import ControlInfo, Plan
from collectors.slow_control.monitor_buffer import MonitorBuffer, shown
from collectors.slow_control.monitor_frames import MonitorFrames
from collectors.slow_control.monitored import Decoder, Event, Severity
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


def test_a_full_buffer_keeps_the_last_word_of_a_channel_that_says_little() -> None:
    buffer = MonitorBuffer(10)
    buffer.put([Event(7, 1.0, NOW_NS, NOW_NS), Event(7, 2.0, NOW_NS, NOW_NS)])
    buffer.put(Event(0, float(i), NOW_NS, NOW_NS) for i in range(30))
    kept, dropped = buffer.take()
    assert [(event.column, event.value) for event in kept] == [(7, 2.0), *((0, float(i)) for i in range(20, 30))]
    assert dropped == 21
    buffer.put([Event(0, 1.0, NOW_NS, NOW_NS)])
    assert [event.column for event in buffer.take()[0]] == [0]  # what was kept aside is told once


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_unit_that_comes_after_the_value_does_not_lose_a_value_that_never_changes(monitors: Told, is_lost: bool) -> None:
    frames = MonitorFrames(ORIGIN, [Plan("setpoint"), Plan("other")], severity=True)
    aligner = Aligner(1_000_000_000)
    monitors.value(0, 1500.0, at_ns=NOW_NS - 5)
    monitors.value(1, 1.0)
    if is_lost:
        monitors.buffer.lose([0], NOW_NS)
    aligner.add(updates_of(frames.collect(monitors, 0)))
    aligner.until(NOW_NS + 1_000_000_000)
    monitors.buffer.describe({0: ControlInfo("V", (), {})})
    described = updates_of(frames.collect(monitors, 0))
    aligner.add(described)
    (frame,) = aligner.until(NOW_NS + 2_000_000_000)
    assert frame.layout.channels[0].unit == "V"
    if is_lost:
        assert frame.quality is not None
        assert frame.quality[0].tolist() == [Quality.DISCONNECTED, Quality.GOOD, Quality.DISCONNECTED, Quality.GOOD]
    else:
        assert frame.values[0].tolist() == [1500.0, 1.0, 0.0, 0.0]
        assert frame.quality is None


LAYOUT = Layout("hv", (Channel("a", "a", "V"), Channel("b", "b", "V"), Channel("s", "s", "", Kind.STATE, states=("off", "on"))))


@pytest.mark.parametrize("time_ns", [253_402_300_799 * 10**9, 2**200, -(2**200)])
def test_a_time_beyond_all_calendars_does_not_take_other_channels_along(time_ns: int) -> None:
    updates, rejected = Decoder().decode(LAYOUT, [Event(0, 1.0, time_ns, NOW_NS), Event(1, 2.0, NOW_NS, NOW_NS)])
    assert updates.value.tolist() == [1.0, 2.0]
    assert updates.quality.tolist() == [Quality.GOOD] * 2
    assert updates.time_ns[1] == NOW_NS
    assert updates.time_ns[0] == NOW_NS if time_ns < 0 else updates.time_ns[0] > NOW_NS  # who is ahead of the clock is told by the source
    assert rejected == []


HOUR_NS = 3_600_000_000_000


def test_a_server_whose_clock_is_behind_shows_its_newest_value_after_it_came_back() -> None:
    behind = NOW_NS - HOUR_NS
    events = [
        Event(0, 1.0, behind, NOW_NS),
        Event(0, None, NOW_NS + 1, NOW_NS + 1),
        Event(0, 0.0, behind + 5, NOW_NS + 5),
        Event(0, 42.0, behind + 6, NOW_NS + 6),
    ]
    decoder = Decoder()
    updates, _ = decoder.decode(LAYOUT, events)
    assert updates.time_ns.tolist() == [behind, NOW_NS + 1, NOW_NS + 5, NOW_NS + 6]
    updates, _ = decoder.decode(LAYOUT, [Event(0, 43.0, behind + 7, NOW_NS + 7), Event(1, 1.0, behind + 7, NOW_NS + 7)])
    assert updates.time_ns.tolist() == [NOW_NS + 7, behind + 7]


TIMED = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([0.0, 1.0, 1.5, None, "on", "x", math.inf]), st.integers(-50, 50)), max_size=30
)


@given(TIMED, st.integers(0, 30))
def test_events_of_a_channel_stay_in_the_order_they_came_whatever_the_clock_of_its_server_does(
    timed: list[tuple[int, float | str | None, int]], cut: int
) -> None:
    events = [Event(column, value, NOW_NS + i + off, NOW_NS + i) for i, (column, value, off) in enumerate(timed)]
    decoder, cut_decoder = Decoder(), Decoder()
    updates, rejected = decoder.decode(LAYOUT, events)
    for column in range(3):
        assert (np.diff(updates.time_ns[updates.column == column]) >= 0).all()
    parts = [cut_decoder.decode(LAYOUT, events[:cut]), cut_decoder.decode(LAYOUT, events[cut:])]
    assert np.concatenate([part.value for part, _ in parts]).tolist() == pytest.approx(updates.value.tolist(), nan_ok=True)
    assert np.concatenate([part.quality for part, _ in parts]).tolist() == updates.quality.tolist()
    assert [r for _, some in parts for r in some] == rejected


def test_one_channel_that_is_wrong_does_not_make_the_others_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []
    whole = monitored._reading

    def counted(event: Event, channel: Channel) -> tuple[float, Quality, str]:
        looked_at.append(event.column)
        return whole(event, channel)

    monkeypatch.setattr(monitored, "_reading", counted)
    decoder = Decoder()
    for turn in range(3):
        lost = [Event(1, None, NOW_NS, NOW_NS)] if not turn else []
        many = [Event(0, float(i), NOW_NS + i, NOW_NS + i) for i in range(1000)]
        decoder.decode(LAYOUT, [*lost, Event(2, 7.0, NOW_NS, NOW_NS), *many])
    assert set(looked_at) <= {1, 2}
    assert len(looked_at) == 4


def test_of_many_names_a_few_are_shown() -> None:
    assert shown(["a", "b"]) == "a, b"
    assert shown([str(i) for i in range(7)]) == "0, 1, 2, 3, 4 and 2 more"
