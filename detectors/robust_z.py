"""Robust z: how far each channel is from its usual value, in its usual spread; the baseline that other methods must beat.

Three sorts of units:

- a channel is an *outlier* where a reading is far from the recent level of the channel (a slow moving mean), so that slow
  changes of conditions are no alarm;
- a channel *drifts* where its recent level (a fast moving mean) is far from its level when the detector learned, in units
  of the spread of that mean, which is small: a slow ramp shows early (S. Roberts, Technometrics 1 (1959) 239);
- a group is an outlier by the mean of its highest few |z|, as a moving mean over rows: many channels a little off count as
  much as few far off, and a thousand quiet channels do not dilute them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from collectors.collector import Options
from collectors.frame import Frame, Kind, Layout
from detectors.blocks import Carried, Latest
from detectors.common_mode import learn_common_mode, no_common_mode
from detectors.figure import SeriesFigure
from detectors.finding import Contribution, Evidence, Scores, Unit
from detectors.ranking import mean_of_highest, shares
from detectors.robust_z_model import PULL_MOST, Z_MOST, Bound, Judged, Model
from detectors.robust_z_picture import RobustZPictures
from detectors.scaling import Scaling, learn_scaling, spread_of
from detectors.selection import Channels, Group, PerLayout, SelectionOptions, group_by_place, select_channels, unit_key
from detectors.smoothing import moving_means, weight_of
from detectors.usual_range import within_limits
from detectors.windowed.floors import spread_floors
from detectors.wording import amount, listed, times

Array = NDArray[np.float64]

RANKED_MOST = 10
RANGE_RATIO = 0.01
"""Part of the usual range of channels of the same unit that is added to a standard deviation."""


class RobustZOptions(SelectionOptions):
    """Options of the detector `robust_z`."""

    slow_rows: float = Field(default=200.0, gt=1)
    """Rows over which the level reaches back that a reading is compared with."""
    fast_rows: float = Field(default=8.0, ge=1)
    """Rows over which the level reaches back that must not drift."""
    top: int = Field(default=5, ge=1)
    """Number of channels with the highest |z| that make the score of a group."""
    ema: float = Field(default=0.3, gt=0, le=1)
    """Weight of the newest row in the moving mean that is the score of a group; 1: each row alone."""
    group_depth: int = Field(default=0, ge=0)
    """Channels whose places agree in so many steps are a group; 0: all channels of the source."""
    spread: Literal["robust", "deviation"] = "robust"
    """What a group takes for the spread of a channel. robust: that of most rows, which bad rows of the history do not widen.
    deviation: the standard deviation, and a little of the range that channels of the same unit have, so that a channel that is
    quiet but for bursts, as load and traffic are, is not loud at each of them."""
    common_mode: bool = False
    """For drifts and groups, take out what all channels of a quantity do together: currents that follow the luminosity."""
    common_mode_channels: int = Field(default=5, ge=3)
    """Channels of a quantity without which a common mode cannot be told."""


class RobustZDetector:
    """Robust z of channels and of groups of channels. Cost: O(rows x channels).

    Example::

        [detector.robust_z]
        include = ["*:IMon", "*:VMon"]
        group_depth = 3
    """

    options_model: ClassVar[type[Options]] = RobustZOptions
    rows_needed: ClassVar[int] = 60

    def __init__(self, name: str, options: RobustZOptions) -> None:
        self.name = name
        self._options = options
        nothing = np.empty(0)
        self._model = Model(learn_scaling((), np.empty((0, 0))), no_common_mode(0), nothing, nothing, nothing, nothing)
        self._carried = Carried({"slow": nothing, "fast": nothing})
        self._bound = PerLayout(self._bind)
        self._latest: Latest[Judged] = Latest()

    def applies(self, layout: Layout) -> bool:
        """Whether there are gauges to judge."""
        return len(select_channels(layout, self._options, Kind.GAUGE)) > 0

    def fit(self, history: Frame) -> Self:
        """Learns the usual value of each gauge and the spreads of what is judged; gauges with few readings are left out."""
        gauges = select_channels(history.layout, self._options, Kind.GAUGE)
        scaling = learn_scaling(gauges.keys, history.readings(gauges.columns))
        known, position = gauges.among(scaling.keys)
        z = scaling.standardised(history.readings(known.columns), position)
        options, floor, zero = self._options, scaling.floor / scaling.spread, np.zeros(len(known))
        common = no_common_mode(len(known))
        if options.common_mode:
            common = learn_common_mode(known.channels, z, scaling, options.common_mode_channels)
        alone = common.removed(z, position)
        slow = moving_means(z, zero, weight_of(options.slow_rows), zero + PULL_MOST)
        fast = moving_means(alone, zero, weight_of(options.fast_rows), zero + PULL_MOST)
        seen = np.where(np.isfinite(z), fast[1:], np.nan)
        centre = np.nan_to_num(np.nanmedian(seen, axis=0)) if len(known) else zero
        self._model = Model(
            scaling,
            common,
            residual_spread=np.maximum(spread_of(z - slow[:-1]), floor),
            z_spread=self._spread(known, alone, floor, scaling),
            mean_centre=centre,
            mean_spread=np.maximum(spread_of(seen, centre), floor),
        )
        self._carried = Carried({"slow": zero, "fast": zero})
        if len(history):
            self._carried.after(history, {"slow": slow[-1], "fast": fast[-1]})
        self._bound.forget()
        self._latest = Latest()
        return self

    def score(self, frame: Frame) -> Scores:
        """Outlier and drift of each learned channel, and of each group of at least two; see the module."""
        bound = self._bound.of(frame.layout)
        if not len(frame):
            return Scores(bound.units, np.empty((0, len(bound.units))))
        judged = self._judge(frame)
        return Scores(bound.units, np.concatenate([judged.outlier, judged.drift, judged.group], axis=1))

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """The channel with its usual value, or the channels of the group by their part in its score."""
        bound = self._bound.of(frame.layout)
        judged = self._latest.of(frame) or self._judge(frame)
        channels = len(bound.channels)
        if unit < channels:
            return self._explain_outlier(frame, bound, judged, row, unit)
        if unit < 2 * channels:
            return self._explain_drift(bound, judged, row, unit - channels)
        return self._explain_group(frame, bound, judged, row, bound.groups[unit - 2 * channels])

    def picture(self, recent: Frame, row: int, unit: int) -> SeriesFigure | None:
        """The channel with the band about its recent or usual level, or the channels of the group that are furthest off."""
        bound, options = self._bound.of(recent.layout), self._options
        weights = weight_of(options.slow_rows), weight_of(options.fast_rows)
        pictures = RobustZPictures(bound, self._model, self._carried, weights, options.top)
        channels = len(bound.channels)
        if unit < channels:
            return pictures.outlier(recent, row, unit)
        if unit < 2 * channels:
            return pictures.drift(recent, row, unit - channels)
        return pictures.group(recent, row, bound.groups[unit - 2 * channels])

    def state(self) -> dict[str, Any]:
        """What was learned and what runs on from block to block."""
        return {"version": 1, "model": self._model.state(), "carried": self._carried.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""
        if state.get("version") != 1:
            raise ValueError(f"detector {self.name}: model of version {state.get('version')}, this is version 1")
        self._model = Model.of(state["model"])
        self._carried = Carried.of(state["carried"])
        self._bound.forget()
        self._latest = Latest()

    def _spread(self, gauges: Channels, z: Array, floor: Array, scaling: Scaling) -> Array:
        """Spreads that groups take, in spreads of the scaling; z: shape (n, channels)."""
        if self._options.spread == "robust" or not len(gauges):
            return np.maximum(spread_of(z), floor)
        there = np.isfinite(z)
        usual = within_limits(z, there)
        units = [channel.unit for channel in gauges.channels]
        deviation: Array = np.std(usual, axis=0, where=there | ~there.any(axis=0))
        return deviation + spread_floors(usual, there, 1.0 / scaling.spread, units, RANGE_RATIO)

    def _bind(self, layout: Layout) -> Bound:
        channels, position = select_channels(layout, self._options, Kind.GAUGE).among(self._model.scaling.keys)
        groups = group_by_place(layout, channels.channels, self._options.group_depth) if len(channels) else []
        groups = [group for group in groups if len(group.members) > 1]
        described = list(zip(channels.keys, channels.names, channels.channels, strict=True))
        outliers = [Unit(unit_key(key, "outlier"), name, c.place, "outlier") for key, name, c in described]
        drifts = [Unit(unit_key(key, "drift"), name, c.place, "drift") for key, name, c in described]
        whole = [Unit(unit_key(group.key, "group_outlier"), group.name, group.place, "group_outlier") for group in groups]
        return Bound(channels, position, groups, (*outliers, *drifts, *whole))

    def _judge(self, frame: Frame) -> Judged:
        bound, model, options = self._bound.of(frame.layout), self._model, self._options
        at = bound.position
        z = model.scaling.standardised(frame.readings(bound.channels.columns), at)
        alone = model.common.removed(z, at)
        before = self._carried.before(frame)
        limit = np.full(len(at), PULL_MOST)
        slow = moving_means(z, before["slow"][at], weight_of(options.slow_rows), limit)
        fast = moving_means(alone, before["fast"][at], weight_of(options.fast_rows), limit)
        after = {name: array.copy() for name, array in before.items()}
        after["slow"][at], after["fast"][at] = slow[-1], fast[-1]
        alone = alone / model.z_spread[at]
        group = np.empty((len(frame), len(bound.groups)))
        for i, members in enumerate(bound.groups):
            group[:, i], after[members.key] = self._group_score(alone[:, members.members], before.get(members.key))
        self._carried.after(frame, after)
        mean = np.where(np.isfinite(z), fast[1:], np.nan)
        judged = Judged(
            level=slow[:-1],
            outlier=np.abs(z - slow[:-1]) / model.residual_spread[at],
            mean=mean,
            drift=np.abs(mean - model.mean_centre[at]) / model.mean_spread[at],
            z=alone,
            group=group,
        )
        return self._latest.keep(frame, judged)

    def _group_score(self, z: Array, before: Array | None) -> tuple[Array, Array]:
        """Moving mean of the highest few |z| of a group, shape (n,), and where it stands at the end; before: where it stood."""
        highest = mean_of_highest(np.minimum(np.abs(z), Z_MOST), self._options.top)
        known = np.flatnonzero(np.isfinite(highest))
        start = before if before is not None and np.isfinite(before).all() else highest[known[:1]]
        if not len(known):
            return highest, np.full(1, np.nan) if before is None else before
        means = moving_means(highest[:, None], start, self._options.ema, np.full(1, np.inf))
        return np.where(np.isfinite(highest), means[1:, 0], np.nan), means[-1].copy()

    def _reading(self, bound: Bound, i: int, z: float) -> float:
        """A value in the unit of the channel, from spreads."""
        at = bound.position[i]
        return float(self._model.scaling.centre[at] + z * self._model.scaling.spread[at])

    def _explain_outlier(self, frame: Frame, bound: Bound, judged: Judged, row: int, i: int) -> Evidence:
        channel, name = bound.channels.channels[i], bound.channels.names[i]
        value = float(frame.values[row, bound.channels.columns[i]])
        usual = self._reading(bound, i, float(judged.level[row, i]))
        far = f"{times(float(judged.outlier[row, i]))} times its usual spread {'above' if value > usual else 'below'}"
        summary = f"{name} is {amount(value, channel.unit)}, {far} its recent {amount(usual, channel.unit)}"
        return Evidence(summary, (Contribution(name, channel.place, value, usual, 1.0, channel.unit),))

    def _explain_drift(self, bound: Bound, judged: Judged, row: int, i: int) -> Evidence:
        channel, name = bound.channels.channels[i], bound.channels.names[i]
        centre = float(self._model.mean_centre[bound.position[i]])
        level, usual = self._reading(bound, i, float(judged.mean[row, i])), self._reading(bound, i, centre)
        summary = f"{name} has drifted {'up' if level > usual else 'down'} to {amount(level, channel.unit)}"
        summary += f" from its usual {amount(usual, channel.unit)}"
        return Evidence(summary, (Contribution(name, channel.place, level, usual, 1.0, channel.unit),))

    def _explain_group(self, frame: Frame, bound: Bound, judged: Judged, row: int, group: Group) -> Evidence:
        z = np.minimum(np.abs(np.nan_to_num(judged.z[row, group.members])), Z_MOST)
        order = np.argsort(-z, kind="stable")[: max(self._options.top, RANKED_MOST)]
        share = shares(z, self._options.top)
        ranked = []
        for member in order:
            i = int(group.members[member])
            channel, value = bound.channels.channels[i], float(frame.values[row, bound.channels.columns[i]])
            usual = self._reading(bound, i, 0.0)
            ranked.append(Contribution(bound.channels.names[i], channel.place, value, usual, float(share[member]), channel.unit))
        highest = [c.name for c in ranked[: self._options.top]]
        return Evidence(f"Channels of {group.name} are far from usual together: {listed(highest)}", tuple(ranked))
