"""Limits on readings, as the archivers and alarm handlers of slow control know them: LOLO, LOW, HIGH and HIHI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from collectors.collector import Options
from collectors.frame import Channel, Frame, Kind, Layout
from detectors.figure import SeriesFigure
from detectors.finding import Breaches, Contribution, Evidence, Severity, Unit
from detectors.picturing import Moment, line
from detectors.selection import Channels, PerLayout, SelectionOptions, glob, select_channels, unit_key
from detectors.wording import amount


class Limit(Options):
    """Limits of all channels whose name fits a pattern. A reading that equals a limit is within it."""

    channel: str
    """Pattern of the channels' names."""
    low: float | None = None
    high: float | None = None
    low_severe: float | None = None
    """Below this it is severe (EPICS: LOLO)."""
    high_severe: float | None = None
    """Above this it is severe (EPICS: HIHI)."""
    severity: Severity = Severity.WARNING
    """Below `low` or above `high`."""
    severity_severe: Severity = Severity.CRITICAL
    """Below `low_severe` or above `high_severe`."""
    condition: str = "out_of_limits"
    """Name of the condition, for decisions and runbooks."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        given = [v for v in (self.low_severe, self.low, self.high, self.high_severe) if v is not None]
        if not given:
            raise ValueError(f"{self.channel}: no limit is given")
        if given != sorted(given):
            raise ValueError(f"{self.channel}: limits must rise from low_severe over low and high to high_severe")
        return self


class LimitsOptions(SelectionOptions):
    """Options of the rule `limits`."""

    rules: tuple[Limit, ...] = ()
    """Of all that fit a channel and have the same condition, the first counts."""


@dataclass(frozen=True, eq=False)
class _Bound:
    """Units of a layout with their frame column and bounds (infinite where there is none), each of shape (units,)."""

    units: tuple[Unit, ...]
    channels: tuple[Channel, ...]
    columns: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


class LimitsRule:
    """Readings below or above fixed limits. Only good readings are judged; a ramping or muted channel is not.

    Example::

        [[detector.limits.rules]]
        channel = "*:VMon"
        low = 395.0
        high = 405.0
        high_severe = 420.0
    """

    options_model: ClassVar[type[Options]] = LimitsOptions

    def __init__(self, name: str, options: LimitsOptions) -> None:
        self.name = name
        self._options = options
        self._bound = PerLayout(self._bind)

    def judge(self, frame: Frame) -> Breaches:
        """A unit for each channel and severity; O(rows x units), no state."""
        bound = self._bound.of(frame.layout)
        readings = frame.readings(bound.columns)
        return Breaches(bound.units, (readings < bound.low) | (readings > bound.high), ~np.isnan(readings))

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """The reading and the limit that it breaks."""
        bound = self._bound.of(frame.layout)
        channel = bound.channels[unit]
        value = float(frame.values[row, bound.columns[unit]])
        above = value > bound.high[unit]
        limit = float(bound.high[unit] if above else bound.low[unit])
        where = f"{'above' if above else 'below'} {amount(limit, channel.unit)}"
        contribution = Contribution(bound.units[unit].name, channel.place, value, limit, 1.0, channel.unit)
        return Evidence(f"{bound.units[unit].name} is {amount(value, channel.unit)}, {where}", (contribution,))

    def picture(self, recent: Frame, row: int, unit: int) -> SeriesFigure | None:
        """The readings with the limits."""
        bound, moment = self._bound.of(recent.layout), Moment.of(recent, row)
        values = moment.readings(bound.columns[unit : unit + 1])[:, 0]
        low, high, name = float(bound.low[unit]), float(bound.high[unit]), bound.units[unit].name
        shown = line(name, bound.channels[unit].unit, values, share=1.0)
        bad = (values < low) | (values > high)
        broken = "above" if values[moment.at] > high else "below"
        return moment.series(f"{name} {broken} its limit", [shown], bad, limit_low=low, limit_high=high)

    def _bind(self, layout: Layout) -> _Bound:
        gauges = select_channels(layout, self._options, Kind.GAUGE)
        rows = [row for i in range(len(gauges)) for row in self._units_of(gauges, i)]
        units, position, low, high = zip(*rows, strict=True) if rows else ((), (), (), ())
        index = np.array(position, dtype=np.int64)
        channels = tuple(gauges.channels[i] for i in position)
        return _Bound(units, channels, gauges.columns[index], np.array(low, dtype=np.float64), np.array(high, dtype=np.float64))

    def _units_of(self, gauges: Channels, i: int) -> list[tuple[Unit, int, float, float]]:
        channel, found = gauges.channels[i], []
        conditions: set[str] = set()
        for rule in self._options.rules:
            if rule.condition in conditions or not glob(rule.channel).match(channel.name):
                continue
            conditions.add(rule.condition)
            levels = (
                ("", rule.low, rule.high, rule.severity),
                (":severe", rule.low_severe, rule.high_severe, rule.severity_severe),
            )
            for suffix, low, high, severity in levels:
                if low is None and high is None:
                    continue
                key = unit_key(gauges.keys[i], rule.condition) + suffix
                unit = Unit(key, gauges.names[i], channel.place, rule.condition, severity)
                found.append((unit, i, -np.inf if low is None else low, np.inf if high is None else high))
        return found
