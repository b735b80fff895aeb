"""From what monitors bring to updates: value, the server's time, and whether it can be believed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collectors.collector import Rejected
from collectors.frame import Channel, Kind, Layout, Quality, Updates

EARLIEST_NS = 788_918_400_000_000_000
"""1995: a server without a clock gives the EPICS epoch, 1990."""


_Bounds = tuple[NDArray[np.bool_], NDArray[np.float64]]


class Severity(IntEnum):
    """Alarm severities of EPICS; only the last one says that the value itself is worthless."""

    NO_ALARM = 0
    MINOR = 1
    MAJOR = 2
    INVALID = 3


class Event(NamedTuple):
    """One message of a monitor. `value` is None when the channel was lost; `time_ns` is the server's.

    `quality` is what the protocol itself says of the value; a severity or a problem can only make it worse.
    """

    column: int
    value: float | str | None
    time_ns: int
    arrived_ns: int
    severity: int = Severity.NO_ALARM
    problem: str = ""
    quality: Quality = Quality.GOOD


@dataclass(slots=True)
class _Rows:
    time_ns: list[int] = field(default_factory=list)
    column: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)

    def add(self, time_ns: int, column: int, value: float, quality: Quality) -> None:
        self.time_ns.append(time_ns)
        self.column.append(column)
        self.value.append(value)
        self.quality.append(quality)


class Decoder:
    """Decodes events in the order they arrived. It remembers what was wrong with a channel, so that it is said once."""

    def __init__(self) -> None:
        self._problems: dict[str, str] = {}
        self._lost_ns: dict[str, int] = {}
        self._digest = ""
        self._bounds: _Bounds = np.empty(0, bool), np.empty(0)

    def decode(self, layout: Layout, events: Iterable[Event]) -> tuple[Updates, list[Rejected]]:
        """The updates, and a rejection for each channel that has come to send what cannot be used."""
        events = list(events)
        if not self._lost_ns and not self._problems:
            if layout.digest != self._digest:
                self._digest, self._bounds = layout.digest, _bounds(layout)
            if (plain := _plain(layout, events, self._bounds)) is not None:
                return plain, []
        return self._one_by_one(layout, events)

    def _one_by_one(self, layout: Layout, events: Sequence[Event]) -> tuple[Updates, list[Rejected]]:
        rows = _Rows()
        rejected: list[Rejected] = []
        for event in events:
            channel = layout.columns[event.column]
            assert isinstance(channel, Channel)
            value, quality, problem = _reading(event, channel)
            if problem and channel.name not in self._problems:
                rejected.append(Rejected(channel.name, problem, str(event.value).encode(), event.arrived_ns))
            if problem:
                self._problems[channel.name] = problem
            elif event.value is not None:
                self._problems.pop(channel.name, None)
            time_ns = event.time_ns if event.time_ns >= EARLIEST_NS else event.arrived_ns
            if event.value is None:
                self._lost_ns[channel.name] = time_ns
            elif time_ns <= self._lost_ns.pop(channel.name, 0):
                time_ns = event.arrived_ns  # it did not change while the channel was lost, and it holds again from now on
            rows.add(time_ns, event.column, value, quality)
        updates = Updates(
            layout,
            np.array(rows.time_ns, dtype=np.int64),
            np.array(rows.column, dtype=np.int32),
            np.array(rows.value, dtype=np.float64),
            np.array(rows.quality, dtype=np.uint8),
        )
        return updates, rejected


def _bounds(layout: Layout) -> _Bounds:
    """Which columns hold whole numbers only, and what they stay below; each of shape (columns,)."""
    channels = layout.channels
    is_state = [c.kind is Kind.STATE and bool(c.states) for c in channels]
    is_whole = np.array([state or c.kind is Kind.BITS for c, state in zip(channels, is_state, strict=True)], dtype=bool)
    below = np.array([len(c.states) if state else math.inf for c, state in zip(channels, is_state, strict=True)])
    return is_whole, below


def _plain(layout: Layout, events: Sequence[Event], bounds: _Bounds) -> Updates | None:
    """The updates where each event is a number that its channel can have, which is nearly always; None where one is not."""
    if not events:
        return None
    columns, values, times_ns, arrived_ns, severities, problems, qualities = zip(*events, strict=True)
    if not set(map(type, values)) <= {float, int} or any(problems):
        return None
    column, value = np.array(columns, dtype=np.int32), np.array(values, dtype=np.float64)
    is_whole, below = (array[column] for array in bounds)
    is_bad = np.isinf(value) | (is_whole & ((value < 0) | (value >= below) | (value != np.floor(value)) & ~np.isnan(value)))
    if is_bad.any():
        return None
    time_ns, arrived = np.array(times_ns, dtype=np.int64), np.array(arrived_ns, dtype=np.int64)
    is_invalid = np.isnan(value) | (np.array(severities) >= Severity.INVALID)
    quality = np.where(is_invalid, np.uint8(Quality.INVALID), np.array(qualities, dtype=np.uint8))
    return Updates(layout, np.where(time_ns >= EARLIEST_NS, time_ns, arrived), column, value, quality)


def _reading(event: Event, channel: Channel) -> tuple[float, Quality, str]:
    """Value and quality of an event, and what is wrong with it."""
    if event.value is None:
        return math.nan, Quality.DISCONNECTED, ""
    value, problem = _number(event.value, channel) if not event.problem else (math.nan, event.problem)
    if problem or math.isnan(value) or event.severity >= Severity.INVALID:
        return value, Quality.INVALID, problem
    return value, event.quality, ""


def _number(value: float | str, channel: Channel) -> tuple[float, str]:
    is_state = channel.kind is Kind.STATE and bool(channel.states)
    if isinstance(value, str):
        value, problem = _parsed(value, channel.states if is_state else ())
        if problem:
            return math.nan, problem
    if math.isnan(value):
        return value, ""
    if channel.kind is Kind.BITS and -(2**31) <= value < 0:
        value += 2**32  # a record of 32 bits has a sign
    problem = ""
    if math.isinf(value):
        problem = f"{value} is not a number"
    elif is_state and value not in range(len(channel.states)):
        problem = f"{value:g} is none of its {len(channel.states)} states"
    elif channel.kind is Kind.BITS and (value < 0 or value != math.floor(value)):
        problem = f"{value:g} is no status word"
    return (math.nan if problem else value), problem


def _parsed(text: str, states: Sequence[str]) -> tuple[float, str]:
    """The index of a state's name, or the number a text spells."""
    if states:
        return (float(states.index(text)), "") if text in states else (math.nan, f"{text!r:.60} is none of its states")
    try:
        return float(text), ""
    except ValueError:
        return math.nan, f"{text!r:.60} is not a number"


def limit_events(column: int, limits: Mapping[str, float], names: Sequence[str], now_ns: int) -> list[Event]:
    """Events of the limits of one channel, whose columns follow one another from `column`."""
    return [Event(column + i, limits.get(name, math.nan), now_ns, now_ns) for i, name in enumerate(names)]
