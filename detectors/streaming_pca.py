"""Streaming principal components: what the channels of a group have in common, learned on as the stream goes.

Mean and covariance forget with time (an exponentially weighted covariance, as in recursive principal component analysis: W. Li,
H. Yue, S. Valle-Cervantes, S. Qin, J. Process Control 10 (2000) 471). Rows are taken in blocks of a fixed number; each is
judged with what was learned before its block. Nothing bad is learned: rows whose score is above the limit are left out, so that an
incident cannot become normal, and a reading pulls as if it were at most a few spreads away, so that a spike cannot widen
anything. A level that stays changed therefore stays anomalous until somebody says that it is the new normal (a new `fit`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from collectors.collector import Options
from collectors.frame import Frame, Layout
from detectors.blocks import Carried, Latest
from detectors.finding import Contribution, Evidence, Scores
from detectors.gauge_groups import GaugeGroups, GroupView, judged
from detectors.selection import SelectionOptions
from detectors.smoothing import weight_of
from detectors.streaming_subspace import Learned, components_of, residual_of, updated
from detectors.windowed.floors import spread_floors
from detectors.wording import amount, listed

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

VERSION = 2
SCALED_MOST = 50.0
"""Scaled readings are cut off here for the score."""
UPDATE_ROWS = 32
"""Rows after which the components are worked out anew, at least."""
UPDATE_RATIO = 0.25
"""And at least this part of the number of channels: working them out costs as much as judging so many rows."""
LIMIT_QUANTILE = 0.99
"""Rows with a score above this quantile of the history's are not learned from."""
USUAL_ADDED = 1.0
"""So many times the mean usual energy of all channels is added to each one's own."""
RANKED_MOST = 10


class StreamingPcaOptions(SelectionOptions):
    """Options of the detector `streaming_pca`."""

    group_depth: int = Field(default=0, ge=0)
    """Channels whose places agree in so many steps share a model; 0: all channels of the source."""
    memory_rows: float = Field(default=5000.0, gt=UPDATE_ROWS)
    """Rows over which what was learned reaches back."""
    variance_ratio: float = Field(default=0.9, gt=0, lt=1)
    """Part of the variance of normal rows that the components hold."""
    floor_ratio: float = Field(default=0.1, gt=0)
    """Part of the usual range of the channels of a unit that is added to the spread of each; see `detectors.windowed.floors`."""


@dataclass(frozen=True, eq=False)
class Scale:
    """What stays as it was learned: centre and spread of each channel in units of its scaling, (d,), and the limit of the score."""

    centre: Array
    spread: Array
    limit: float

    def scaled(self, z: Array, there: Bools) -> Array:
        """Rows in spreads from the centre, 0 where there is no reading."""
        x = np.clip((z - self.centre) / self.spread, -SCALED_MOST, SCALED_MOST)
        return np.where(there, x, 0.0)


@dataclass(frozen=True, eq=False)
class Judged:
    """Of one group in a frame: parts of the score and expected scaled readings, (n, d); whether a row was judged, (n,)."""

    parts: Array
    expected: Array
    judged: Bools


class StreamingPcaDetector:
    """Principal components of each group of gauges that go on learning from rows that are not anomalous.

    Cost: O(rows x channels x components), and an eigenvalue problem of all channels every few rows, of very many channels every few
    hundred: about a second on one core for 2,000 of them. Missing readings count as what the others let expect.

    Example::

        [detector.streaming_pca]
        include = ["*:IMon", "*:VMon"]
        memory_rows = 5000
    """

    options_model: ClassVar[type[Options]] = StreamingPcaOptions
    rows_needed: ClassVar[int] = 200
    raise_rows: ClassVar[int] = 1
    clear_rows: ClassVar[int] = 20
    quiet_hours: ClassVar[float] = 1.0

    def __init__(self, name: str, options: StreamingPcaOptions) -> None:
        self.name = name
        self._options = options
        self._groups = GaugeGroups(options, options.group_depth)
        self._scales: list[Scale] = []
        self._carried = Carried({})
        self._latest: Latest[list[Judged]] = Latest()

    def applies(self, layout: Layout) -> bool:
        """Whether there are at least two gauges."""
        return self._groups.applies(layout)

    def fit(self, history: Frame) -> Self:
        """Learns mean, covariance and the limit of what may be learned from."""
        self._groups.learn(history)
        self._scales = []
        initial: dict[str, NDArray[Any]] = {}
        for view in self._groups.views.of(history.layout):
            scale, learned = self._learn(view, *self._groups.history(history, view))
            self._scales.append(scale)
            initial |= learned.arrays(view.number)
        self._carried = Carried(initial)
        self._latest = Latest()
        return self

    def score(self, frame: Frame) -> Scores:
        """Mean over the channels of the root of the residual's energy in parts of the usual one; about 1 is usual."""
        units = self._groups.units(frame.layout)
        values = np.full((len(frame), len(units)), np.nan)
        if len(frame) and units:
            for i, found in enumerate(self._judge(frame)):
                values[found.judged, i] = found.parts[found.judged].mean(axis=1)
        return Scores(units, values)

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """Channels by their part of the score, with what the components expect of them."""
        ranked = self.attribute(frame, row, row, unit)[:RANKED_MOST]
        first, others = ranked[0], [c.name for c in ranked[1:] if c.share > 0.1]
        summary = f"{first.name} is {amount(first.observed, first.unit)}, {amount(first.expected, first.unit)} would fit the others"
        return Evidence(f"{summary}; also {listed(others)}" if others else summary, ranked)

    def attribute(self, frame: Frame, first: int, last: int, unit: int) -> tuple[Contribution, ...]:
        """All channels of the group by their mean part of the score in these rows."""
        view = self._groups.views.of(frame.layout)[unit]
        found = (self._latest.of(frame) or self._judge(frame))[unit]
        scale, parts = self._scales[view.number], found.parts[first : last + 1][:, view.present]
        mean, furthest = parts.mean(axis=0), first + parts.argmax(axis=0)
        ranked = []
        for i in np.argsort(-mean, kind="stable"):
            channel, row, feature = view.channels[i], int(furthest[i]), int(view.present[i])
            expected = float(scale.centre[feature] + found.expected[row, feature] * scale.spread[feature])
            usual, value = self._groups.reading(view, feature, expected), float(frame.readings(view.columns[i : i + 1])[row, 0])
            share = float(mean[i] / max(float(mean.sum()), 1e-300))
            ranked.append(Contribution(view.names[i], channel.place, value, usual, share, channel.unit))
        return tuple(ranked)

    def simulate(self, rows: int, seed: int, group: int = 0) -> Array:
        """Rows drawn from what is now known of a group, in the units of its channels; shape (rows, channels of the group).

        Probabilistic principal components (M. Tipping, C. Bishop, J. R. Stat. Soc. B 61 (1999) 611), each channel with a noise
        of its own. Rows are independent: to be compared with real rows, not with how they follow each other.
        """
        scale, learned = self._scales[group], Learned.of(self._carried.latest(), group)
        return self._groups.in_units(group, scale.centre + scale.spread * learned.draw(rows, seed))

    def state(self) -> dict[str, Any]:
        """Groups, scales, and what is learned on from row to row."""
        scales = [{"centre": scale.centre, "spread": scale.spread, "limit": scale.limit} for scale in self._scales]
        carried = self._carried.state()
        del carried["initial"]  # as large as what runs on; it is only for rows from before
        return {"version": VERSION, "groups": self._groups.state(), "scales": scales, "carried": carried}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""
        if state.get("version") != VERSION:
            raise ValueError(f"detector {self.name}: model of version {state.get('version')}, this is version {VERSION}")
        self._groups.restore(state["groups"])
        self._scales = [Scale(np.asarray(s["centre"]), np.asarray(s["spread"]), float(s["limit"])) for s in state["scales"]]
        self._carried = Carried.of({**state["carried"], "initial": state["carried"]["after"]})
        self._latest = Latest()

    def _learn(self, view: GroupView, z: Array, there: Bools) -> tuple[Scale, Learned]:
        count = np.maximum(there.sum(axis=0), 1)
        centre = z.sum(axis=0) / count
        spread = np.sqrt((np.where(there, z - centre, 0.0) ** 2).sum(axis=0) / count)
        one = 1.0 / self._groups.scaling.spread[np.array(view.group.features)[view.present]]
        spread += spread_floors(z, there, one, [channel.unit for channel in view.channels], self._options.floor_ratio)
        scale = Scale(centre, spread, np.inf)
        x = scale.scaled(z, there)[judged(there)]
        width = x.shape[1]
        covariance = x.T @ x / max(1, len(x))
        components = components_of(covariance, self._options.variance_ratio)
        first = Learned(np.zeros(width), covariance[np.triu_indices(width)], np.ones(width), components, np.empty((0, width)), 0)
        residual, _ = residual_of(first, x)
        energy = np.square(residual).mean(axis=0)
        usual = energy + USUAL_ADDED * energy.mean() if energy.any() else np.ones(width)
        limit = float(np.quantile((np.abs(residual) / np.sqrt(usual)).mean(axis=1), LIMIT_QUANTILE))
        return replace(scale, limit=limit), replace(first, usual=usual)

    def _judge(self, frame: Frame) -> list[Judged]:
        before = self._carried.before(frame)
        after, found = dict(before), []
        for view in self._groups.views.of(frame.layout):
            z, there = self._groups.matrix(frame, view)
            learned, result = self._follow(self._scales[view.number], Learned.of(before, view.number), z, there)
            after |= learned.arrays(view.number)
            found.append(result)
        self._carried.after(frame, after)
        return self._latest.keep(frame, found)

    def _follow(self, scale: Scale, learned: Learned, z: Array, there: Bools) -> tuple[Learned, Judged]:
        """Judges rows and learns from them, some at a time counted from the end of the history."""
        x, rows = scale.scaled(z, there), judged(there)
        parts, expected = np.empty(x.shape), np.empty(x.shape)
        update_rows, start = max(UPDATE_ROWS, int(UPDATE_RATIO * x.shape[1])), 0
        while start < len(x):
            stop = min(len(x), start + update_rows - learned.seen)
            residual, expected[start:stop] = residual_of(learned, x[start:stop])
            parts[start:stop] = np.where(there[start:stop], np.abs(residual), 0.0) / np.sqrt(learned.usual)
            good = rows[start:stop] & (parts[start:stop].mean(axis=1) <= scale.limit)
            known = np.where(there[start:stop], x[start:stop], expected[start:stop])[good]
            learned = replace(learned, pending=np.concatenate([learned.pending, known]), seen=learned.seen + stop - start)
            if learned.seen == update_rows:
                learned = updated(learned, weight_of(self._options.memory_rows), self._options.variance_ratio)
            start = stop
        return learned, Judged(parts, expected, rows)
