"""Conditions (run, luminosity section, beam, pile-up, magnet …) joined as of each row's time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Kind

KEPT_ROWS = 100_000
EXACT_ROWS = 1_000
"""Newest rows of a condition that are all kept, so that what arrives late among them finds its place."""


class ConditionHistory:
    """What each condition was at any time: the last value at or before it.

    A frame does not carry the run by itself; conditions are a source like any other and are joined here. Rows may
    arrive in any order and more than once; of two readings at one time the later arrival counts. Of a value that stays
    the same only the first and the last reading are kept, the newest EXACT_ROWS apart.
    """

    def __init__(self, kept_rows: int = KEPT_ROWS) -> None:
        self._kept_rows = kept_rows
        self._time_ns: dict[str, NDArray[np.int64]] = {}
        self._value: dict[str, NDArray[np.float64]] = {}
        self._channels: dict[str, Channel] = {}

    @property
    def channels(self) -> dict[str, Channel]:
        """The conditions seen so far, by name."""
        return dict(self._channels)

    def add(self, frame: Frame) -> None:
        """Takes in a block of conditions; a reading that is missing or not good changes nothing."""
        for channel in frame.layout.channels:
            value = frame.readings(np.array([frame.layout.position(channel.name)]))[:, 0]
            present = np.isfinite(value)
            time_ns, value = frame.time_ns[present], value[present]
            old_ns, old = self._time_ns.get(channel.name), self._value.get(channel.name)
            if old_ns is not None and old is not None:
                time_ns, value = np.concatenate([old_ns, time_ns]), np.concatenate([old, value])
            kept = self._kept(time_ns, value)
            self._time_ns[channel.name], self._value[channel.name] = time_ns[kept], value[kept]
            self._channels[channel.name] = channel

    def _kept(self, time_ns: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.int64]:
        """Indices of the readings to keep, in order of time."""
        order = np.argsort(time_ns, kind="stable")
        order = order[np.append(np.diff(time_ns[order]) != 0, np.ones(min(len(order), 1), dtype=bool))]
        changes = np.diff(value[order]) != 0
        ends = np.ones(len(order), dtype=bool)
        ends[1:-1] = changes[:-1] | changes[1:]
        ends[-EXACT_ROWS:] = True
        kept: NDArray[np.int64] = order[ends][-self._kept_rows :]
        return kept

    def as_of(self, name: str, time_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """The condition's value at each time; NaN before its first reading and for a name never seen. Shape (n,)."""
        known_ns = self._time_ns.get(name)
        if known_ns is None or not len(known_ns):
            return np.full(len(time_ns), np.nan)
        at = np.searchsorted(known_ns, time_ns, side="right") - 1
        return np.where(at >= 0, self._value[name][np.maximum(at, 0)], np.nan)

    def text_as_of(self, name: str, time_ns: int) -> str:
        """The condition as a person reads it ("STABLE BEAMS", "382711"); empty where it is not known."""
        value = float(self.as_of(name, np.array([time_ns], dtype=np.int64))[0])
        channel = self._channels.get(name)
        if channel is None or np.isnan(value):
            return ""
        if channel.kind is Kind.STATE and 0 <= int(value) < len(channel.states):
            return channel.states[int(value)]
        return f"{value:.10g}"
