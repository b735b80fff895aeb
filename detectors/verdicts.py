"""Findings of checks that exist already: verdicts of other systems, raised as far as they are worth it.

A rule on channels whose states are unknown, good, medium and bad, in this order (see `collectors.verdicts`). It adds no judgement of
its own about the data; it judges the check. What is promised, for each check and level:

- A check that was never bad while it was watched is raised as soon as it is (after `raise_rows`, as every finding).
- A check that goes bad again and again by itself is raised at most so often that it has not been shown to do so more than
  `most_per_day` times a day: with the default of 0.25, once in the first 17 hours, twice in 2.3 days, three times in 4.3 days, and in
  the long run about as often as the option says. One that goes bad in more than `most_ratio` of its good rows is not raised any more
  once it has shown that, however slowly its rows come: a check that is bad 30 % of the time is no news.
- An episode that lasts much longer than the check's usual ones, some four to eight times, is raised all the same, late: for such
  lengths the promise holds anew (see `detectors.verdict_history`).
- Between these episodes it is not bad for us: it keeps no incident open. That a check is not worth a look is said once, for the record.
- A check that is bad when it is first seen is said to be so once, for the record, and raised when it goes bad the next time.
- Unknown, missing, stale and muted verdicts say nothing, neither for nor against.

Nothing is promised of the sum over many checks: give a source of thousands of checks a lower `most_per_day`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from collectors.collector import Options
from collectors.frame import Channel, Frame, Kind, Layout
from detectors.blocks import Latest
from detectors.daq_advice import Advice
from detectors.figure import StatesFigure
from detectors.finding import Breaches, Contribution, Evidence, Severity, Unit
from detectors.picturing import LINES_MOST, Moment, since_row, state_lane
from detectors.selection import PerLayout, SelectionOptions, glob, select_channels, unit_key
from detectors.verdict_history import NEVER, Followed, VerdictHistory, at_most_per_day
from detectors.wording import amount, lasting

STATES = ("unknown", "good", "medium", "bad")
"""Of a channel of verdicts, as `collectors.fetched.verdict_words` names them."""
GOOD, MEDIUM, BAD = 1, 2, 3
FAILED, UNRELIABLE = "check_failed", "check_unreliable"
KINDS = 3
"""Units of a check: bad, medium, not worth a look."""


class CheckRule(Options):
    """What the verdicts of some checks mean to us."""

    check: str
    """Pattern of the checks' names."""
    condition: str = FAILED
    """Name of the condition, for decisions, runbooks and causality; that of one of our own finds the same causes: "dead_region"."""
    bad: Severity = Severity.WARNING
    medium: Severity = Severity.INFO
    """What is for the record opens no incident; it joins one."""


class VerdictsRuleOptions(SelectionOptions):
    """Options of the rule `verdicts`."""

    rules: tuple[CheckRule, ...] = ()
    """The first that fits a check counts; a check that none fits is a warning where it is bad."""
    most_per_day: float = Field(default=0.25, gt=0)
    """A check that has shown that it goes bad by itself more often than this is not raised for it."""
    most_ratio: float = Field(default=0.05, gt=0, lt=1)
    """Nor one that has shown that it goes bad in more than this part of the rows (runs, where it speaks once a run) before which it
    was good."""
    memory_days: float = Field(default=14.0, gt=0)
    """What a check did is forgotten exponentially, with this time constant."""


@dataclass(frozen=True, eq=False)
class _Bound:
    """The checks of a layout with their frame column, and for each the column of its score and message, -1 where it has none.

    units: KINDS for each check, side by side.
    """

    channels: tuple[Channel, ...]
    keys: tuple[str, ...]
    columns: NDArray[np.int64]
    scores: tuple[int, ...]
    messages: tuple[int, ...]
    units: tuple[Unit, ...]


class VerdictsRule:
    """Verdicts of other checks, see the module. Cost: O(rows x checks); remembers each check's history.

    Example::

        [detector.verdicts]
        most_per_day = 0.25
        memory_days = 14

        [[detector.verdicts.rules]]
        check = "*trip*"
        condition = "hv_trip"
        bad = "critical"
    """

    options_model: ClassVar[type[Options]] = VerdictsRuleOptions
    blind_while_muted: ClassVar[bool] = True
    """What checks say while the source is muted must not be taken for their habit."""
    advice: ClassVar[Mapping[str, Advice]] = {
        FAILED: Advice("Open the check in its own system and follow what its expert wrote there.", "check-failed", Severity.WARNING),
        UNRELIABLE: Advice("Have the check's expert mend it, or take it out.", "check-unreliable", Severity.INFO),
    }

    def __init__(self, name: str, options: VerdictsRuleOptions) -> None:
        self.name = name
        self._options = options
        self._bound = PerLayout(self._bind)
        self._history = VerdictHistory(options.most_per_day, options.most_ratio, options.memory_days)
        self._latest: Latest[Followed] = Latest()

    def judge(self, frame: Frame) -> Breaches:
        """Three units a check: it is bad, it is medium, and it is said not to be worth a look."""
        bound = self._bound.of(frame.layout)
        codes = _codes(frame.readings(bound.columns))
        followed = self._latest.keep(frame, self._history.follow(bound.keys, codes, frame.time_ns))
        shape = (len(frame), len(bound.units))
        bad, medium = (followed.worth[:, :, level] & (codes == code) for level, code in ((1, BAD), (0, MEDIUM)))
        holds = np.stack([bad, medium, followed.unreliable], axis=-1).reshape(shape)
        return Breaches(bound.units, holds, np.repeat(codes >= GOOD, KINDS, axis=1))

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """What the check says, its score, and how often it has said so before."""
        bound = self._bound.of(frame.layout)
        check, kind = divmod(unit, KINDS)
        channel, source = bound.channels[check], frame.layout.source
        code = int(_codes(frame.readings(bound.columns[check : check + 1]))[row, 0])
        state = STATES[max(code, 0)]
        habit = self._habit(frame, row, check, level=0 if code == MEDIUM else 1)
        if kind == 2:
            summary = f"{channel.name} of {source} is no news: {habit}"
            return Evidence(summary, (Contribution(channel.name, channel.place, float(code), float(GOOD), 1.0, "", f"{state}, {habit}"),))
        message = _message(frame, row, bound.messages[check])
        said = f"{channel.name} is {state} by {source}" + (f": {message}" if message else "")
        ranked = [Contribution(channel.name, channel.place, float(code), float(GOOD), 1.0, "", f"{state} by {source}, {habit}")]
        column = bound.scores[check]
        score = float(frame.values[row, column]) if column >= 0 else np.nan
        if np.isfinite(score):
            gauge = frame.layout.owner(column)
            unit_symbol = gauge.unit if isinstance(gauge, Channel) else ""
            ranked.append(Contribution(gauge.name, channel.place, score, np.nan, 0.0, unit_symbol))
            said += f" (score {amount(score, unit_symbol)})"
        return Evidence(said, tuple(ranked))

    def picture(self, recent: Frame, row: int, unit: int) -> StatesFigure | None:
        """The verdicts of the check over time, and below it of others that are bad at that time."""
        bound, moment = self._bound.of(recent.layout), Moment.of(recent, row)
        check = unit // KINDS
        now = _codes(recent.rows(slice(row, row + 1)).readings(bound.columns))[0]
        others = [i for i in np.flatnonzero(now == BAD).tolist() if i != check]
        shown = np.array([check, *others][:LINES_MOST], dtype=np.int64)
        readings = moment.readings(bound.columns[shown])
        lanes = tuple(
            state_lane(bound.channels[i].name, readings[:, k], STATES, ("medium", "bad") if k == 0 else ("bad",))
            for k, i in enumerate(shown.tolist())
        )
        time_ns = moment.time_ns
        begun = since_row(readings[:, 0] >= MEDIUM, moment.at)
        title = f"{bound.channels[check].name}: verdicts of {recent.layout.source}"
        return StatesFigure(title, time_ns, lanes, int(time_ns[begun]), int(time_ns[moment.at]))

    def state(self) -> dict[str, Any]:
        """What it remembers of each check."""
        return self._history.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""
        self._history.restore(state)

    def _habit(self, frame: Frame, row: int, check: int, *, level: int) -> str:
        """How often it was so before, in words."""
        followed = self._latest.of(frame)
        if followed is None:
            return "of which nothing more is known here"
        if followed.from_start[row, check, level]:
            return "so ever since it is watched"
        earlier, watched_s = float(followed.earlier[row, check, level]), float(followed.watched_s[row, check, level])
        span = f"in {_span(watched_s)} of good time"
        if earlier < NEVER:
            return f"never before like this {span}"
        times = f"{earlier:.0f} time{'s' if earlier >= 1.5 else ''}"
        return f"{times} before like this {span} (up to {at_most_per_day(earlier, watched_s):.2g} a day)"

    def _bind(self, layout: Layout) -> _Bound:
        selected = select_channels(layout, self._options, Kind.STATE)
        kept = [i for i, channel in enumerate(selected.channels) if channel.states == STATES]
        channels, keys = tuple(selected.channels[i] for i in kept), tuple(selected.keys[i] for i in kept)
        units: list[Unit] = []
        for channel, key in zip(channels, keys, strict=True):
            rule = next((rule for rule in self._options.rules if glob(rule.check).match(channel.name)), CheckRule(check="*"))
            failed = unit_key(key, rule.condition)
            units.append(Unit(failed, channel.name, channel.place, rule.condition, rule.bad))
            units.append(Unit(f"{failed}:medium", channel.name, channel.place, rule.condition, rule.medium))
            units.append(Unit(unit_key(key, UNRELIABLE), channel.name, channel.place, UNRELIABLE, Severity.INFO))
        scores, messages = (
            tuple(_position(layout, f"{c.name}/{what}", kind) for c in channels)
            for what, kind in (("score", Kind.GAUGE), ("message", Kind.STATE))
        )
        return _Bound(channels, keys, selected.columns[np.array(kept, dtype=np.int64)], scores, messages, tuple(units))


def _codes(readings: NDArray[np.float64]) -> NDArray[np.int8]:
    """Verdicts as numbers, 0 where there is none; the shape of the readings."""
    known = (readings >= GOOD) & (readings <= BAD)
    return np.where(known, np.rint(np.where(known, readings, 0.0)), 0.0).astype(np.int8)


def _message(frame: Frame, row: int, column: int) -> str:
    channel = frame.layout.owner(column) if column >= 0 else None
    value = float(frame.values[row, column]) if column >= 0 else np.nan
    if not isinstance(channel, Channel) or not 0 <= value < len(channel.states):
        return ""
    return channel.states[int(value)].rstrip(".")


def _position(layout: Layout, name: str, kind: Kind) -> int:
    """Where a score or message is, -1 where there is none: another check may have such a name."""
    found = layout.column(name) if name in layout else None
    return layout.position(name) if isinstance(found, Channel) and found.kind is kind and found.states != STATES else -1


def _span(seconds: float) -> str:
    return f"{seconds / 86_400:.3g} days" if seconds >= 172_800 else lasting(seconds)
