"""Isolation forest: combinations of readings that a few random cuts set apart from the usual ones (F. Liu et al., ICDM 2008).

It sees what no channel shows alone, such as a current that does not fit its voltage. It learns the usual region and nothing of
how far beyond it a reading is: the score levels off, and one bad channel among many hardly moves it, for few cuts are made in it.
Give it small groups; `robust_z` finds one among many.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pyod.models.iforest import IForest

from collectors.collector import Options
from collectors.frame import Frame, Layout
from detectors.figure import SeriesFigure
from detectors.finding import Contribution, Evidence, Scores
from detectors.gauge_groups import GaugeGroups, GroupView, judged
from detectors.packed_forest import PackedForest, pack
from detectors.picturing import BAND_SPREADS, Moment, line, top
from detectors.selection import SelectionOptions
from detectors.wording import listed

Array = NDArray[np.float64]

Z_MOST = 1e6
RANKED_MOST = 10
TRIED_MOST = 64
"""Channels, those furthest from usual, whose part in a score is tried out."""


class IsolationForestOptions(SelectionOptions):
    """Options of the detector `isolation_forest`."""

    group_depth: int = Field(default=0, ge=0)
    """Channels whose places agree in so many steps share a forest; 0: all channels of the source."""
    trees: int = Field(default=100, ge=1)
    samples: int = Field(default=256, ge=2)
    """Rows that each tree is grown on."""
    seed: int = Field(default=1, ge=0, lt=2**32)


class IsolationForestDetector:
    """An isolation forest for each group of gauges, grown by pyod and scored from flat arrays.

    Cost: O(rows x trees x depth) to score. A row is judged where half of the channels of the group have a reading; for those
    that have none, the usual value stands.

    Example::

        [detector.isolation_forest]
        include = ["*:IMon", "*:VMon"]
        group_depth = 3
        trees = 100
    """

    options_model: ClassVar[type[Options]] = IsolationForestOptions
    rows_needed: ClassVar[int] = 100

    def __init__(self, name: str, options: IsolationForestOptions) -> None:
        self.name = name
        self._options = options
        self._groups = GaugeGroups(options, options.group_depth)
        self._forests: list[PackedForest] = []

    def applies(self, layout: Layout) -> bool:
        """Whether there are at least two gauges."""
        return self._groups.applies(layout)

    def fit(self, history: Frame) -> Self:
        """Grows the forests; the same history and seed give the same forest."""
        self._groups.learn(history)
        views = self._groups.views.of(history.layout)
        self._forests = [self._grow(self._groups.matrix(history, view, Z_MOST)) for view in views]
        return self

    def score(self, frame: Frame) -> Scores:
        """The forests' scores, between 0 and 1; about 0.5 is usual."""
        views = self._groups.views.of(frame.layout)
        values = np.full((len(frame), len(views)), np.nan)
        for i, view in enumerate(views):
            z, there = self._groups.matrix(frame, view, Z_MOST)
            rows = judged(there)
            values[rows, i] = self._forests[view.number].score(z[rows])
        return Scores(self._groups.units(frame.layout), values)

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """Channels by how much the score falls when their reading is replaced by the usual one."""
        view = self._groups.views.of(frame.layout)[unit]
        z = self._groups.matrix(frame.rows(slice(row, row + 1)), view, Z_MOST)[0][0]
        tried = np.argsort(-np.abs(z[view.present]), kind="stable")[:TRIED_MOST]
        replaced = np.tile(z, (len(tried), 1))
        replaced[np.arange(len(tried)), view.present[tried]] = 0.0
        forest = self._forests[view.number]
        gain = np.zeros(len(view.present))
        gain[tried] = np.maximum(forest.score(z[None])[0] - forest.score(replaced), 0.0)
        order = np.lexsort((-np.abs(z[view.present]), -gain))[:RANKED_MOST]
        ranked = self._ranked(frame, view, row, order, gain / max(float(gain.sum()), 1e-300))
        names = [c.name for c in ranked if c.share > 0][:3]
        return Evidence(f"Readings of {view.group.name} do not usually occur together: {listed(names)}", ranked)

    def picture(self, recent: Frame, row: int, unit: int) -> SeriesFigure | None:
        """The channels that the score rests on, each in its usual range."""
        view = self._groups.views.of(recent.layout)[unit]
        moment = Moment.of(recent, row)
        place = {name: i for i, name in enumerate(view.names)}
        lines = []
        for contribution in top(self.explain(recent, row, unit).ranked):
            i = place[contribution.name]
            values = moment.readings(view.columns[i : i + 1])[:, 0]
            feature = int(view.present[i])
            usual = self._groups.reading(view, feature, 0.0)
            half_width = self._groups.reading(view, feature, BAND_SPREADS) - usual
            lines.append(line(contribution.name, contribution.unit, values, usual, half_width, contribution.share))
        return moment.series(f"Readings of {view.group.name} that do not usually occur together", lines)

    def state(self) -> dict[str, Any]:
        """Groups and forests."""
        return {"version": 2, "groups": self._groups.state(), "forests": [forest.state() for forest in self._forests]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""
        if state.get("version") != 2:
            raise ValueError(f"detector {self.name}: model of version {state.get('version')}, this is version 2")
        self._groups.restore(state["groups"])
        self._forests = [PackedForest.of(forest) for forest in state["forests"]]

    def _grow(self, matrix: tuple[Array, NDArray[np.bool_]]) -> PackedForest:
        z, there = matrix
        rows = z[judged(there)]
        options = self._options
        model = IForest(options.trees, max_samples=min(options.samples, len(rows)), n_jobs=1, random_state=options.seed)
        model.fit(rows)
        return pack([tree.tree_ for tree in model.estimators_], model.max_samples_)

    def _ranked(self, frame: Frame, view: GroupView, row: int, order: NDArray[np.int64], share: Array) -> tuple[Contribution, ...]:
        ranked = []
        for i in order:
            channel = view.channels[i]
            value = float(frame.values[row, view.columns[i]])
            usual = self._groups.reading(view, int(view.present[i]), 0.0)
            ranked.append(Contribution(view.names[i], channel.place, value, usual, float(share[i]), channel.unit))
        return tuple(ranked)
