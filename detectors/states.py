"""States and status words: a channel that is in a state it should not be in, or shows a bit that it should not show.

How long it may last is not decided here: the framework raises a finding after `raise_rows` bad rows.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from collectors.collector import Options
from collectors.frame import Channel, Frame, Kind, Layout
from detectors.figure import StatesFigure
from detectors.finding import Breaches, Contribution, Evidence, Severity, Unit
from detectors.picturing import LINES_MOST, Moment, bit_lane, since_row, state_lane
from detectors.selection import Channels, PerLayout, SelectionOptions, glob, select_channels, unit_key
from detectors.wording import listed

log = logging.getLogger(__name__)

CODE_HIGHEST = 2**52
"""Codes beyond this are not exact in a float64 and are not judged."""


class StateLimit(Options):
    """Which states or bits are bad, of all channels whose name fits a pattern. Give one of `bad`, `good` and `bits_bad`."""

    channel: str
    """Pattern of the channels' names."""
    bad: tuple[str, ...] = ()
    """States that are bad."""
    good: tuple[str, ...] = ()
    """States that are good; every other one is bad, also one without a name."""
    bits_bad: tuple[str, ...] = ()
    """Bits of a status word that must not be set."""
    severity: Severity = Severity.WARNING
    condition: str = "bad_state"
    """Name of the condition, for decisions and runbooks."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(map(bool, (self.bad, self.good, self.bits_bad))) != 1:
            raise ValueError(f"{self.channel}: give one of bad, good and bits_bad")
        return self


class StatesOptions(SelectionOptions):
    """Options of the rule `states`."""

    rules: tuple[StateLimit, ...] = ()
    """Of all that fit a channel and have the same condition, the first counts."""


@dataclass(frozen=True, eq=False)
class _Bound:
    """The units of a layout.

    columns: frame column of each; mask: its bad bits, 0 for states; table: whether a state is bad, with a last column for
    codes that have no name, False throughout for status words.
    """

    units: tuple[Unit, ...]
    channels: tuple[Channel, ...]
    rules: tuple[StateLimit, ...]
    columns: NDArray[np.int64]
    mask: NDArray[np.int64]
    table: NDArray[np.bool_]

    def broken(self, readings: NDArray[np.float64], some: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether some units break their rule, and whether they can be judged; readings and results: shape (n, len(some))."""
        judged = np.abs(readings) < CODE_HIGHEST  # False for NaN
        codes = np.rint(np.where(judged, readings, 0.0)).astype(np.int64)
        nameless = self.table.shape[1] - 1
        named = np.where((codes >= 0) & (codes < nameless), codes, nameless)
        holds = self.table[some, named] | ((codes & self.mask[some]) != 0)
        return holds & judged, judged


class StatesRule:
    """Bad states and bad bits of status words. Only good readings are judged.

    Example::

        [[detector.states.rules]]
        channel = "*:Status"
        bad = ["TRIPPED"]
        severity = "critical"
        condition = "hv_trip"
    """

    options_model: ClassVar[type[Options]] = StatesOptions

    def __init__(self, name: str, options: StatesOptions) -> None:
        self.name = name
        self._options = options
        self._bound = PerLayout(self._bind)

    def judge(self, frame: Frame) -> Breaches:
        """A unit for each channel and condition; O(rows x units), no state."""
        bound = self._bound.of(frame.layout)
        holds, judged = bound.broken(frame.readings(bound.columns), np.arange(len(bound.units)))
        return Breaches(bound.units, holds, judged)

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """The state or the bits that are shown."""
        bound = self._bound.of(frame.layout)
        channel, rule, name = bound.channels[unit], bound.rules[unit], bound.units[unit].name
        code = round(float(frame.values[row, bound.columns[unit]]))
        if channel.kind is Kind.BITS:
            shown = [bit for i, bit in enumerate(channel.states) if bit in rule.bits_bad and code >> i & 1]
            ranked = tuple(Contribution(name, channel.place, 1.0, 0.0, 1 / len(shown), "", bit) for bit in shown)
            return Evidence(f"{name} shows {listed(shown)}", ranked)
        state = channel.states[code] if 0 <= code < len(channel.states) else f"{code}, which has no name"
        expected = f", expected {' or '.join(rule.good)}" if rule.good else ""
        usual = float(channel.states.index(rule.good[0])) if rule.good and rule.good[0] in channel.states else np.nan
        contribution = Contribution(name, channel.place, float(code), usual, 1.0, "", state + expected)
        return Evidence(f"{name} is {state}{expected}", (contribution,))

    def picture(self, recent: Frame, row: int, unit: int) -> StatesFigure | None:
        """The states of the channel or its bad bits, and below it others that break the same rule at that time."""
        bound, moment = self._bound.of(recent.layout), Moment.of(recent, row)
        now = self.judge(recent.rows(slice(row, row + 1))).holds[0]
        others = [i for i in np.flatnonzero(now).tolist() if bound.rules[i] is bound.rules[unit] and i != unit]
        lanes = []
        for i in [unit, *others][:LINES_MOST]:
            channel, rule, name = bound.channels[i], bound.rules[i], bound.units[i].name
            codes = moment.readings(bound.columns[i : i + 1])[:, 0]
            if channel.kind is Kind.BITS:
                bits = [bit for bit, word in enumerate(channel.states) if word in rule.bits_bad]
                shown = [bit_lane(f"{name}: {channel.states[bit]}", codes, bit) for bit in bits]
                lanes += [lane for lane in shown if i == unit or 1.0 in lane.codes]
                continue
            bad = tuple(word for word in channel.states if word in rule.bad or (rule.good and word not in rule.good))
            lanes.append(state_lane(name, codes, channel.states, bad, nameless_bad=bool(rule.good)))
        bad_rows, _ = bound.broken(moment.readings(bound.columns[unit : unit + 1]), np.array([unit]))
        time_ns = moment.time_ns
        title = f"{bound.units[unit].name}: {bound.rules[unit].condition.replace('_', ' ')}"
        return StatesFigure(
            title, time_ns, tuple(lanes[:LINES_MOST]), int(time_ns[since_row(bad_rows[:, 0], moment.at)]), int(time_ns[moment.at])
        )

    def _bind(self, layout: Layout) -> _Bound:
        selected = select_channels(layout, self._options, Kind.STATE, Kind.BITS)
        rows = [row for i in range(len(selected)) for row in self._units_of(selected, i)]
        width = max((len(selected.channels[i].states) for _, i, _ in rows), default=0) + 1
        table = np.zeros((len(rows), width), dtype=np.bool_)
        mask = np.zeros(len(rows), dtype=np.int64)
        for number, (_, i, rule) in enumerate(rows):
            names = selected.channels[i].states
            if rule.bits_bad:
                mask[number] = sum(1 << bit for bit, name in enumerate(names) if name in rule.bits_bad)
                continue
            table[number] = bool(rule.good)
            table[number, : len(names)] = [(name in rule.bad) or bool(rule.good and name not in rule.good) for name in names]
        index = np.array([i for _, i, _ in rows], dtype=np.int64)
        units, rules = tuple(unit for unit, _, _ in rows), tuple(rule for _, _, rule in rows)
        return _Bound(units, tuple(selected.channels[i] for i in index), rules, selected.columns[index], mask, table)

    def _units_of(self, selected: Channels, i: int) -> list[tuple[Unit, int, StateLimit]]:
        channel, found = selected.channels[i], []
        conditions: set[str] = set()
        for rule in self._options.rules:
            fits = bool(rule.bits_bad) == (channel.kind is Kind.BITS) and glob(rule.channel).match(channel.name)
            if rule.condition in conditions or not fits:
                continue
            conditions.add(rule.condition)
            unknown = sorted({*rule.bad, *rule.good, *rule.bits_bad} - set(channel.states))
            if unknown:
                log.warning("rule names states that do not exist rule=%s channel=%s unknown=%s", self.name, channel.name, ",".join(unknown))
            key = unit_key(selected.keys[i], rule.condition)
            found.append((Unit(key, selected.names[i], channel.place, rule.condition, rule.severity), i, rule))
        return found
