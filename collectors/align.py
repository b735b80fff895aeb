"""From single updates to frames: the last value of every column at regular ticks, with its age.

Event-driven sources (EPICS and OPC UA monitors) send a reading when it changes. Detectors want all columns at one
time. Between ticks nothing is lost where it matters: with `extremes`, each gauge is accompanied by its minimum,
maximum and number of updates in the interval, so that a spark between two snapshots is seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Kind, Layout, Quality, Updates


class Aligner:
    """Aligns the updates of one source to ticks of `period_ns`; state belongs to keys.

    A column whose last update is older than `stale_after_ns` keeps its value with quality STALE (0 switches this off:
    a monitor that sends nothing may simply have nothing new to say).
    """

    def __init__(self, period_ns: int, *, stale_after_ns: int = 0, extremes: bool = False) -> None:
        if period_ns <= 0:
            raise ValueError(f"period of {period_ns} ns")
        self._period_ns = period_ns
        self._stale_after_ns = stale_after_ns
        self._extremes = extremes
        self._layout: Layout | None = None
        self._frame_layout: Layout | None = None
        self._next_tick_ns = 0
        self._pending: list[Updates] = []
        self._value = np.empty(0)
        self._quality = np.empty(0, dtype=np.uint8)
        self._updated_ns = np.empty(0, dtype=np.int64)

    def add(self, updates: Updates) -> list[Frame]:
        """Takes updates in; frames come out only where the layout changes, for what was pending before."""
        finished: list[Frame] = []
        if self._layout is None or updates.layout.digest != self._layout.digest:
            if self._pending:
                finished = self.until(int(max(u.time_ns.max() for u in self._pending)))
            self._adopt(updates.layout)
        if len(updates):
            if not self._next_tick_ns:
                self._next_tick_ns = (int(updates.time_ns.min()) // self._period_ns + 1) * self._period_ns
            self._pending.append(updates)
        return finished

    def until(self, now_ns: int) -> list[Frame]:
        """One frame with a row for each tick up to `now_ns`; none before the first update has come."""
        if self._layout is None or self._frame_layout is None or not self._next_tick_ns or now_ns < self._next_tick_ns:
            return []
        ticks = np.arange(self._next_tick_ns, now_ns + 1, self._period_ns, dtype=np.int64)
        self._next_tick_ns = int(ticks[-1]) + self._period_ns
        values, quality, extremes = self._rows(ticks)
        if self._extremes:
            values = np.concatenate([values, extremes], axis=1)
            quality = np.concatenate([quality, np.zeros(extremes.shape, dtype=np.uint8)], axis=1)
        return [Frame(self._frame_layout, ticks, values, quality if quality.any() else None)]

    def _rows(self, ticks: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.float64]]:
        """`values` and `quality`: shape (ticks, columns); extremes: shape (ticks, 3 * gauges)."""
        assert self._layout is not None
        time_ns, column, value, quality = self._take(int(ticks[-1]))
        tick = np.searchsorted(ticks, time_ns, side="left")
        last = np.full((len(ticks), self._layout.width), -1, dtype=np.int64)
        last[tick, column] = np.arange(len(time_ns))  # in order of time: the last one of a cell stays
        last = np.maximum.accumulate(last, axis=0)
        fresh = last >= 0
        values = np.where(fresh, np.append(value, np.nan)[last], self._value)
        qualities = np.where(fresh, np.append(quality, np.uint8(0))[last], self._quality)
        updated = np.where(fresh, np.append(time_ns, np.int64(0))[last], self._updated_ns)
        self._value, self._quality, self._updated_ns = values[-1].copy(), qualities[-1].copy(), updated[-1].copy()
        if self._stale_after_ns:
            stale = (ticks[:, None] - updated > self._stale_after_ns) & (qualities == Quality.GOOD) & (updated > 0)
            qualities[stale] = Quality.STALE
        return values, qualities, self._interval_extremes(len(ticks), tick, column, value, values)

    def _take(self, until_ns: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64], NDArray[np.uint8]]:
        """All pending updates up to a time, in order of time; later ones stay pending."""
        assert self._layout is not None
        time_ns = np.concatenate([np.empty(0, np.int64), *(u.time_ns for u in self._pending)])
        column = np.concatenate([np.empty(0, np.int32), *(u.column for u in self._pending)])
        value = np.concatenate([np.empty(0), *(u.value for u in self._pending)])
        quality = np.concatenate([np.empty(0, np.uint8), *(u.quality for u in self._pending)])
        order = np.argsort(time_ns, kind="stable")
        due = order[: np.searchsorted(time_ns[order], until_ns, side="right")]
        later = order[len(due) :]
        self._pending = [Updates(self._layout, time_ns[later], column[later], value[later], quality[later])] if len(later) else []
        return time_ns[due], column[due], value[due], quality[due]

    def _interval_extremes(
        self, ticks: int, tick: NDArray[np.int64], column: NDArray[np.int32], value: NDArray[np.float64], values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Minimum, maximum and count of updates of each gauge in each interval; the standing value where none came."""
        assert self._layout is not None
        if not self._extremes:
            return np.empty((ticks, 0))
        gauges = self._layout.of_kind(Kind.GAUGE)
        low, high, count = values.copy(), values.copy(), np.zeros_like(values)
        np.fmin.at(low, (tick, column), value)
        np.fmax.at(high, (tick, column), value)
        np.add.at(count, (tick, column), 1)
        return np.stack([low[:, gauges], high[:, gauges], count[:, gauges]], axis=2).reshape(ticks, -1)

    def _adopt(self, layout: Layout) -> None:
        """Goes on with another layout, keeping what is known of the keys that stay."""
        known = {} if self._layout is None else {key: i for i, key in enumerate(self._layout.keys)}
        origin = np.array([known.get(key, -1) for key in layout.keys], dtype=np.int64)
        self._value = np.where(origin >= 0, np.append(self._value, np.nan)[origin], np.nan)
        self._quality = np.where(origin >= 0, np.append(self._quality, np.uint8(0))[origin], np.uint8(Quality.GOOD)).astype(np.uint8)
        self._updated_ns = np.where(origin >= 0, np.append(self._updated_ns, np.int64(0))[origin], 0)
        self._layout, self._pending = layout, []
        self._frame_layout = Layout(layout.source, (*layout.columns, *_extreme_channels(layout)), layout.part) if self._extremes else layout


def _extreme_channels(layout: Layout) -> list[Channel]:
    described = []
    for channel in layout.channels:
        if channel.kind is Kind.GAUGE:
            for what, unit in (("min", channel.unit), ("max", channel.unit), ("updates", "1")):
                described.append(Channel(f"{channel.name}:{what}", f"{channel.quantity} {what}", unit, Kind.GAUGE, channel.place))
    return described
