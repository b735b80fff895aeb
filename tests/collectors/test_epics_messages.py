"""Channel lists, options and messages of Channel Access, without a server."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.collector import Origin, Rejected
from collectors.epics import EpicsCollector, EpicsOptions
from collectors.frame import Channel, Kind, Layout, Quality
from collectors.slow_control.channel_list import expand
from collectors.slow_control.monitored import Decoder, Event


def test_channels_are_listed_in_a_file_with_or_without_a_heading(tmp_path: Path) -> None:
    headed, bare = tmp_path / "headed.csv", tmp_path / "bare.csv"
    headed.write_text("name,unit,place,states,kind\nA,kV,D1,,\nS,,,OFF|ON,\n")
    bare.write_text("1,HV of D1U,D1U_V,double,1,kV,-1.41,-1.405,-1.395,-1.39,3,1\n")
    options = EpicsOptions(channels_file=headed, channels=("A", "B"))
    layout = EpicsCollector(Origin("hv", "E1039", lambda: 0), options)._frames.layout
    assert layout.columns == (
        Channel("A", "A", "kV", Kind.GAUGE, "E1039/D1"),
        Channel("S", "S", "", Kind.STATE, "E1039", ("OFF", "ON")),
        Channel("B", "B", "", Kind.GAUGE, "E1039"),
    )
    columns = ("", "quantity", "name", "", "", "unit", "lolo", "low", "high", "hihi")
    (plan,) = EpicsOptions(channels_file=bare, channels_file_columns=columns).plans()
    assert (plan.name, plan.quantity, plan.unit, plan.limits["HIHI"]) == ("D1U_V", "HV of D1U", "kV", -1.39)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "name the channels"),
        ({"channels": ["A"], "addresses": ["host:port"]}, "HOST:PORT"),
        ({"channels": ["A"], "addresses": ["ioc1 ioc2"]}, "HOST:PORT"),
        ({"channels": ["A"], "addresses": ["[::1]:5064"]}, "no IPv6"),
        ({"channels_file": "/no/such/file.csv"}, "No such file"),
        ({"channels": ["A{0..999999}"]}, "more than"),
        ({"channels": ["B", "A{5..1}"]}, r"'A\{5\.\.1\}': the range is empty"),
        ({"channels": ["A:Status"], "bits": {"*:Stauts": ["on"]}}, r"`bits`: no channel is called like '\*:Stauts'"),
        ({"channels": ["A"], "channels_file_columns": ["nome"]}, "nome"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EpicsOptions.model_validate(options)


def test_ranges_are_written_out() -> None:
    assert expand(["A{08..10}:{0..1}", "B", "A08:0"]) == ["A08:0", "A08:1", "A09:0", "A09:1", "A10:0", "A10:1", "B"]


LAYOUT = Layout(
    "s",
    (Channel("v", "v", "V"), Channel("s", "s", "", Kind.STATE, states=("a", "b")), Channel("w", "w", "", Kind.BITS, states=("on", "up"))),
)


def test_what_cannot_be_true_is_invalid_and_said_once() -> None:
    second = 1_600_000_000_000_000_000
    events = [
        Event(0, math.inf, second, 9),
        Event(0, math.inf, second, 9),
        Event(1, 5, second, 9),
        Event(2, -1, second, 9),
        Event(0, "x", 0, second),
    ]
    updates, rejected = Decoder().decode(LAYOUT, events)
    assert [r.subject for r in rejected] == ["v", "s"]
    assert updates.quality.tolist() == [Quality.INVALID, Quality.INVALID, Quality.INVALID, Quality.GOOD, Quality.INVALID]
    assert updates.value[3] == 2**32 - 1
    assert updates.time_ns.tolist() == [second] * 5


EVENTS = st.builds(
    Event,
    st.integers(0, 2),
    st.none() | st.floats() | st.text(max_size=3),
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.integers(0, 4),
)


@given(st.lists(EVENTS))
def test_any_messages_become_updates(events: list[Event]) -> None:
    updates, _ = Decoder().decode(LAYOUT, events)
    assert len(updates) == len(events)
    assert not np.isinf(updates.value).any()
    good = updates.quality == Quality.GOOD
    assert np.isfinite(updates.value[good]).all()


NUMBERS = st.builds(
    Event,
    st.integers(0, 2),
    st.floats() | st.integers(0, 3) | st.just(2.0),
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.integers(0, 4),
)


@given(st.lists(NUMBERS))
def test_many_at_once_are_decoded_like_one_after_the_other(drawn: list[Event]) -> None:
    arrivals_ns = sorted(max(event.time_ns, event.arrived_ns) for event in drawn)  # our own clock goes on, and no server is ahead of it
    events = [
        event._replace(time_ns=min(event.time_ns, arrived_ns), arrived_ns=arrived_ns)
        for event, arrived_ns in zip(drawn, arrivals_ns, strict=True)
    ]
    together, rejected = Decoder().decode(LAYOUT, events)
    single, apart = Decoder(), list[Rejected]()
    for i, event in enumerate(events):
        updates, found = single.decode(LAYOUT, [event])
        apart += found
        row = [together.time_ns[i], together.column[i], together.value[i], together.quality[i]]
        expected = [updates.time_ns[0], updates.column[0], updates.value[0], updates.quality[0]]
        np.testing.assert_array_equal(row, expected)
    assert rejected == apart


def test_a_channel_that_comes_back_unchanged_is_good_again() -> None:
    """After a reconnection the server repeats the value with the time at which it was set, before the connection was lost."""
    second = 1_700_000_000_000_000_000
    events = [Event(0, 5.0, second, second), Event(0, None, second + 60, second + 60), Event(0, 5.0, second, second + 90)]
    updates, rejected = Decoder().decode(LAYOUT, events)
    assert not rejected
    newest = int(np.argmax(updates.time_ns))
    assert (updates.value[newest], updates.quality[newest]) == (5.0, Quality.GOOD)
