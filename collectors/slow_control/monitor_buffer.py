"""Between the threads of a protocol's library, which bring events, and `collect`, which takes them: bounded, and thread-safe."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from collectors.slow_control.channel_list import ControlInfo, Plan
from collectors.slow_control.monitored import Event

_WAIT_STEP_S = 0.02
_SHOWN_NAMES = 5


class Monitors(Protocol):
    """Monitors of one source's channels by one protocol; channels are named by their column."""

    buffer: MonitorBuffer

    def start(self) -> None:
        """Begins to connect, once; from then on connections are lost and come back without anyone asking."""

    def is_settled(self) -> bool:
        """Whether all that there is has sent its first value, or what it can send instead."""

    def describe(self, timeout_s: float, /) -> Mapping[int, ControlInfo]:
        """What servers have told of channels since the last call, waiting for answers at most this long."""

    def nobody(self) -> str:
        """That no channel has a server, and where one was looked for, in one line."""

    def close(self) -> None:
        """Ends all connections and threads; safe to call twice, and before `start`."""


class MonitorBuffer:
    """Events that wait to be taken, and which columns are connected.

    Holds `max_events`; beyond that the oldest are dropped and counted, except the last one of each column: one that says little
    would otherwise keep the value it had before. A column is "heard" once it has sent anything, its first value or that it has
    none.
    """

    def __init__(self, max_events: int) -> None:
        self.max_events = max_events
        self._lock = threading.Lock()
        self._events: deque[Event] = deque()
        self._dropped = 0
        self._aside: dict[int, Event] = {}  # the newest of each column among those that did not fit
        self._connected: set[int] = set()
        self._heard: set[int] = set()
        self._infos: dict[int, ControlInfo] = {}
        self._plans: list[Plan] = []
        self._refusals: dict[int | str, str] = {}
        self._unsaid: dict[int | str, str] = {}

    def put(self, events: Iterable[Event]) -> None:
        """Takes events in, in order; who sends one has been heard."""
        with self._lock:
            for event in events:
                self._heard.add(event.column)
                if len(self._events) >= self.max_events:
                    oldest = self._events.popleft()
                    self._aside[oldest.column] = oldest
                    self._dropped += 1
                self._events.append(event)

    def connect(self, columns: Iterable[int]) -> None:
        """Says that these columns have a server."""
        with self._lock:
            columns = set(columns)
            self._connected |= columns
            for column in columns.intersection(self._refusals):
                del self._refusals[column]

    def lose(self, columns: Iterable[int], now_ns: int) -> None:
        """Says that these columns have no server any more: those that had one become events without a value."""
        with self._lock:
            lost = sorted(self._connected.intersection(columns))
            self._connected.difference_update(lost)
        self.put(Event(column, None, now_ns, now_ns) for column in lost)

    def refuse(self, subject: int | str, reason: str) -> None:
        """Says why something is not read: a column, or what is named.

        The same reason is said once, of a column until it is connected.
        """
        with self._lock:
            if self._refusals.get(subject) != reason:
                self._refusals[subject] = self._unsaid[subject] = reason

    def announce(self, plans: Iterable[Plan]) -> None:
        """Says that there are more channels than were configured; their columns follow those known before."""
        with self._lock:
            self._plans += plans

    def describe(self, infos: Mapping[int, ControlInfo]) -> None:
        """Keeps what servers tell of columns until it is taken."""
        with self._lock:
            self._infos.update(infos)

    def take(self) -> tuple[list[Event], int]:
        """Events that have come since the last call, in order, and how many were dropped because the buffer was full."""
        with self._lock:
            events, self._events = self._events, deque()
            dropped, self._dropped = self._dropped, 0
            aside, self._aside = self._aside, {}
        if not aside:
            return list(events), dropped
        later = {event.column for event in events}
        kept = [event for column, event in aside.items() if column not in later]
        return [*kept, *events], dropped - len(kept)

    def take_infos(self) -> dict[int, ControlInfo]:
        """What servers have told since the last call."""
        with self._lock:
            infos, self._infos = self._infos, {}
        return infos

    def take_plans(self) -> list[Plan]:
        """Channels that were found since the last call."""
        with self._lock:
            plans, self._plans = self._plans, []
        return plans

    def take_refusals(self) -> dict[int | str, str]:
        """Reasons that were not said yet, by column or name."""
        with self._lock:
            unsaid, self._unsaid = self._unsaid, {}
        return unsaid

    @property
    def connected(self) -> frozenset[int]:
        """Columns that have a server now."""
        with self._lock:
            return frozenset(self._connected)

    @property
    def heard(self) -> frozenset[int]:
        """Columns that have sent anything since the last `clear`."""
        with self._lock:
            return frozenset(self._heard)

    def clear(self) -> None:
        """Forgets who is connected, who was heard and what was not taken: the connections have been ended."""
        with self._lock:
            self._events.clear()
            self._aside.clear()
            self._connected.clear()
            self._heard.clear()
            self._infos.clear()


def wait_until(is_done: Callable[[], bool], timeout_s: float) -> None:
    """Waits until it is so, but not longer than this."""
    deadline = time.monotonic() + timeout_s
    while not is_done() and time.monotonic() < deadline:
        time.sleep(_WAIT_STEP_S)


def shown(names: Sequence[str]) -> str:
    """The first few of many names, and how many more there are."""
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return f"{', '.join(names[:_SHOWN_NAMES])}{more}"
