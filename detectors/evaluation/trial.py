"""One detector on one recorded series: learned, scored and judged as the daemon does it, with its default options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from collectors.collector import Options
from collectors.frame import Channel, Frame, Layout
from detectors.calibration import Calibration
from detectors.evaluation.events import Alarm, alarms_of
from detectors.evaluation.suite import SuiteError
from detectors.finding import Attributing, Contribution, Detector, Evidence, Rule, Scores, Unit
from detectors.gauge_groups import CONDITION
from detectors.judging import Judging, Promise

Array = NDArray[np.float64]

RANDOM = "random"
TOP5 = "robust_z_top5"
BASELINES = (RANDOM, TOP5)
"""Not detectors of the daemon: what any method must beat."""
HOLD_OUT_RATIO = 0.3
"""The later part of the history, from whose scores the first thresholds come; then all of it is learned from."""
DETECTOR_PARTS = ("options_model", "name", "rows_needed", "applies", "fit", "score", "explain", "state", "restore")
WHOLE = Unit("whole", "whole", "", CONDITION)


class RandomDetector:
    """Scores and causes drawn at random, which every other detector must beat."""

    options_model: ClassVar[type[Options]] = Options
    rows_needed: ClassVar[int] = 1
    name = RANDOM

    def __init__(self, seed: int) -> None:
        self._seed, self._rng = seed, np.random.default_rng(seed)

    def applies(self, _layout: Layout) -> bool:
        """Everything."""
        return True

    def fit(self, _history: Frame) -> Self:
        """Nothing is learned."""
        return self

    def score(self, frame: Frame) -> Scores:
        """One unit; scores between 0 and 1."""
        return Scores((WHOLE,), self._rng.random((len(frame), 1)))

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """Nothing but chance."""
        return Evidence("chance", self.attribute(frame, row, row, unit))

    def attribute(self, frame: Frame, first: int, last: int, _unit: int) -> tuple[Contribution, ...]:
        """All channels, in an order that is drawn anew for each event."""
        names = [column.name for column in frame.layout.columns]
        order = np.random.default_rng((self._seed, first, last)).permutation(len(names))
        return tuple(Contribution(names[i], "", float(frame.values[first, i]), float("nan"), 1.0 / len(names)) for i in order)

    def state(self) -> dict[str, Any]:
        """Nothing is kept."""
        return {}

    def restore(self, _state: object) -> None:
        """Nothing is kept."""
        return


class RobustZTop5:
    """The textbook's robust z: |reading - median| / (1.4826 MAD), the mean of the 5 highest, smoothed over a few rows (EMA .3).

    Where more than half of the readings of a channel are the same, its standard deviation stands for the MAD.
    Source: B. Iglewicz and D. Hoaglin, How to Detect and Handle Outliers, ASQC (1993).
    """

    options_model: ClassVar[type[Options]] = Options
    rows_needed: ClassVar[int] = 10
    name = TOP5
    _TOP, _EMA, _MAD_TO_SIGMA = 5, 0.3, 1.4826

    def __init__(self) -> None:
        self._centre = self._scale = np.empty(0)

    def applies(self, layout: Layout) -> bool:
        """Anything with a column."""
        return layout.width > 0

    def fit(self, history: Frame) -> Self:
        """Median and scale of each column."""
        values = history.values.astype(np.float64)
        self._centre = np.nanmedian(values, axis=0)
        mad = self._MAD_TO_SIGMA * np.nanmedian(np.abs(values - self._centre), axis=0)
        spread = np.nanstd(values, axis=0)
        self._scale = np.where(mad > 1e-6, mad, np.where(spread > 1e-6, spread, 1.0))
        return self

    def score(self, frame: Frame) -> Scores:
        """One unit for all columns."""
        z = np.nan_to_num(np.abs(frame.values - self._centre) / self._scale)
        highest = np.sort(z, axis=1)[:, -self._TOP :].mean(axis=1)
        start = (1.0 - self._EMA) * highest[:1]
        smooth = lfilter([self._EMA], [1.0, self._EMA - 1.0], highest, zi=start)[0] if len(highest) else highest
        return Scores((WHOLE,), smooth[:, None])

    def explain(self, frame: Frame, row: int, _unit: int) -> Evidence:
        """Columns by |z|."""
        z = np.nan_to_num(np.abs(frame.values[row] - self._centre) / self._scale)
        names = [column.name for column in frame.layout.columns if isinstance(column, Channel)]
        order = np.argsort(-z, kind="stable")
        ranked = tuple(Contribution(names[i], "", float(frame.values[row, i]), float(self._centre[i]), 0.0) for i in order)
        return Evidence("far from the median", ranked)

    def state(self) -> dict[str, Any]:
        """It is never kept."""
        return {}

    def restore(self, _state: object) -> None:
        """It is never kept."""
        return


def check_known(names: Iterable[str]) -> None:
    """Raises SuiteError for a name that no detector has, with those there are."""
    known = {*BASELINES, *(point.name for point in entry_points(group="shiftwatch.detectors"))}
    for name in names:
        if name not in known:
            raise SuiteError(f"no detector {name!r}; there are {', '.join(sorted(known))}")


def make(name: str, seed: int) -> Detector:
    """A detector with its default options, which do not depend on the data. Raises SuiteError."""
    if name == RANDOM:
        return RandomDetector(seed)
    if name == TOP5:
        return RobustZTop5()
    check_known([name])
    points = {point.name: point for point in entry_points(group="shiftwatch.detectors")}
    try:
        plugin = points[name].load()
    except (ImportError, AttributeError) as error:
        raise SuiteError(f"detector {name!r} cannot be loaded: {error}") from error
    options: dict[str, Any] = {"seed": seed} if seed and "seed" in plugin.options_model.model_fields else {}
    made = plugin(name, plugin.options_model.model_validate(options))
    if isinstance(made, Rule):
        raise SuiteError(f"detector {name!r} is a rule: it has no scores that could be measured")
    if not isinstance(made, Detector):
        missing = [part for part in DETECTOR_PARTS if not hasattr(made, part)]
        raise SuiteError(f"detector {name!r} has no {', '.join(missing)}; see detectors.finding.Detector")
    return made


@dataclass(frozen=True, eq=False)
class Trial:
    """A detector that has learned a whole history, its scores of rows held back before, and of the rows that came later.

    Both of shape (n, 1): of the unit that stands for all channels together where the detector has one, otherwise the
    surprise (-log10 of the calibrated tail probability) of its most surprising unit.
    """

    detector: Detector
    held_back: Scores
    held_back_ns: NDArray[np.int64]
    later: Scores
    later_frame: Frame
    unit: int | None
    """The unit that stands for all channels, among the detector's own."""

    @property
    def scores(self) -> Array:
        """Of the later rows, shape (n,)."""
        return self.later.values[:, 0]

    def alarms(self, per_day: float) -> list[Alarm]:
        """The alarms in the later rows at the thresholds that keep the promise; no label is seen."""
        judging = Judging(Promise(per_day)).learn(self.held_back, self.held_back_ns)
        time_ns = self.later_frame.time_ns
        judged = judging.judge(self.later, time_ns)
        ended, _ = judging.interrupt(int(time_ns[-1]) + 1)
        return alarms_of([*judged.episodes, *ended], time_ns)

    def ranked(self, first: int, last: int) -> list[str] | None:
        """Names of channels, the likeliest cause of what happened in these rows first; None where the detector has no such unit."""
        if self.unit is None:
            return None
        if isinstance(self.detector, Attributing):
            return [c.name for c in self.detector.attribute(self.later_frame, first, last, self.unit)]
        values = self.scores[first : last + 1]
        row = first + int(np.argmax(np.nan_to_num(values, nan=-np.inf)))
        return [c.name for c in self.detector.explain(self.later_frame, row, self.unit).ranked]


def run(name: str, history: Frame, later: Frame, seed: int) -> Trial:
    """Fits on the earlier history, scores the rest of it, then fits on all of it and scores what came later. Raises SuiteError."""
    held = int(len(history) * HOLD_OUT_RATIO)
    earlier, held_back = history.rows(slice(0, len(history) - held)), history.rows(slice(len(history) - held, None))
    first = make(name, seed)
    if not first.applies(later.layout) or len(earlier) < first.rows_needed:
        raise SuiteError(f"detector {name!r} cannot judge {later.layout.source}: it has nothing to judge there, or too few rows")
    before = first.fit(earlier).score(held_back)
    detector = make(name, seed).fit(history)
    after = detector.score(later)
    unit = _whole(after)
    if unit is not None and (at := _whole(before)) is not None:
        return Trial(detector, _only(before, at), held_back.time_ns, _only(after, unit), later, unit)
    calibration = Calibration().fit(before, held_back.time_ns)
    return Trial(detector, _surprise(calibration, before), held_back.time_ns, _surprise(calibration, after), later, None)


def _whole(scores: Scores) -> int | None:
    found = [i for i, unit in enumerate(scores.units) if unit.condition == CONDITION]
    return found[0] if len(found) == 1 else None


def _only(scores: Scores, unit: int) -> Scores:
    return Scores((WHOLE,), scores.values[:, unit : unit + 1])


def _surprise(calibration: Calibration, scores: Scores) -> Scores:
    tail = calibration.tail_probabilities(scores)
    lowest = np.where(np.isfinite(tail), tail, np.inf).min(axis=1, initial=np.inf)
    return Scores((WHOLE,), np.where(np.isfinite(lowest), -np.log10(np.maximum(lowest, 1e-300)), np.nan)[:, None])
