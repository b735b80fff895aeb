"""Axes of time in the experiment's time zone, and the moments that are marked on them."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from daemon.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

SECOND = 1_000_000_000
_STEPS_S = (0.001, 0.01, 0.1, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_DAY_S = 86400
TICKS_MOST = 7
WORDS = 1.2
"""Width of a moment in words, in inches."""


class TimeAxis:
    """Times of a picture as seconds from its first: what matplotlib draws. Points that stand alone still have a width."""

    def __init__(self, time_ns: NDArray[np.int64], zone: tzinfo, *marked_ns: int) -> None:
        self._zone = zone
        known = np.asarray(time_ns, dtype=np.int64)
        first, last = (int(known.min()), int(known.max())) if len(known) else (marked_ns[0] if marked_ns else 0,) * 2
        marked = [ns for ns in marked_ns if first - (last - first) <= ns <= last + (last - first)]
        self._first_ns = min([first, *marked])
        self._last_ns = max([last, *marked])
        if self._last_ns == self._first_ns:
            self._first_ns, self._last_ns = self._first_ns - 30 * SECOND, self._last_ns + 30 * SECOND

    @property
    def length_s(self) -> float:
        """How much time is shown."""
        return (self._last_ns - self._first_ns) / SECOND

    def seconds(self, time_ns: NDArray[np.int64]) -> Array:
        """Places on the axis."""
        result: Array = (np.asarray(time_ns, dtype=np.int64) - self._first_ns) / SECOND
        return result

    def place(self, time_ns: int) -> float:
        """Place of one moment, at the border where it lies outside."""
        return min(max((time_ns - self._first_ns) / SECOND, 0.0), self.length_s)

    def clock(self, time_ns: int) -> str:
        """A moment in words: "02:14:05"."""
        return self._local(time_ns).strftime("%H:%M:%S")

    def draw(self, axes: Axes, *, labels: bool = True) -> None:
        """Limits, ticks and, on the lowest panel, words."""
        axes.set_xlim(0.0, self.length_s)
        step = self._step()
        places = self._ticks(step)
        if not labels:
            axes.set_xticks(places, labels=[""] * len(places))
            return
        times = [self._local(self._first_ns + round(place * SECOND)) for place in places]
        axes.set_xticks(places, labels=[_word(time, step) for time in times])
        begin = self._local(self._first_ns)
        zone = begin.tzname() or ""
        end = self._local(self._last_ns)
        days = f"{begin:%-d %b %Y}" if begin.date() == end.date() else f"{begin:%-d %b} to {end:%-d %b %Y}"
        axes.set_xlabel(f"{days}, {style.clean(zone, 12)}", fontsize=style.SMALL, color=style.QUIET)

    def mark(self, panels: list[Axes], since_ns: int, found_ns: int) -> None:
        """When it began and when it was found: lines through all panels, words above the first."""
        since, found = self.place(since_ns), self.place(found_ns)
        for axes in panels:
            if since < found:
                axes.axvspan(since, self.length_s, color=style.TINT, zorder=0.5, linewidth=0)
                axes.axvline(since, color=style.INK, linewidth=1.1, linestyle=(0, (4, 2)), zorder=4)
            axes.axvline(found, color=style.INK, linewidth=1.4, zorder=4)
        top, scale = panels[0], style.inches(panels[0])[0] / self.length_s
        begun, seen = f"since {self.clock(since_ns)}", f"found {self.clock(found_ns)}"
        room_right = (self.length_s - found) * scale > WORDS
        if since_ns >= found_ns:
            _moment(top, found / self.length_s, seen, right=room_right)
        elif room_right and (since * scale > WORDS or (found - since) * scale > WORDS):
            _moment(top, found / self.length_s, seen, right=True)
            _moment(top, since / self.length_s, begun, right=since * scale <= WORDS)
        elif (found - since) * scale > 2 * WORDS:
            _moment(top, found / self.length_s, seen, right=False)
            _moment(top, since / self.length_s, begun, right=True)
        else:
            _moment(top, found / self.length_s, f"{begun}, {seen}", right=found * scale <= 2 * WORDS)

    def _local(self, time_ns: int) -> datetime:
        return datetime.fromtimestamp(time_ns // SECOND, self._zone).replace(microsecond=time_ns % SECOND // 1000)

    def _step(self) -> float:
        for step in _STEPS_S:
            if self.length_s / step <= TICKS_MOST:
                return step
        days = self.length_s / _DAY_S / TICKS_MOST
        return next((d for d in (1, 2, 5, 10, 30, 60, 120, 365) if d >= days), max(365.0, round(days))) * float(_DAY_S)

    def _ticks(self, step: float) -> list[float]:
        """Places of ticks at round local times."""
        begin = self._local(self._first_ns)
        offset = begin.utcoffset()
        local_ns = self._first_ns + round((offset.total_seconds() if offset is not None else 0.0) * SECOND)
        step_ns = max(1, round(step * SECOND))
        first = (-local_ns % step_ns) / SECOND
        return [float(place) for place in np.arange(first, self.length_s + 1e-9, step)]


def _word(time: datetime, step: float) -> str:
    if step >= _DAY_S:
        return f"{time:%-d %b}"
    if step < 1:
        return f"{time:%H:%M:%S}.{time.microsecond // 1000:03d}"
    return f"{time:%H:%M:%S}" if step < 60 else f"{time:%H:%M}"


def _moment(axes: Axes, place: float, text: str, *, right: bool) -> None:
    """Words above a line at a place from 0 to 1, to its right or its left."""
    axes.annotate(text, (place, 1.0), xycoords="axes fraction", xytext=(2 if right else -2, 4), textcoords="offset points",
                  ha="left" if right else "right", fontsize=style.SMALL, fontweight="bold", annotation_clip=False)  # fmt: skip
