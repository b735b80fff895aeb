"""What detectors have in common that judge each row of a group of gauges by itself, with a model of the group's normal rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame, Layout
from detectors.figure import Line, SeriesFigure
from detectors.finding import Contribution, Evidence, Scores
from detectors.gauge_groups import GaugeGroups, GroupView, judged
from detectors.picturing import Moment, line, top
from detectors.selection import SelectionOptions

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]


class RowModel(Protocol):
    """A model of the rows of one group that can be kept."""

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""


M = TypeVar("M", bound=RowModel)


class RowModelDetector(ABC, Generic[M]):
    """A model for each group of gauges. A row is judged where half of the channels of the group have a reading.

    A subclass says how a model is learned, kept, scored and explained; `version` is that of its state, `limit` where scaled readings
    are cut off.
    """

    version: ClassVar[int]
    limit: ClassVar[float]

    def __init__(self, name: str, options: SelectionOptions, group_depth: int) -> None:
        self.name = name
        self.groups = GaugeGroups(options, group_depth)
        self.models: list[M] = []

    @abstractmethod
    def learn(self, z: Array, there: Bools) -> M:
        """A model of normal rows that can be judged. z: scaled readings, 0 where there is none; there: where there is one; (n, d)."""

    @abstractmethod
    def model_of(self, state: Mapping[str, Any]) -> M:
        """A model from its `state`."""

    @abstractmethod
    def scores(self, model: M, z: Array, there: Bools) -> Array:
        """Scores of rows that can be judged, shape (n,)."""

    @abstractmethod
    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """Why the unit scores high in this row."""

    @abstractmethod
    def title(self, group: str) -> str:
        """What a picture of a group shows."""

    @abstractmethod
    def band(self, model: M, z: Array, feature: int) -> tuple[Array | float, float]:
        """Where a channel is expected in rows z, shape (n, d), in scaled readings; and half the width of the band about it."""

    def applies(self, layout: Layout) -> bool:
        """Whether there are at least two gauges."""
        return self.groups.applies(layout)

    def fit(self, history: Frame) -> Self:
        """Learns a model of each group; the same history and seed give the same one."""
        self.groups.learn(history)
        self.models = []
        for view in self.groups.views.of(history.layout):
            z, there = self.groups.history(history, view, self.limit)
            rows = judged(there)
            self.models.append(self.learn(z[rows], there[rows]))
        return self

    def score(self, frame: Frame) -> Scores:
        """The score of each group that is still there, NaN in rows that cannot be judged."""
        views = self.groups.views.of(frame.layout)
        values = np.full((len(frame), len(views)), np.nan)
        for i, view in enumerate(views):
            z, there = self.groups.matrix(frame, view, self.limit)
            rows = judged(there)
            values[rows, i] = self.scores(self.models[view.number], z[rows], there[rows])
        return Scores(self.groups.units(frame.layout), values)

    def picture(self, recent: Frame, row: int, unit: int) -> SeriesFigure | None:
        """The channels that the score rests on, each in the band where the model expects it."""
        view = self.groups.views.of(recent.layout)[unit]
        moment, place = Moment.of(recent, row), {name: i for i, name in enumerate(view.names)}
        z = self.groups.matrix(recent, view, self.limit)[0][moment.rows]
        lines = [self._line(moment, view, z, place[one.name], one) for one in top(self.explain(recent, row, unit).ranked)]
        return moment.series(self.title(view.group.name), lines)

    def state(self) -> dict[str, Any]:
        """Groups and models."""
        return {"version": self.version, "groups": self.groups.state(), "models": [model.state() for model in self.models]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""
        if state.get("version") != self.version:
            raise ValueError(f"detector {self.name}: model of version {state.get('version')}, this is version {self.version}")
        self.groups.restore(state["groups"])
        self.models = [self.model_of(model) for model in state["models"]]

    def contribution(self, frame: Frame, view: GroupView, row: int, i: int, expected: float, share: float) -> Contribution:
        """Of a channel of a view in a row; expected: its scaled reading."""
        channel = view.channels[i]
        value, usual = float(frame.values[row, view.columns[i]]), self.groups.reading(view, int(view.present[i]), expected)
        return Contribution(view.names[i], channel.place, value, usual, share, channel.unit)

    def _line(self, moment: Moment, view: GroupView, z: Array, i: int, one: Contribution) -> Line:
        feature = int(view.present[i])
        zero, spread = (self.groups.reading(view, feature, scaled) for scaled in (0.0, 1.0))
        centre, half_width = self.band(self.models[view.number], z, feature)
        values = moment.readings(view.columns[i : i + 1])[:, 0]
        return line(one.name, one.unit, values, zero + centre * (spread - zero), half_width * (spread - zero), one.share)
