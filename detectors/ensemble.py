"""Ensemble: several detectors of a group, each with the weight that it earns on rows held back, without labels.

The members learn the earlier part of the history and score the rest. What they score is made comparable: the logarithm of the
score over its 99th percentile on the rows held back, so that 0 means "as rare as one row in a hundred" for each. A member's
weight grows with how well it tells faults that are put into the rows held back, and falls with how much of its score the hour
of the day explains: see `detectors.earned_weights`. Then all members learn the whole history. One whose weight is negligible
is not evaluated any more. For averages of the logarithms of scores see A. Zimek, R. Campello, J. Sander, SIGKDD Explor. 15
(2014) 11.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from collectors.collector import Options
from collectors.frame import Frame, Kind, Layout
from detectors.blocks import Latest
from detectors.earned_weights import SCORE_LEAST, Earned, earn
from detectors.figure import SeriesFigure
from detectors.finding import Contribution, Detector, Evidence, Scores, Uncertainty, Unit
from detectors.gauge_groups import CONDITION
from detectors.member_detectors import MEMBERS, Member, build
from detectors.root_cause import ROWS_KEPT, RootCause
from detectors.selection import PerLayout, SelectionOptions, group_by_place, select_channels
from detectors.wording import amount, listed, times

Array = NDArray[np.float64]

HOLD_OUT = 0.3
"""Part of the history, its end, that members are weighed on."""

EXPLAINED_ROWS = ROWS_KEPT + 1
"""Rows up to the one that is explained over which channels are compared."""
RANKED_MOST, ALSO_SHARE = 10, 0.15
VERSION = 2
EXPONENT_MOST = 9.0
"""Of what is told of a score."""

log = logging.getLogger(__name__)


class EnsembleOptions(SelectionOptions):
    """Options of the detector `ensemble`."""

    group_depth: int = Field(default=0, ge=0)
    """Channels whose places agree in so many steps are judged together; 0: all channels of the source."""
    members: tuple[Member, ...] = ("windowed_pca", "robust_z")
    """Detectors that may take part. The isolation forest is not among them by default: on recorded incidents it adds nothing to
    the other two, and costs as much as both. Nor is the autoencoder: faults put into single rows overrate it."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Of a frame: by unit, the scores of each member that counts, made comparable, and the mean. Shapes (n, units)."""

    by_member: dict[str, Array]
    combined: Array


class EnsembleDetector:
    """Detectors of groups of gauges with earned weights; the default for metrics.

    Cost: that of the members that have a weight; a fit costs about twice theirs.

    Example::

        [detector.ensemble]
        include = ["*:IMon", "*:VMon"]
        members = ["windowed_pca", "robust_z"]
    """

    options_model: ClassVar[type[Options]] = EnsembleOptions
    rows_needed: ClassVar[int] = 300
    raise_rows: ClassVar[int] = 1
    clear_rows: ClassVar[int] = 20
    quiet_hours: ClassVar[float] = 1.0

    def __init__(self, name: str, options: EnsembleOptions) -> None:
        self.name = name
        self._options = options
        self._members: dict[str, Detector] = {}
        self._earned: dict[str, Earned] = {}
        self._cause = RootCause(options, options.group_depth)
        self._units = PerLayout(self._bind)
        self._latest: Latest[Judged] = Latest()

    def applies(self, layout: Layout) -> bool:
        """Whether there are at least two gauges."""
        return self._build(next(iter(MEMBERS))).applies(layout)

    @property
    def weights(self) -> dict[str, float]:
        """What each member counts, by name, as a mean over the groups; together 1, 0 for what was tried and left out."""
        if not self._earned:
            return {}
        return {name: float(np.mean([earned.weights.get(name, 0.0) for earned in self._earned.values()])) for name in self._options.members}

    def fit(self, history: Frame) -> Self:
        """Weighs the members on the end of the history, then lets those that count learn all of it."""
        split = self._split(history)
        tried: dict[str, Detector] = {name: self._build(name) for name in self._options.members}
        tried = {name: member for name, member in tried.items() if member.applies(history.layout)}
        earlier, later = history.rows(slice(0, split)), history.rows(slice(split, None))
        able: dict[str, Detector] = {name: member.fit(earlier) for name, member in tried.items() if len(earlier) >= member.rows_needed}
        self._earned = earn(able, later, tuple(self._options.members), self._groups_of(history.layout))
        counted = {name for earned in self._earned.values() for name, weight in earned.weights.items() if weight > 0}
        self._members = {name: self._build(name).fit(history) for name in able if name in counted}
        for key, earned in self._earned.items():
            log.info("ensemble %s, group %s: %s", self.name, key, earned.summary())
        self._cause.fit(history)
        self._units.forget()
        self._latest = Latest()
        return self

    def score(self, frame: Frame) -> Scores:
        """Weighted mean of the logarithms of the members' scores, 0 at one row in a hundred of those held back."""
        units = self._units.of(frame.layout)
        self._cause.follow(frame)
        if not len(frame) or not units:
            return Scores(units, np.full((len(frame), len(units)), np.nan))
        return Scores(units, self._judge(frame).combined)

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """The channels that left their recent level most in the last rows, with what the members say."""
        judged = self._latest.of(frame) or self._judge(frame)
        ranked = self.attribute(frame, row - EXPLAINED_ROWS + 1, row, unit)[:RANKED_MOST]
        if not ranked or np.isnan(ranked[0].observed):
            return Evidence("no channel has had a reading in the last rows", ranked)
        first, others = ranked[0], [c.name for c in ranked[1:] if c.share > ALSO_SHARE]
        said = f"{first.name} went to {amount(first.observed, first.unit)} from about {amount(first.expected, first.unit)}"
        said += f"; also {listed(others)}" if others else ""
        return Evidence(f"{said} ({votes({name: float(values[row, unit]) for name, values in judged.by_member.items()})})", ranked)

    def attribute(self, frame: Frame, first: int, last: int, unit: int) -> tuple[Contribution, ...]:
        """All channels of the group, the likeliest cause first: those that left their own recent level most."""
        return self._cause.ranked(frame, first, last, self._units.of(frame.layout)[unit].key)

    def uncertainty(self, frame: Frame, row: int, unit: int) -> Uncertainty:
        """How far the members disagree in this row, in decades of the score; the other parts are not known here."""
        judged = self._latest.of(frame) or self._judge(frame)
        values = np.array([found[row, unit] for found in judged.by_member.values()]) / np.log(10)
        values = values[np.isfinite(values)]
        return Uncertainty(float(values.std()) if len(values) > 1 else float("nan"), float("nan"), float("nan"), float("nan"))

    def picture(self, recent: Frame, row: int, unit: int) -> SeriesFigure | None:
        """The channels that the evidence names, each about its own recent level."""
        judged = self._units.of(recent.layout)[unit]
        moment, lines = self._cause.picture(recent, row, judged.key)
        return moment.series(f"Channels of {judged.name} that left their recent level", lines) if lines else None

    def state(self) -> dict[str, Any]:
        """The weights and the state of each member that counts."""
        members = {name: member.state() for name, member in self._members.items()}
        return {
            "version": VERSION,
            "members": members,
            "cause": self._cause.state(),
            "earned": {key: earned.state() for key, earned in self._earned.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""
        if state.get("version") != VERSION:
            raise ValueError(f"detector {self.name}: model of version {state.get('version')}, this is version {VERSION}")
        members = {name: self._build(name) for name in state["members"]}
        for name, member in members.items():
            member.restore(state["members"][name])
        self._members = members  # only now: where a member refuses its state, the detector stays as it was
        self._earned = {key: Earned.of(earned) for key, earned in state["earned"].items()}
        self._cause.restore(state["cause"])
        self._units.forget()
        self._latest = Latest()

    def _build(self, name: str) -> Detector:
        options = self._options
        return build(name, {"include": options.include, "exclude": options.exclude, "group_depth": options.group_depth})

    def _split(self, history: Frame) -> int:
        """First row of those held back: of the rows that have a reading, HOLD_OUT come after. A source may have been off at the end."""
        columns = select_channels(history.layout, self._options, Kind.GAUGE).columns
        rows = np.flatnonzero(np.isfinite(history.readings(columns)).any(axis=1))
        held = int(len(rows) * HOLD_OUT)
        return int(rows[-held]) if held else len(history)

    def _groups_of(self, layout: Layout) -> list[NDArray[np.int64]]:
        """Frame columns of the gauges of each group."""
        gauges = select_channels(layout, self._options, Kind.GAUGE)
        return [gauges.columns[group.members] for group in group_by_place(layout, gauges.channels, self._options.group_depth)]

    def _bind(self, layout: Layout) -> tuple[Unit, ...]:
        """Groups that were weighed and that some member still judges."""
        nothing = Frame(layout, np.empty(0, dtype=np.int64), np.empty((0, layout.width)))
        found: dict[str, Unit] = {}
        for member in self._members.values():
            found |= {unit.key: unit for unit in member.score(nothing).units if unit.condition == CONDITION}
        return tuple(found[key] for key in self._earned if key in found)

    def _judge(self, frame: Frame) -> Judged:
        units = self._units.of(frame.layout)
        by_member: dict[str, Array] = {}
        total, weight = np.zeros((len(frame), len(units))), np.zeros((len(frame), len(units)))
        for name, member in self._members.items():
            scores = member.score(frame)
            position = {unit.key: i for i, unit in enumerate(scores.units)}
            values = np.full(total.shape, np.nan)
            for i, unit in enumerate(units):
                earned = self._earned[unit.key]
                if earned.weights[name] > 0 and unit.key in position:
                    values[:, i] = np.log(np.maximum(scores.values[:, position[unit.key]], SCORE_LEAST) / earned.references[name])
                    known = np.isfinite(values[:, i])
                    total[known, i] += earned.weights[name] * values[known, i]
                    weight[known, i] += earned.weights[name]
            by_member[name] = values
        combined = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)
        return self._latest.keep(frame, Judged(by_member, combined))


def votes(by_member: Mapping[str, float]) -> str:
    """How many models see it and how well, in words.

    by_member: natural logarithm of the score over that of one normal row in a hundred, which is where a model begins to see
    something; NaN where it could not judge the row.
    """
    known = {name: value for name, value in by_member.items() if not np.isnan(value)}
    if not known:
        return "no model could judge this row"
    seeing = sum(value > 0 for value in known.values())
    models = f"{seeing} of {len(known)} models see{'s' if seeing == 1 else ''} it" if seeing else "no model sees it alone"
    models = "the only model that can judge it sees it" if seeing == len(known) == 1 else models
    ranked = sorted(known.items(), key=lambda one: -one[1])
    said = [f"{name} at {times(float(np.exp(np.clip(value, -EXPONENT_MOST, EXPONENT_MOST))))}" for name, value in ranked]
    said[0] += " times the score of one normal row in a hundred"
    return f"{models}: {', '.join(said)}"
