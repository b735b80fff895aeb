"""Conditions (run, luminosity section, beam, pile-up, magnet …) joined as of each row's time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Kind

KEPT_ROWS = 100_000


class ConditionHistory:
    """What each condition was at any time: the last value at or before it.

    A frame does not carry the run by itself; conditions are a source like any other and are joined here. Rows may
    arrive in any order and more than once.
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
            order = np.argsort(time_ns, kind="stable")
            time_ns, value = time_ns[order], value[order]
            changes = np.ones(len(value), dtype=bool)
            changes[1:] = value[1:] != value[:-1]
            self._time_ns[channel.name] = time_ns[changes][-self._kept_rows :]
            self._value[channel.name] = value[changes][-self._kept_rows :]
            self._channels[channel.name] = channel

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
