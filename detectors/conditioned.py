"""A detector that sees gauges as they would be at usual conditions: what pile-up, load or the hour account for is taken out.

It wraps any detector that learns. Gauges come to that detector as residual plus usual value, so everything stays in the
channel's unit; what it says about them is put back: observed is the reading itself, expected is what it should be under the
conditions of that row. See `detectors.conditional` for how the dependence is learned.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from collectors.collector import Options
from collectors.frame import Channel, Frame, Kind, Layout
from detectors.blocks import Latest
from detectors.conditional import ConditionModel
from detectors.figure import Figure, Picturing
from detectors.finding import Attributing, Contribution, Detector, Evidence, Scores, Uncertain, Uncertainty
from detectors.selection import Channels, PerLayout, SelectionOptions, reader_names, select_channels
from detectors.wording import amount, listed

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
AsOf = Callable[[str, NDArray[np.int64]], Array]
"""The value of a condition at each time, NaN where it is not known; shape (n,)."""

VERSION = 1001
"""No detector that can be wrapped has it: neither takes a model of the other for its own."""


def nothing_known(_name: str, time_ns: NDArray[np.int64]) -> Array:
    """Conditions where there is no source of them: only those among a frame's own columns are known then."""
    return np.full(len(time_ns), np.nan)


class ConditionedDetector:
    """Any detector, of gauges from which the effect of conditions is taken out. Blocks of any size give the same scores.

    A condition is a column of the frame where it has one of that name (which then is not corrected itself), and comes from
    `as_of` otherwise. Gauges that depend on a condition which is not known in a row have no reading in that row.
    """

    def __init__(self, inner: Detector, options: Options, conditions: Sequence[str], *, season: bool, as_of: AsOf = nothing_known) -> None:
        """options: those of the inner detector: gauges that they do not select are left as they are."""
        self.name = inner.name
        self._inner = inner
        self._selection = options if isinstance(options, SelectionOptions) else SelectionOptions()
        self._as_of = as_of
        self._model = ConditionModel(conditions, season=season)
        self._gauges = PerLayout(self._select)
        self._named = PerLayout(_columns_by_name)
        self._latest: Latest[tuple[Frame, Array]] = Latest()

    @property
    def inner(self) -> Detector:
        """The detector that it wraps."""
        return self._inner

    @property
    def options_model(self) -> type[Options]:
        """That of the inner detector."""
        return self._inner.options_model

    @property
    def rows_needed(self) -> int:
        """Those of the inner detector; where they are too few to learn a dependence, nothing is corrected."""
        return self._inner.rows_needed

    @property
    def weights(self) -> Mapping[str, float]:
        """Of the inner detector's members; empty where it has none."""
        return cast("Mapping[str, float]", getattr(self._inner, "weights", {}))

    @property
    def model(self) -> ConditionModel:
        """What was learned of the conditions."""
        return self._model

    def applies(self, layout: Layout) -> bool:
        """Whether the inner detector has anything to judge."""
        return self._inner.applies(layout)

    def fit(self, history: Frame) -> Self:
        """Learns what conditions account for, then lets the inner detector learn the rest."""
        gauges = self._gauges.of(history.layout)
        self._model.learn(gauges.keys, history.readings(gauges.columns), history.time_ns, self._conditions(history))
        self._latest = Latest()
        corrected = int(self._model.corrected(gauges.keys).sum())
        log.info("conditions taken out detector=%s gauges=%d of=%d", self.name, corrected, len(gauges))
        for name in self._model.names:
            if np.isnan(self._model.range_of(name)[0]):
                log.warning(
                    "condition is not known or never changes, nothing is taken out for it detector=%s condition=%s", self.name, name
                )
        self._inner.fit(self.conditioned(history))
        return self

    def score(self, frame: Frame) -> Scores:
        """Scores of the inner detector."""
        return self._inner.score(self.conditioned(frame))

    def conditioned(self, frame: Frame) -> Frame:
        """The frame with the effect of conditions taken out: float64, NaN where a condition is not known that counts."""
        return self._seen(frame)[0]

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """As the inner detector, with the readings themselves and what is expected of them under the conditions of the row."""
        seen, effect = self._seen(frame)
        evidence = self._inner.explain(seen, row, unit)
        ranked = tuple(self._put_back(frame, effect[row], contribution) for contribution in evidence.ranked)
        return replace(evidence, summary=evidence.summary + self._note(frame, row, evidence.ranked), ranked=ranked)

    def attribute(self, frame: Frame, first: int, last: int, unit: int) -> tuple[Contribution, ...]:
        """Channels of the unit, the likeliest cause first: all of them where the inner detector ranks all."""
        seen, effect = self._seen(frame)
        if not isinstance(self._inner, Attributing):
            return self.explain(frame, last, unit).ranked
        position = self._named.of(frame.layout)
        found = []
        for one in self._inner.attribute(seen, first, last, unit):
            column = position.get((one.name, one.place))
            away = np.abs(seen.values[first : last + 1, column] - one.observed) if column is not None else np.full(1, np.nan)
            row = first + int(np.nanargmin(away)) if np.isfinite(away).any() else last
            found.append(self._put_back(frame, effect[row], one))
        return tuple(found)

    def uncertainty(self, frame: Frame, row: int, unit: int) -> Uncertainty:
        """As the inner detector knows it; out of range where a condition that counts is outside of what was learned."""
        unknown = float("nan")
        found = Uncertainty(unknown, unknown, unknown, unknown)
        if isinstance(self._inner, Uncertain):
            found = self._inner.uncertainty(self.conditioned(frame), row, unit)
        beyond = max((self._outside(frame, row)).values(), default=0.0)
        return replace(found, out_of_range=float(np.fmax(found.out_of_range, beyond))) if beyond > 0 else found

    def doubt(self, frame: Frame, row: int) -> str:
        """Why what is said of a row is unsure: a condition that counts was never so high or low. Empty where none was."""
        words = []
        for name in self._outside(frame, row):
            low, high = self._model.range_of(name)
            words.append(f"{name} is outside of {amount(low)} to {amount(high)}, where it was learned")
        return "; ".join(words)

    def picture(self, recent: Frame, row: int, unit: int) -> Figure | None:
        """That of the inner detector, of gauges as they would be at usual conditions; None where it draws none."""
        return self._inner.picture(self._corrected(recent)[0], row, unit) if isinstance(self._inner, Picturing) else None

    def state(self) -> dict[str, Any]:
        """What was learned of the conditions, and the inner detector's state."""
        return {"version": VERSION, "conditions": self._model.state(), "inner": self._inner.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it, or a detector without these conditions."""
        if state.get("version") != VERSION or "inner" not in state or "conditions" not in state:
            raise ValueError(f"detector {self.name}: the model was not learned with these conditions, or by another version")
        self._model.restore(state["conditions"])
        self._inner.restore(state["inner"])
        self._latest = Latest()

    def _select(self, layout: Layout) -> Channels:
        """Gauges that may be corrected: conditions themselves are not."""
        exclude = (*self._selection.exclude, *self._model.names)
        options = SelectionOptions(include=self._selection.include, exclude=exclude)
        return select_channels(layout, options, Kind.GAUGE)

    def _conditions(self, frame: Frame) -> Array:
        """Shape (n, c)."""
        layout = frame.layout
        found = [
            frame.readings(np.array([layout.position(name)]))[:, 0] if name in layout else self._as_of(name, frame.time_ns)
            for name in self._model.names
        ]
        return np.stack(found, axis=1) if found else np.empty((len(frame), 0))

    def _seen(self, frame: Frame) -> tuple[Frame, Array]:
        """The frame as the inner detector sees it, and what was taken out, by frame column; shape (n, m)."""
        kept = self._latest.of(frame)
        return self._latest.keep(frame, self._corrected(frame)) if kept is None else kept

    def _corrected(self, frame: Frame) -> tuple[Frame, Array]:
        gauges = self._gauges.of(frame.layout)
        effect = np.zeros(frame.values.shape)
        effect[:, gauges.columns] = self._model.effect(gauges.keys, frame.time_ns, self._conditions(frame))
        return replace(frame, values=frame.values - effect), effect

    def _put_back(self, frame: Frame, effect: Array, one: Contribution) -> Contribution:
        """A contribution of corrected values as one of readings; effect: of its row, by frame column."""
        column = self._named.of(frame.layout).get((one.name, one.place))
        added = float(effect[column]) if column is not None else 0.0
        return replace(one, observed=one.observed + added, expected=one.expected + added) if np.isfinite(added) else one

    def _note(self, frame: Frame, row: int, ranked: Sequence[Contribution]) -> str:
        """What the summary's numbers leave out, and which condition is outside of what was learned."""
        named = self._named.of(frame.layout)
        key = {
            int(column): key for column, key in zip(self._gauges.of(frame.layout).columns, self._gauges.of(frame.layout).keys, strict=True)
        }
        columns = [named[(one.name, one.place)] for one in ranked if (one.name, one.place) in named]
        terms = dict.fromkeys(term for column in columns if column in key for term in self._model.depends_on(key[column]))
        if not terms:
            return ""
        value = dict(zip(self._model.names, self._conditions(frame.rows(slice(row, row + 1)))[0], strict=True))
        words = [f"{term} {amount(float(value[term]))}" if term in value else term for term in terms]
        note = f" (at usual conditions; {listed(words)} taken out"
        doubt = self.doubt(frame, row)
        note += f"; {doubt}" if doubt else ""
        return note + ")"

    def _outside(self, frame: Frame, row: int) -> dict[str, float]:
        """Conditions that count and are outside of their learned range in a row, by how many parts of that range."""
        terms = {term for key in self._gauges.of(frame.layout).keys for term in self._model.depends_on(key)}
        beyond = self._model.outside(self._conditions(frame.rows(slice(row, row + 1))))[0]
        return {name: float(far) for name, far in zip(self._model.names, beyond, strict=True) if far > 0 and name in terms}


def conditioned(inner: Detector, options: Options, conditions: Sequence[str], *, season: bool, as_of: AsOf = nothing_known) -> Detector:
    """The detector itself where there are no conditions to take out, wrapped otherwise."""
    if not conditions and not season:
        return inner
    # the protocol's class variables are properties here: they are those of the detector that is wrapped
    return cast("Detector", ConditionedDetector(inner, options, conditions, season=season, as_of=as_of))


def _columns_by_name(layout: Layout) -> dict[tuple[str, str], int]:
    """Frame column of each gauge by every name that a reader may be told, and its place; names that two have are left out."""
    found: dict[tuple[str, str], set[int]] = {}
    for i, column in enumerate(layout.columns):
        if isinstance(column, Channel) and column.kind is Kind.GAUGE:
            for name in {column.name, *reader_names((column,))}:
                found.setdefault((name, column.place), set()).add(int(layout.starts[i]))
    return {name: columns.pop() for name, columns in found.items() if len(columns) == 1}
