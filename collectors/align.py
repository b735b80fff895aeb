"""From single updates to frames: the last value of every column at regular ticks, with its age.

Event-driven sources (EPICS and OPC UA monitors) send a reading when it changes. Detectors want all columns at one
time. Between ticks nothing is lost where it matters: with `extremes`, each gauge is accompanied by its minimum,
maximum and number of updates in the interval, so that a spark between two snapshots is seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Kind, Layout, Quality, Updates

LONGEST_SILENCE = 10_000
"""Ticks without any update that are filled in one call."""


class Aligner:
    """Aligns the updates of one source to ticks of `period_ns`; state belongs to keys.

    There is no tick before `start_ns`: for a live source when it was first read, because what it holds may have been set
    months ago; that stands at the first tick. Where nothing comes for more than LONGEST_SILENCE ticks and nobody asked
    meanwhile (a machine that slept, a single reading stamped 1990), the rest of the silence is left out.

    A column whose last update is older than `stale_after_ns` keeps its value with quality STALE (0 switches this off:
    a monitor that sends nothing may simply have nothing new to say).
    """

    def __init__(self, period_ns: int, *, stale_after_ns: int = 0, extremes: bool = False, start_ns: int = 0) -> None:
        if period_ns <= 0:
            raise ValueError(f"period of {period_ns} ns")
        self._period_ns = period_ns
        self._stale_after_ns = stale_after_ns
        self._extremes = extremes
        self._start_ns = start_ns
        self._layout: Layout | None = None
        self._frame_layout: Layout | None = None
        self._next_tick_ns: int | None = None
        self._pending: list[Updates] = []
        self._value = np.empty(0)
        self._quality = np.empty(0, dtype=np.uint8)
        self._updated_ns = np.empty(0, dtype=np.int64)

    def add(self, updates: Updates) -> list[Frame]:
        """Takes updates in; frames come out only where the layout changes, for what was pending before."""
        finished: list[Frame] = []
        if self._layout is None or updates.layout.digest != self._layout.digest:
            if self._pending and len(updates):
                newest_ns = max(int(u.time_ns.max()) for u in self._pending)
                finished = self.until(min(newest_ns, int(updates.time_ns.min())))
            self._adopt(updates.layout)
        if len(updates):
            if self._next_tick_ns is None:
                self._next_tick_ns = (max(int(updates.time_ns.min()), self._start_ns) // self._period_ns + 1) * self._period_ns
            self._pending.append(updates)
        return finished

    def until(self, now_ns: int) -> list[Frame]:
        """One frame with a row for each tick up to `now_ns`; none before the first update has come."""
        if self._layout is None or self._frame_layout is None or self._next_tick_ns is None or now_ns < self._next_tick_ns:
            return []
        ticks = self._ticks(self._next_tick_ns, now_ns)
        self._next_tick_ns = int(ticks[-1]) + self._period_ns
        values, quality = self._rows(ticks)
        return [Frame(self._frame_layout, ticks, values, quality if quality.any() else None)]

    def _ticks(self, first_ns: int, now_ns: int) -> NDArray[np.int64]:
        """Ticks up to a time, without the rest of a long silence; shape (ticks,)."""
        count = (now_ns - first_ns) // self._period_ns + 1
        number = np.arange(min(count, LONGEST_SILENCE + 1))
        if count > LONGEST_SILENCE + 1:
            time_ns = np.concatenate([u.time_ns for u in self._pending] or [np.empty(0, np.int64)])
            with_updates = -(-np.maximum(time_ns - first_ns, 0) // self._period_ns)
            busy = np.unique(np.concatenate([[0], with_updates[with_updates < count], [count - 1]]))
            filled = np.minimum(np.diff(busy), LONGEST_SILENCE)
            before = np.cumsum(filled) - filled
            number = np.append(np.repeat(busy[:-1] - before, filled) + np.arange(filled.sum()), busy[-1])
        return first_ns + number * self._period_ns

    def _rows(self, ticks: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Values and quality at each tick, with the extremes where they are wanted; shape (ticks, columns)."""
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
        if self._extremes:
            good = (quality == Quality.GOOD) & ~np.isnan(value)
            return _with_extremes(values, qualities, (tick, column), np.where(good, value, np.nan), self._layout.of_kind(Kind.GAUGE))
        return values, qualities

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

    def _adopt(self, layout: Layout) -> None:
        """Goes on with another layout, keeping what is known of the keys that stay."""
        origin = _origin(layout, self._layout)
        self._pending = [_moved(updates, layout, origin) for updates in self._pending]
        self._value = np.where(origin >= 0, np.append(self._value, np.nan)[origin], np.nan)
        self._quality = np.where(origin >= 0, np.append(self._quality, np.uint8(0))[origin], np.uint8(Quality.GOOD)).astype(np.uint8)
        self._updated_ns = np.where(origin >= 0, np.append(self._updated_ns, np.int64(0))[origin], 0)
        self._layout = layout
        self._frame_layout = Layout(layout.source, (*layout.columns, *_extreme_channels(layout)), layout.part) if self._extremes else layout


def _origin(layout: Layout, former: Layout | None) -> NDArray[np.int64]:
    """For each frame column of a layout that of the former one with the same key, -1 where there is none; shape (width,)."""
    known = {}
    if former is not None:
        known = {(key, c.width): int(start) for key, c, start in zip(former.keys, former.columns, former.starts[:-1], strict=True)}
    origin = np.full(layout.width, -1, dtype=np.int64)
    for key, column, start in zip(layout.keys, layout.columns, layout.starts[:-1], strict=True):
        first = known.get((key, column.width))
        if first is not None:
            origin[start : start + column.width] = np.arange(first, first + column.width)
    return origin


def _moved(updates: Updates, layout: Layout, origin: NDArray[np.int64]) -> Updates:
    """The updates as those of another layout, without those of columns that it does not have."""
    target = np.full(updates.layout.width, -1, dtype=np.int32)
    target[origin[origin >= 0]] = np.flatnonzero(origin >= 0)
    column = target[updates.column]
    kept = column >= 0
    return Updates(layout, updates.time_ns[kept], column[kept], updates.value[kept], updates.quality[kept])


def _with_extremes(
    values: NDArray[np.float64],
    qualities: NDArray[np.uint8],
    cell: tuple[NDArray[np.int64], NDArray[np.int32]],
    value: NDArray[np.float64],
    gauges: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Appends minimum, maximum and number of updates of each gauge in each interval; shape (ticks, columns + 3 * gauges).

    `value`: of each update, NaN where it is not good; `cell`: its row and column. Where no good one came, minimum and maximum
    are the standing value with its quality.
    """
    low, high, count = np.full_like(values, np.nan), np.full_like(values, np.nan), np.zeros_like(values)
    np.fmin.at(low, cell, value)
    np.fmax.at(high, cell, value)
    np.add.at(count, cell, 1)
    seen = ~np.isnan(low)
    low, high = np.where(seen, low, values), np.where(seen, high, values)
    standing = np.where(seen, np.uint8(Quality.GOOD), qualities)[:, gauges]
    extremes = np.stack([low[:, gauges], high[:, gauges], count[:, gauges]], axis=2).reshape(len(values), -1)
    extreme_qualities = np.stack([standing, standing, np.zeros_like(standing)], axis=2).reshape(len(values), -1)
    return np.concatenate([values, extremes], axis=1), np.concatenate([qualities, extreme_qualities], axis=1)


def _extreme_channels(layout: Layout) -> list[Channel]:
    described = []
    for channel in layout.channels:
        if channel.kind is Kind.GAUGE:
            for what, unit in (("min", channel.unit), ("max", channel.unit), ("updates", "1")):
                described.append(Channel(f"{channel.name}:{what}", f"{channel.quantity} {what}", unit, Kind.GAUGE, channel.place))
    return described
