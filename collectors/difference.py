"""From totals since the start to what happened in each interval.

Cumulative histograms and counters bury faults: an hour of good entries hides a dead minute. The framework differences
them, so that everything after it sees intervals. What goes backwards is a reset and begins a new interval, which holds
all that was counted since the reset.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Histogram, Kind, Layout, Storage

FORGOTTEN_AFTER_NS = 7 * 86_400_000_000_000
"""What was not seen for as long begins anew: names that hold a number of a job or a run come and go for ever."""
_KEPT_ANYHOW = 10_000
TOLERANCE_RATIO = 1e-9
"""Rounding allowed before a sum of weights that shrinks is read as a reset."""


class Differencer:
    """Turns successive snapshots of one stream into intervals; state belongs to keys, so a new column disturbs no other.

    Counters become gauges in units per second. Histograms become the content of the interval, with `histograms` set
    (`accumulation = "since_start"`). The first snapshot of a column has no interval before it and gives NaN, and so does
    one that is incomplete or not good; the next interval then begins before it. A change of the channel named `run` is a
    reset of every histogram, also where the new run already holds more than the old one.
    """

    def __init__(self, *, histograms: bool, run: str = "run") -> None:
        self._histograms = histograms
        self._run = run
        self._last_run: float = np.nan
        self._runs_seen = 0
        self._contents: dict[str, tuple[int, NDArray[np.float64]]] = {}
        self._contents_ns: dict[str, int] = {}
        self._totals: dict[str, tuple[int, float]] = {}
        self._forget_beyond = _KEPT_ANYHOW
        self._layouts: dict[str, Layout] = {}

    def difference(self, frame: Frame) -> Frame:
        """The intervals that end with each row; same shape, counters described as rates in the layout."""
        layout = frame.layout
        counters = layout.of_kind(Kind.COUNTER)
        histograms = layout.histograms if self._histograms else ()
        if not len(frame) or not (len(counters) or histograms):
            return frame
        values = frame.values.astype(np.float64)
        if len(counters):
            values[:, counters] = self._rates(frame, counters)
        runs = self._runs(frame)
        for histogram in histograms:
            start = layout.position(histogram.path)
            section = slice(start, start + histogram.width)
            key = layout.key(histogram.path)
            values[:, section] = self._intervals(key, histogram, frame.readings(section), runs)
            self._contents_ns[key] = int(frame.time_ns[-1])
        if len(self._contents_ns) + len(self._totals) > self._forget_beyond:
            self._forget(int(frame.time_ns[-1]) - FORGOTTEN_AFTER_NS)
        return Frame(self._rates_layout(layout), frame.time_ns, values, frame.quality)

    def _forget(self, before_ns: int) -> None:
        self._totals = {key: total for key, total in self._totals.items() if total[0] >= before_ns}
        self._contents_ns = {key: time_ns for key, time_ns in self._contents_ns.items() if time_ns >= before_ns}
        self._contents = {key: content for key, content in self._contents.items() if key in self._contents_ns}
        self._forget_beyond = 2 * (len(self._contents_ns) + len(self._totals)) + _KEPT_ANYHOW  # so that it is seldom looked for

    def _runs(self, frame: Frame) -> NDArray[np.int64]:
        """How many runs have begun, as seen in each row; shape (n,)."""
        if self._run not in frame.layout:
            return np.full(len(frame), self._runs_seen)
        position = frame.layout.position(self._run)
        run = np.concatenate([[self._last_run], frame.readings(slice(position, position + 1))[:, 0]])
        run = run[np.maximum.accumulate(np.where(np.isfinite(run), np.arange(len(run)), 0))]  # where it is missing, it goes on
        self._last_run = float(run[-1])
        runs: NDArray[np.int64] = self._runs_seen + np.cumsum(np.isfinite(run[:-1]) & (run[1:] != run[:-1]))
        self._runs_seen = int(runs[-1])
        return runs

    def _intervals(self, key: str, histogram: Histogram, totals: NDArray[np.float64], runs: NDArray[np.int64]) -> NDArray[np.float64]:
        """`totals`: shape (n, width), entries first."""
        complete = np.isfinite(totals).all(axis=1)
        result = np.full_like(totals, np.nan)
        if not complete.any():
            return result
        present, runs = totals[complete], runs[complete]
        last_run, last = self._contents.get(key, (int(runs[0]), np.empty(0)))
        if len(last) != totals.shape[1]:  # seen for the first time, or with flow bins that it did not have
            last = np.full(totals.shape[1], np.nan)
        before = np.concatenate([last[None], present[:-1]])
        steps = present - before
        only_grow = _sums_that_only_grow(histogram)
        shrinks = (steps[:, only_grow] < -TOLERANCE_RATIO * np.abs(before[:, only_grow])).any(axis=1)
        reset = (np.diff(runs, prepend=last_run) != 0) | (steps[:, 0] < 0) | shrinks
        result[complete] = np.where(reset[:, None] & np.isfinite(before), present, steps)
        self._contents[key] = (int(runs[-1]), present[-1].copy())
        return result

    def _rates(self, frame: Frame, counters: NDArray[np.int64]) -> NDArray[np.float64]:
        """Increase per second of all counters at once; shape (n, counters)."""
        keys = [frame.layout.keys[i] for i in np.searchsorted(frame.layout.starts, counters)]
        known = [self._totals.get(key, (0, np.nan)) for key in keys]
        readings = frame.readings(counters)
        totals = np.concatenate([[[total for _, total in known]], np.where(np.isfinite(readings), readings, np.nan)])
        time_ns = np.concatenate([[[at_ns for at_ns, _ in known]], np.repeat(frame.time_ns[:, None], len(counters), axis=1)])
        valid = np.isfinite(totals)
        valid[0] = True  # what is not known yet is NaN and gives NaN
        newest = np.maximum.accumulate(np.where(valid, np.arange(len(totals))[:, None], 0), axis=0)
        before, before_ns = (np.take_along_axis(a, newest[:-1], axis=0) for a in (totals, time_ns))
        step = totals[1:] - before
        seconds = (time_ns[1:] - before_ns) / 1e9
        increase = np.where(step < 0, totals[1:], step)
        self._totals.update(
            (key, (int(at_ns), float(total)))
            for key, at_ns, total in zip(keys, *(np.take_along_axis(a, newest[-1:], axis=0)[0] for a in (time_ns, totals)), strict=True)
        )
        rates: NDArray[np.float64] = np.divide(increase, seconds, out=np.full(step.shape, np.nan), where=seconds > 0)
        return rates

    def _rates_layout(self, layout: Layout) -> Layout:
        if layout.digest not in self._layouts:
            columns = tuple(_as_rate(c) if isinstance(c, Channel) and c.kind is Kind.COUNTER else c for c in layout.columns)
            self._layouts = {layout.digest: Layout(layout.source, columns, layout.part)}
        return self._layouts[layout.digest]


def _as_rate(counter: Channel) -> Channel:
    unit = "1/s" if counter.unit in ("", "1") else f"{counter.unit}/s"
    return Channel(counter.name, f"{counter.quantity} rate", unit, Kind.GAUGE, counter.place, counter.states)


def _sums_that_only_grow(histogram: Histogram) -> slice:
    """Columns of the section that cannot shrink without a reset: counts, or the sums of squared weights."""
    size = math.prod(histogram.shape)
    return slice(1, 1 + size) if histogram.storage is Storage.COUNT else slice(1 + size, 1 + 2 * size)
