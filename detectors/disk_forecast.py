"""Disks that are likely to fail: the failure rate that disks with the same error counters have had.

A rule on the channels of `collectors.smartctl`. The raw values of the attributes that foretell failures are looked up in published
statistics (see `detectors.failure_rates`); of a disk's attributes the one with the highest rate counts. A disk that sleeps has no good
readings and is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from collectors.collector import Options
from collectors.frame import Channel, Frame, Kind, Layout, digest_of
from detectors.daq_advice import Advice
from detectors.failure_rates import RATES, UNMARKED_RATIO, FailureRates, critical_bits
from detectors.figure import Attribute, DiskFigure
from detectors.finding import Breaches, Contribution, Evidence, Severity, Unit
from detectors.picturing import Moment
from detectors.selection import PerLayout, SelectionOptions, unit_key
from detectors.wording import amount, percent

Array = NDArray[np.float64]

CONDITION = "disk_failing"
ANNUAL_FAILURE_RATIO = "annual_failure_ratio"
"""Name of the contribution that carries the disk's rate, between 0 and 1."""
PICTURED_MOST = 6


class DiskForecastOptions(SelectionOptions):
    """Options of the rule `disk_forecast`."""

    warn_at_ratio: float = Field(default=0.2, gt=0, le=1)
    """A disk is reported where disks like it fail at this rate a year."""
    critical_at_ratio: float = Field(default=0.6, gt=0, le=1)
    """It is critical from this rate on."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.critical_at_ratio < self.warn_at_ratio:
            raise ValueError("critical_at_ratio must not be below warn_at_ratio")
        return self


@dataclass(frozen=True, eq=False)
class _Bound:
    """The attributes of a layout that have rates, disk by disk; `starts`: the first of each disk.

    channels, rates: one for each of `columns`; units: one for each disk, then the severe one of each.
    """

    channels: tuple[Channel, ...]
    rates: tuple[FailureRates, ...]
    columns: NDArray[np.int64]
    starts: NDArray[np.int64]
    units: tuple[Unit, ...]

    @property
    def disks(self) -> int:
        return len(self.starts)

    def attributes(self, unit: int) -> range:
        """Positions of the attributes of a unit's disk."""
        disk = unit % self.disks
        end = int(self.starts[disk + 1]) if disk + 1 < self.disks else len(self.channels)
        return range(int(self.starts[disk]), end)


class DiskForecastRule:
    """Disks by the failure rate of disks like them; see the module. Cost: O(rows x attributes), no state.

    Example::

        [detector.disk_forecast]
        warn_at_ratio = 0.2
        critical_at_ratio = 0.6
    """

    options_model: ClassVar[type[Options]] = DiskForecastOptions
    advice: ClassVar[Mapping[str, Advice]] = {
        CONDITION: Advice("Drain the node and have the disk replaced.", "disk-failing", Severity.WARNING)
    }

    def __init__(self, name: str, options: DiskForecastOptions) -> None:
        self.name = name
        self._options = options
        self._bound = PerLayout(self._bind)

    def judge(self, frame: Frame) -> Breaches:
        """Two units a disk, from `warn_at_ratio` and from `critical_at_ratio` on; not judged where no attribute has a reading."""
        bound = self._bound.of(frame.layout)
        if not bound.disks:
            nothing = np.zeros((len(frame), 0), dtype=np.bool_)
            return Breaches((), nothing, nothing)
        rates = np.nan_to_num(_rates(bound, _values(bound, frame)), nan=-1.0)
        highest = np.maximum.reduceat(rates, bound.starts, axis=1)
        options = self._options
        holds = np.concatenate([highest >= options.warn_at_ratio, highest >= options.critical_at_ratio], axis=1)
        return Breaches(bound.units, holds, np.tile(highest >= 0, 2))

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """The attribute with the highest rate, the others that are raised, and the rate itself."""
        bound = self._bound.of(frame.layout)
        at = bound.attributes(unit)
        values = _values(bound, frame.rows(slice(row, row + 1)))
        rates = np.nan_to_num(_rates(bound, values)[0])
        ranked = sorted(at, key=lambda i: (-rates[i], -np.nan_to_num(values[0, i])))
        raised = [i for i in ranked if rates[i] > UNMARKED_RATIO and values[0, i] > 0] or ranked[:1]
        first, total = raised[0], float(sum(rates[i] for i in raised)) or 1.0
        contributions = [
            Contribution(bound.rates[i].name, bound.channels[i].place, float(values[0, i]), 0.0, float(rates[i]) / total, _unit(bound, i))
            for i in raised
        ]
        place, highest = bound.channels[first].place, float(rates[first])
        contributions.append(Contribution(ANNUAL_FAILURE_RATIO, place, highest, UNMARKED_RATIO, 0.0, ""))
        name = bound.units[unit].name
        return Evidence(f"{name}: {_sentence(bound.rates[first], float(values[0, first]), highest)}", tuple(contributions))

    def picture(self, recent: Frame, row: int, unit: int) -> DiskFigure | None:
        """The attributes of the disk over time with their buckets, the one with the highest rate first."""
        bound = self._bound.of(recent.layout)
        if not bound.disks or not len(recent):
            return None
        moment, at = Moment.of(recent, row), np.array(bound.attributes(unit), dtype=np.int64)
        values, now = _counted(bound, moment.readings(bound.columns[at]), at), moment.at
        rates = np.column_stack([bound.rates[i].of(values[:, k]) for k, i in enumerate(at)])
        order = np.lexsort((-np.nan_to_num(values[now]), -np.nan_to_num(rates[now])))[:PICTURED_MOST]
        raised = [k for k in order if np.nanmax(values[:, k], initial=0.0) > 0] or order[:1].tolist()
        attributes = tuple(
            Attribute(rate.name, rate.unit, values[:, k], rate.edges, rate.annual_ratio) for k in raised for rate in (bound.rates[at[k]],)
        )
        title = f"{bound.units[unit].name}: disks like this fail at {percent(float(np.nanmax(rates[now], initial=0.0)))} a year"
        return DiskFigure(title, moment.time_ns, attributes)

    def _bind(self, layout: Layout) -> _Bound:
        disks: dict[tuple[str, str], list[tuple[Channel, int]]] = {}
        for column, start in zip(layout.columns, layout.starts.tolist(), strict=False):
            serial, _, attribute = column.name.rpartition("/")
            if not isinstance(column, Channel) or column.kind is Kind.STATE or column.quantity != attribute:
                continue
            if serial and attribute in RATES and self._options.selects(column.name):
                disks.setdefault((serial, column.place), []).append((column, start))
        units = []
        for suffix, severity in (("", Severity.WARNING), (":severe", Severity.CRITICAL)):
            for serial, place in disks:
                key = unit_key(digest_of("disk", layout.source, serial), CONDITION) + suffix
                name = place.rpartition("/")[2]
                units.append(Unit(key, name if serial in name else f"disk {serial}", place, CONDITION, severity))
        ordered = [pair for attributes in disks.values() for pair in attributes]
        sizes = [len(attributes) for attributes in disks.values()]
        return _Bound(
            tuple(channel for channel, _ in ordered),
            tuple(RATES[channel.quantity] for channel, _ in ordered),
            np.array([start for _, start in ordered], dtype=np.int64),
            np.cumsum([0, *sizes[:-1]], dtype=np.int64) if sizes else np.empty(0, dtype=np.int64),
            tuple(units),
        )


def _values(bound: _Bound, frame: Frame) -> Array:
    """Values of all attributes, see `_counted`; shape (n, attributes)."""
    return _counted(bound, frame.readings(bound.columns), np.arange(len(bound.columns)))


def _counted(bound: _Bound, values: Array, at: NDArray[np.int64]) -> Array:
    """Readings of the attributes at these positions; status words become the number of their bits that count."""
    for k, i in enumerate(at):
        if bound.channels[i].kind is Kind.BITS:
            values[:, k] = critical_bits(values[:, k], bound.channels[i].states)
    return values


def _rates(bound: _Bound, values: Array) -> Array:
    """The rate of each attribute; shape (n, attributes)."""
    result = np.empty(values.shape)
    for rates in set(bound.rates):
        alike = [i for i, other in enumerate(bound.rates) if other is rates]
        result[:, alike] = rates.of(values[:, alike])
    return result


def _unit(bound: _Bound, i: int) -> str:
    return bound.rates[i].unit or ("bits" if bound.channels[i].kind is Kind.BITS else "1")


def _sentence(rates: FailureRates, value: float, rate: float) -> str:
    shown = f"{rates.name} {amount(value, rates.unit)}"
    if rates.measured:
        return f"{shown}: disks like this fail at {percent(rate)} a year"
    return f"{shown}: counted as a failure rate of {percent(rate)} a year, there are no published statistics"
