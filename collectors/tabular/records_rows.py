"""From intervals of records to rows of a frame: which channels the groups have, and what stands in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collectors.collector import CollectError, Origin
from collectors.frame import Channel, Frame, Layout, LayoutError
from collectors.patterns import Places, join_place
from collectors.tabular.records_groups import Groups
from collectors.tabular.records_intervals import Closed, OpenIntervals, Records
from collectors.tabular.records_options import RecordsOptions

QUANTILES = (0.5, 0.95)
EMPTY_MOST = 10_000
"""Intervals without any record that are shown as such; the rest of a longer silence is left out."""
OPEN_CELLS_MOST = 20_000_000
"""Numbers that open intervals may hold, about 300 MB; beyond that the older half of the intervals takes no more records."""
ROW_CELLS = 65_536
"""Cells of one frame, about."""


class _Quantity(NamedTuple):
    """One channel of every group, and its values from what intervals held, shape (n, groups)."""

    name: str
    unit: str
    of: Callable[[Closed], NDArray[np.float64]]


class IntervalRows:
    """Makes rows of the intervals that are complete. `first_open`: no older interval takes records any more."""

    def __init__(self, origin: Origin, options: RecordsOptions, groups: Groups) -> None:
        self._interval_ns = options.interval_s * 1_000_000_000
        self._lateness_ns = None if options.lateness_s is None else int(options.lateness_s * 1e9)
        self._open = OpenIntervals(max(1, len(groups)), len(options.all_sums), len(options.distinct), QUANTILES)
        self._quantities = _quantities(options)
        self._layout = _layout(origin, options, groups, self._quantities)
        self._newest_ns = 0
        self._next: int | None = None
        self.first_open = int(np.iinfo(np.int64).min)

    def add(self, records: Records, newest_ns: int) -> Iterator[Frame]:
        """Adds records up; rows of the intervals that are complete then. newest_ns: time of the newest of them."""
        self._open.add(records)
        self._newest_ns = max(self._newest_ns, newest_ns)
        before = self.first_open
        if self._lateness_ns is not None:
            self.first_open = max(before, (self._newest_ns - self._lateness_ns) // self._interval_ns)
        if self._open.cells > OPEN_CELLS_MOST:
            self.first_open = max(self.first_open, self._open.middle())
        if self.first_open > before:
            yield from self._until(self.first_open)

    def rest(self) -> Iterator[Frame]:
        """Rows of all intervals that are left."""
        return self._until(None)

    def _until(self, end: int | None) -> Iterator[Frame]:
        """Rows up to the last interval with records before `end`; what follows it is shown once it is known how long it was."""
        most = max(1, ROW_CELLS // max(1, self._layout.width))
        while (busy := self._open.span(end)) is not None:
            first = busy[0] if self._next is None else max(self._next, busy[0] - EMPTY_MOST)
            stop = min(first + most, busy[1] + 1)
            yield self._frame(self._open.close(first, stop))
            self._next = stop

    def _frame(self, closed: Closed) -> Frame:
        with np.errstate(invalid="ignore", divide="ignore"):
            columns = np.stack([quantity.of(closed) for quantity in self._quantities], axis=-1)
        return Frame(self._layout, (closed.interval + 1) * self._interval_ns, columns.reshape(len(columns), -1))


def _quantities(options: RecordsOptions) -> list[_Quantity]:
    """What there is to show for each group, in the order in which it is shown."""
    per_s = 1.0 / options.interval_s
    name, unit = (options.value, options.value_unit) if options.value else ("rate", "B/s")
    all_of_them = {
        "records": _Quantity("records", "1", lambda c: c.records),
        "record_rate": _Quantity("record_rate", "1/s", lambda c: c.records * per_s),
        "bytes": _Quantity("bytes", "B", _sum(0)),
        "throughput": _Quantity("throughput", "B/s", _sum(0, per_s)),
        "failures": _Quantity("failures", "1", lambda c: c.failures),
        "failure_ratio": _Quantity("failure_ratio", "1", lambda c: c.failures / c.judged),
        "mean": _Quantity(f"{name}_mean", unit, lambda c: c.mean),
        **{f"p{q * 100:.0f}": _Quantity(f"{name}_p{q * 100:.0f}", unit, _quantile(i)) for i, q in enumerate(QUANTILES)},
    }
    shown = [all_of_them[quantity] for quantity in options.shown()]
    own = 1 if options.size else 0
    shown += [_Quantity(sum_.name, sum_.unit, _sum(own + i)) for i, sum_ in enumerate(options.sums)]
    return shown + [_Quantity(f"distinct_{column}", "1", _distinct(i)) for i, column in enumerate(options.distinct)]


def _sum(i: int, factor: float = 1.0) -> Callable[[Closed], NDArray[np.float64]]:
    return lambda closed: closed.sums[:, :, i] * factor


def _quantile(i: int) -> Callable[[Closed], NDArray[np.float64]]:
    return lambda closed: closed.quantiles[:, :, i]


def _distinct(i: int) -> Callable[[Closed], NDArray[np.float64]]:
    return lambda closed: closed.distinct[:, :, i]


def _layout(origin: Origin, options: RecordsOptions, groups: Groups, quantities: list[_Quantity]) -> Layout:
    """All channels of a group stand side by side. Raises CollectError where two would have one name."""
    places = Places(origin.place, options.places)
    steps = [options.group_by.index(column) for column in options.place_columns]
    channels = []
    for name, values in groups.parts.items():
        below = [values[i].replace("/", "_") for i in steps] if values else []
        place = join_place(places.of(name), *below)
        before = f"{name}/" if name else ""
        channels += [Channel(f"{before}{quantity.name}", quantity.name, quantity.unit, place=place) for quantity in quantities]
    try:
        return Layout(origin.source, tuple(channels))
    except LayoutError as error:
        raise CollectError(str(error)) from None
