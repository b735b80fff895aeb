"""From what monitors bring to updates: value, the server's time, and whether it can be believed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collectors.collector import Rejected
from collectors.frame import Channel, Kind, Layout, Quality, Updates

EARLIEST_NS = 788_918_400_000_000_000
"""1995: a server without a clock gives the EPICS epoch, 1990."""
LATEST_NS = 4_102_444_800_000_000_000
"""2100: what is later (OPC UA's largest time is the year 9999) is so far ahead of the clock that it matters no more how far."""
_NUMBERS = {float, int}

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


class Decoder:
    """Decodes events in the order they arrived. It remembers what was wrong with a channel, so that it is said once.

    A reading has the time of its server, except where that would put it before one of the same channel that arrived earlier: a
    server that came back with what it had before, or whose clock was set back or is behind. Then it has the time of arrival, or
    the older one would be taken for the newer.
    """

    def __init__(self) -> None:
        self._problems: dict[str, str] = {}
        self._columns: dict[str, int] = {}
        self._digest = ""
        self._bounds: _Bounds = np.empty(0, bool), np.empty(0)
        self._newest_ns = np.empty(0, np.int64)  # of what was told of each column
        self._is_wrong = np.empty(0, bool)  # columns that have a problem

    def decode(self, layout: Layout, events: Iterable[Event]) -> tuple[Updates, list[Rejected]]:
        """The updates, and a rejection for each channel that has come to send what cannot be used."""
        self._adopt(layout)
        events = list(events)
        if not events:
            return Updates(layout, np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0), np.empty(0, np.uint8)), []
        columns, values, times_ns, arrived_ns, severities, problems, qualities = zip(*events, strict=True)
        column, arrived = np.array(columns, dtype=np.int32), np.array(arrived_ns, dtype=np.int64)
        value, is_other = _plain(values)
        if any(problems):
            is_other |= np.array([bool(problem) for problem in problems])
        is_whole, below = self._bounds
        is_other |= _out_of_bounds(value, is_whole[column], below[column])
        is_invalid = np.isnan(value) | (np.array(severities) >= Severity.INVALID)
        quality = np.where(is_invalid, np.uint8(Quality.INVALID), np.array(qualities, dtype=np.uint8))
        rejected = self._one_by_one(layout, events, column, is_other, (value, quality))
        return Updates(layout, self._in_order(column, _believable(times_ns, arrived), arrived), column, value, quality), rejected

    def _one_by_one(
        self,
        layout: Layout,
        events: Sequence[Event],
        column: NDArray[np.int32],
        is_other: NDArray[np.bool_],
        into: tuple[NDArray[np.float64], NDArray[np.uint8]],
    ) -> list[Rejected]:
        """Writes value and quality of all events of the channels that sent anything else than a number they can have, or had before."""
        concerned = self._is_wrong.copy()
        concerned[column[is_other]] = True
        values, qualities = into
        rejected: list[Rejected] = []
        for i in np.flatnonzero(concerned[column]).tolist():
            event = events[i]
            channel = layout.columns[event.column]
            assert isinstance(channel, Channel)
            values[i], qualities[i], problem = _reading(event, channel)
            if problem and channel.name not in self._problems:
                rejected.append(Rejected(channel.name, problem, str(event.value).encode(), event.arrived_ns))
            if problem:
                self._problems[channel.name] = problem
            elif event.value is not None:
                self._problems.pop(channel.name, None)
            self._is_wrong[event.column] = channel.name in self._problems
        return rejected

    def _in_order(self, column: NDArray[np.int32], time_ns: NDArray[np.int64], arrived_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The times, none of which is before an earlier one of the same column; all of shape (events,)."""
        if (np.diff(time_ns) < 0).any() or (time_ns < self._newest_ns[column]).any():  # of all servers; rarely of one column
            order = np.argsort(column.astype(np.uint16) if len(self._newest_ns) < 2**16 else column, kind="stable")
            sorted_column, sorted_ns = column[order], time_ns[order]
            is_first = np.append(True, sorted_column[1:] != sorted_column[:-1])
            before_ns = np.where(is_first, self._newest_ns[sorted_column], np.roll(sorted_ns, 1))
            self._put_in_order(sorted_column[sorted_ns < before_ns], column, time_ns, arrived_ns)
        # what is ahead of our clock does not count any longer than this: the clock of the server may be set right
        self._newest_ns[column] = np.minimum(time_ns, arrived_ns)  # of a column twice, the last stays
        return time_ns

    def _put_in_order(
        self, columns: NDArray[np.int32], column: NDArray[np.int32], time_ns: NDArray[np.int64], arrived_ns: NDArray[np.int64]
    ) -> None:
        """Changes the times of some columns so that none goes back."""
        newest_ns = self._newest_ns.copy()
        for i in np.flatnonzero(np.isin(column, columns)).tolist():
            if time_ns[i] < newest_ns[column[i]]:
                time_ns[i] = max(arrived_ns[i], newest_ns[column[i]])
            newest_ns[column[i]] = time_ns[i]

    def _adopt(self, layout: Layout) -> None:
        """Carries over by name what is known of columns."""
        if layout.digest == self._digest:
            return
        names = [column.name for column in layout.columns]
        origin = np.array([self._columns.get(name, -1) for name in names], dtype=np.int64)
        self._newest_ns = np.append(self._newest_ns, np.int64(0))[origin]
        self._is_wrong = np.array([name in self._problems for name in names], dtype=bool)
        self._columns = {name: i for i, name in enumerate(names)}
        self._digest, self._bounds = layout.digest, _bounds(layout)


def _bounds(layout: Layout) -> _Bounds:
    """Which columns hold whole numbers only, and what they stay below; each of shape (columns,)."""
    channels = layout.channels
    is_state = [c.kind is Kind.STATE and bool(c.states) for c in channels]
    is_whole = np.array([state or c.kind is Kind.BITS for c, state in zip(channels, is_state, strict=True)], dtype=bool)
    below = np.array([len(c.states) if state else math.inf for c, state in zip(channels, is_state, strict=True)])
    return is_whole, below


def _plain(values: Sequence[float | str | None]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The values that are numbers, and which are none (NaN there); both of shape (events,)."""
    if set(map(type, values)) <= _NUMBERS:
        return np.array(values, dtype=np.float64), np.zeros(len(values), dtype=bool)
    numbers = [value if isinstance(value, float | int) else math.nan for value in values]
    return np.array(numbers, dtype=np.float64), np.array([type(value) not in _NUMBERS for value in values], dtype=bool)


def _out_of_bounds(value: NDArray[np.float64], is_whole: NDArray[np.bool_], below: NDArray[np.float64]) -> NDArray[np.bool_]:
    is_no_code = (value < 0) | (value >= below) | ((value != np.floor(value)) & ~np.isnan(value))
    found: NDArray[np.bool_] = np.isinf(value) | (is_whole & is_no_code)
    return found


def _believable(times_ns: Sequence[int], arrived_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The times of servers, that of arrival where a server has no clock, and none that an int64 could not hold."""
    try:
        time_ns = np.array(times_ns, dtype=np.int64)
    except OverflowError:
        time_ns = np.array([max(min(time_ns, LATEST_NS), 0) for time_ns in times_ns], dtype=np.int64)
    return np.where(time_ns >= EARLIEST_NS, np.minimum(time_ns, LATEST_NS), arrived_ns)


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
