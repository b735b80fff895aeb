"""Windowed principal components: how the channels of a group go together and go on in time, and which of them leave that.

Each window of rows is compared with what the principal components of normal windows make of it. The score is the mean over the
channels of the root of what remains, in parts of what usually remains of that channel: see `detectors.windowed.subspace`. It
sees a channel that leaves the others within its usual range, a change of rhythm, and a reading out of range alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from collectors.collector import Options
from collectors.frame import Frame, Layout
from detectors.blocks import Carried, Latest
from detectors.figure import SeriesFigure
from detectors.finding import Contribution, Evidence, Scores
from detectors.gauge_groups import GaugeGroups, GroupView, judged
from detectors.picturing import BAND_SPREADS, Moment, line, top
from detectors.selection import SelectionOptions
from detectors.windowed.floors import spread_floors
from detectors.windowed.history import breaks, usual_step_ns, whole_windows
from detectors.windowed.model import WindowModel
from detectors.windowed.subspace import Subspace, learn_subspace
from detectors.wording import amount, listed

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

VERSION = 2
SCALED_MOST = 50.0
"""Scaled readings are cut off here: one wild reading must not throw off what is expected of all others."""
RANKED_MOST = 10


class WindowOptions(SelectionOptions):
    """Options of detectors that judge windows of rows."""

    group_depth: int = Field(default=0, ge=0)
    """Channels whose places agree in so many steps share a model; 0: all channels of the source."""
    window_rows: int = Field(default=20, ge=1)
    """Rows that are judged together; shorter where there is little history for so many channels."""
    floor_ratio: float = Field(default=0.1, gt=0)
    """What hardly ever moves is not taken to be exact: this part of the usual range of the channels of a unit is added to the
    spread of each; see `detectors.windowed.floors`."""


class WindowedPcaOptions(WindowOptions):
    """Options of the detector `windowed_pca`."""

    variance_ratio: float = Field(default=0.92, gt=0, lt=1)
    """Part of the variance of normal windows that the components hold."""


@dataclass(frozen=True, eq=False)
class GroupModel:
    """Of one group: mean and spread of each channel in units of its scaling, shape (d,), and what is known of its windows."""

    mean: Array
    spread: Array
    windows: WindowModel

    def scaled(self, z: Array, there: Bools) -> Floats:
        """Rows as the model of windows takes them."""
        return scaled(z, there, self.mean, self.spread)

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {"mean": self.mean, "spread": self.spread, "windows": self.windows.state()}


@dataclass(frozen=True, eq=False)
class Judged:
    """Of one group in a frame. parts: shape (n, d), by channel; rows: scaled, shape (window - 1 + n, d); judged: shape (n,).

    there: where there is a reading, of the shape of `rows`.
    """

    parts: Floats
    rows: Floats
    there: Bools
    judged: Bools


def scaled(z: Array, there: Bools, mean: Array, spread: Array) -> Floats:
    """Rows in spreads from the mean, cut off where they are wild, 0 where there is no reading."""
    x = np.clip((z - mean) / spread, -SCALED_MOST, SCALED_MOST).astype(np.float32)
    return x if there.all() else np.where(there, x, np.float32(0.0))


class WindowedPcaDetector:
    """Windowed principal components of each group of gauges.

    Cost: O(rows x channels x window x components), as matrix products. A row is judged where half of the channels have a
    reading; what is missing is put to its usual value and does not count. After a gap windows begin anew.

    Example::

        [detector.windowed_pca]
        include = ["*:IMon", "*:VMon"]
        window_rows = 20
    """

    options_model: ClassVar[type[Options]] = WindowedPcaOptions
    rows_needed: ClassVar[int] = 200
    raise_rows: ClassVar[int] = 1
    clear_rows: ClassVar[int] = 20
    quiet_hours: ClassVar[float] = 1.0

    def __init__(self, name: str, options: WindowOptions) -> None:
        self.name = name
        self._options = options
        self._variance_ratio = options.variance_ratio if isinstance(options, WindowedPcaOptions) else 1.0
        self._groups = GaugeGroups(options, options.group_depth)
        self._models: list[GroupModel] = []
        self._step_ns = 0
        self._carried = Carried({})
        self._latest: Latest[list[Judged]] = Latest()

    def applies(self, layout: Layout) -> bool:
        """Whether there are at least two gauges."""
        return self._groups.applies(layout)

    def fit(self, history: Frame) -> Self:
        """Learns the components of the windows of each group."""
        self._groups.learn(history)
        self._step_ns = usual_step_ns(history)
        self._models = []
        initial: dict[str, NDArray[Any]] = {"time_ns": np.array([np.iinfo(np.int64).min // 2])}
        for view in self._groups.views.of(history.layout):
            z, there = self._groups.history(history, view)
            model = self._learn(history, view, z, there)
            self._models.append(model)
            before, width = model.windows.window - 1, z.shape[1]
            initial[f"rows{view.number}"] = np.zeros((before, width), dtype=np.float32)
            initial[f"there{view.number}"] = np.zeros((before, width), dtype=np.bool_)
        self._carried = Carried(initial)
        self._latest = Latest()
        if len(history):
            self._judge(history.rows(slice(-max((m.windows.window for m in self._models), default=1), None)))
        return self

    def score(self, frame: Frame) -> Scores:
        """Mean over the channels of the root of the residual's energy, in parts of the usual one; about 1 is usual."""
        units = self._groups.units(frame.layout)
        values = np.full((len(frame), len(units)), np.nan)
        if len(frame) and units:
            for i, found in enumerate(self._judge(frame)):
                values[found.judged, i] = found.parts[found.judged].mean(axis=1, dtype=np.float64)
        return Scores(units, values)

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """Channels by their part of the score, with what the components of the window expect of them."""
        view = self._groups.views.of(frame.layout)[unit]
        ranked = self._ranked(frame, self._judged(frame)[unit], view, row, row)[:RANKED_MOST]
        first = ranked[0]
        others = [c.name for c in ranked[1:] if c.share > 0.1]
        summary = f"{first.name} is {amount(first.observed, first.unit)}, {amount(first.expected, first.unit)} would fit the others"
        summary += " and the rows before"
        return Evidence(f"{summary}; also {listed(others)}" if others else summary, ranked)

    def attribute(self, frame: Frame, first: int, last: int, unit: int) -> tuple[Contribution, ...]:
        """All channels of the group by their mean part of the score in these rows."""
        view = self._groups.views.of(frame.layout)[unit]
        return self._ranked(frame, self._judged(frame)[unit], view, first, last)

    def picture(self, recent: Frame, row: int, unit: int) -> SeriesFigure | None:
        """The channels that the score rests on, each in its usual range."""
        view = self._groups.views.of(recent.layout)[unit]
        model, moment, place = self._models[view.number], Moment.of(recent, row), {name: i for i, name in enumerate(view.names)}
        lines = []
        for contribution in top(self.explain(recent, row, unit).ranked):
            i = place[contribution.name]
            feature = int(view.present[i])
            values = moment.readings(view.columns[i : i + 1])[:, 0]
            centre, edge = (self._reading(view, model, feature, x) for x in (0.0, BAND_SPREADS))
            lines.append(line(contribution.name, contribution.unit, values, centre, edge - centre, contribution.share))
        return moment.series(f"Channels of {view.group.name} that do not fit the others and the rows before", lines)

    def simulate(self, rows: int, seed: int, group: int = 0) -> Array:
        """Rows drawn from the model of a group, in the units of its channels; shape (rows, channels of the group).

        Each is the end of a window of its own: to be compared with real rows, not with how they follow each other.
        """
        model = self._models[group]
        return self._groups.in_units(group, model.mean + model.spread * model.windows.draw(rows, seed))

    def state(self) -> dict[str, Any]:
        """Groups, components, and the rows that windows go on from."""
        learned = {"groups": self._groups.state(), "models": [model.state() for model in self._models], "step_ns": self._step_ns}
        return {"version": VERSION, **learned, "carried": self._carried.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""
        if state.get("version") != VERSION:
            raise ValueError(f"detector {self.name}: model of version {state.get('version')}, this is version {VERSION}")
        self._groups.restore(state["groups"])
        self._models = [
            GroupModel(np.asarray(model["mean"]), np.asarray(model["spread"]), self.windows_of(model["windows"]))
            for model in state["models"]
        ]
        self._step_ns = int(state["step_ns"])
        self._carried = Carried.of(state["carried"])
        self._latest = Latest()

    def _learn(self, history: Frame, view: GroupView, z: Array, there: Bools) -> GroupModel:
        count = np.maximum(there.sum(axis=0), 1)
        mean = z.sum(axis=0) / count  # 0 where there is no reading
        spread = np.sqrt((np.where(there, z - mean, 0.0) ** 2).sum(axis=0) / count)
        one = 1.0 / self._groups.scaling.spread[np.array(view.group.features)[view.present]]
        spread += spread_floors(z, there, one, [channel.unit for channel in view.channels], self._options.floor_ratio)
        whole = whole_windows(history.time_ns, self._options.window_rows, self._step_ns)
        rows = scaled(z, there, mean, spread)
        return GroupModel(mean, spread, self.learn_windows(rows, whole))

    def learn_windows(self, rows: Floats, whole: Bools) -> WindowModel:
        """What normal windows look like; detectors of the same kind differ in this. rows: scaled, (n, d); whole: (n,)."""
        return learn_subspace(rows, whole, self._options.window_rows, self._variance_ratio)

    def windows_of(self, state: Mapping[str, Any]) -> WindowModel:
        """The same from its `state`."""
        return Subspace.of(state)

    def _judged(self, frame: Frame) -> list[Judged]:
        return self._latest.of(frame) or self._judge(frame)

    def _judge(self, frame: Frame) -> list[Judged]:
        """Of each group that is still there, in the order of the units."""
        before = self._carried.before(frame)
        after = {**before, "time_ns": frame.time_ns[-1:].copy()}
        fresh = breaks(frame.time_ns, int(before["time_ns"][0]), self._step_ns)
        found = []
        for view in self._groups.views.of(frame.layout):
            model, number = self._models[view.number], view.number
            z, there = self._groups.matrix(frame, view)
            rows = np.concatenate([before[f"rows{number}"], model.scaled(z, there)])
            all_there = np.concatenate([before[f"there{number}"], there])
            found.append(Judged(_parts(model.windows, rows, all_there, fresh), rows, all_there, judged(there)))
            keep = model.windows.window - 1
            lost = max(0, int(fresh[-1]) + keep - len(frame)) if len(fresh) else 0
            after[f"rows{number}"], after[f"there{number}"] = rows[len(rows) - keep :].copy(), all_there[len(rows) - keep :].copy()
            after[f"rows{number}"][:lost], after[f"there{number}"][:lost] = 0.0, False
        self._carried.after(frame, after)
        return self._latest.keep(frame, found)

    def _ranked(self, frame: Frame, found: Judged, view: GroupView, first: int, last: int) -> tuple[Contribution, ...]:
        """Channels by their mean part in these rows; values are those of the row in which each is furthest off."""
        model, parts = self._models[view.number], found.parts[first : last + 1][:, view.present]
        mean = parts.mean(axis=0, dtype=np.float64)
        share, furthest = mean / max(float(mean.sum()), 1e-300), first + parts.argmax(axis=0)
        window = model.windows.window
        expected = {row: model.windows.expected(found.rows[row : row + window]) for row in map(int, np.unique(furthest))}
        ranked = []
        for i in np.argsort(-mean, kind="stable"):
            channel, row, feature = view.channels[i], int(furthest[i]), int(view.present[i])
            usual = self._reading(view, model, feature, float(expected[row][feature]))
            value = float(frame.readings(view.columns[i : i + 1])[row, 0])
            ranked.append(Contribution(view.names[i], channel.place, value, usual, float(share[i]), channel.unit))
        return tuple(ranked)

    def _reading(self, view: GroupView, model: GroupModel, feature: int, scaled: float) -> float:
        """A value in the unit of the channel."""
        return self._groups.reading(view, feature, float(model.mean[feature] + scaled * model.spread[feature]))


def _parts(model: WindowModel, rows: Floats, there: Bools, fresh: NDArray[np.int64]) -> Floats:
    """Parts of each row after the first window - 1; rows from a `fresh` one on see nothing of the rows before it."""
    before = model.window - 1
    everywhere = bool(there.all())
    pieces, bounds = [], [0, *(int(row) for row in fresh), len(rows) - before]
    for start, stop in pairwise(bounds):
        if start == stop:
            continue
        part, seen = rows[start : stop + before], there[start : stop + before]
        if start in bounds[1:-1]:
            part, seen = part.copy(), seen.copy()
            part[:before], seen[:before] = 0.0, False
        pieces.append(model.parts(part, None if everywhere and start not in bounds[1:-1] else seen))
    return np.concatenate(pieces)
