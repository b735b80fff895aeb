"""Judging: the scores of one detector in, episodes out, such that a promised rate of false alarms is kept.

Live watching and evaluation share it. Thresholds follow the scores of the recent past (`detectors.rolling_calibration`);
persistence and hysteresis make episodes of the rows above them (`detectors.episodes`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from detectors.alarm_rate import AlarmRate
from detectors.cold_start import ColdStart, Limits
from detectors.episodes import Episode, Episodes
from detectors.escalation import Escalations
from detectors.finding import Scores, Severity, Unit
from detectors.judged import Judged, joined
from detectors.level_shift import LevelShifts, Question
from detectors.rolling import lasting_scores
from detectors.rolling_calibration import DAY_NS, RollingCalibration
from detectors.uncertainty import Sample

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Reviewed = tuple[tuple[Episode, ...], tuple[tuple[Episode, str], ...], tuple[Question, ...]]
"""Episodes and doubtful ones that a question ends, and the questions that are asked or closed."""

ASK_PARTS = 8
"""The time before a question is looked at in so many parts: the scores must have stayed high in each."""
COLD_NS = 86_400_000_000_000
"""Past from which on episodes are counted: one day."""
ROOM, CLEAR_LEAST = 0.1, 3
"""Part of the day that the quiet ends of as many episodes as promised may take, and rows that they take in any case."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised, and when rows make an episode.

    per_day: false episodes a day of all units together that are accepted; raise_rows, clear_rows: bad rows in a row after
    which an episode is raised, good ones after which it has ended; critical_raise_rows: the former for units of critical
    severity; quiet_hours: the good ones must take as long as this, too; window_days: the past, in event time, over which the
    level of normal scores is taken; ask_after_hours: how long the scores must have stayed at another level before it is asked
    whether that is the new normal.

    An episode ends sooner where so many are promised that they would not find room otherwise. One that lasts and becomes far worse
    ends too, and another begins (`detectors.escalation`).
    """

    per_day: float
    raise_rows: int = 1
    clear_rows: int = 20
    critical_raise_rows: int | None = None
    quiet_hours: float = 1.0
    window_days: float = 7.0
    ask_after_hours: float = 24.0


class Judging:
    """The judgement over the units of one detector. What it learned belongs to unit keys; blocks of any size say the same."""

    def __init__(self, promise: Promise) -> None:
        self.promise = promise
        self._calibration = self._new_calibration()
        self._cold: ColdStart | None = None  # until there is enough of the past to count episodes
        self._shifts = LevelShifts(int(promise.ask_after_hours * 3600e9) // ASK_PARTS, ASK_PARTS)
        self._begin()
        self.rate = AlarmRate()
        """Of the episodes raised, to be set beside the promise."""
        self._units: Sequence[Unit] = ()
        self._doubtful_units: tuple[Unit, ...] = ()
        self._rows = np.empty(0, dtype=np.int64)
        self._before = np.empty((0, 0))
        self._kept: dict[str, list[float]] = {}  # of units that are not in the present layout, and after a restart

    def _new_calibration(self) -> RollingCalibration:
        return RollingCalibration(self.promise.per_day, int(self.promise.window_days * DAY_NS))

    def _begin(self) -> None:
        """Persistence for rows of the known length."""
        promise, step_ns = self.promise, max(1, self._calibration.step_ns)
        room = int(ROOM * DAY_NS / promise.per_day / step_ns)
        clear_rows = max(promise.clear_rows, round(promise.quiet_hours * 3600e9 / step_ns))
        rows = promise.raise_rows, min(clear_rows, max(CLEAR_LEAST, room)), promise.critical_raise_rows
        self._clear_rows = self._calibration.quiet_rows = rows[1]
        self._episodes, self._doubtful = Episodes(*rows), Episodes(*rows)
        self._escalations = Escalations(clear_rows * step_ns)

    @property
    def active(self) -> int:
        """Episodes that last, doubtful ones included."""
        return self._episodes.active + self._doubtful.active

    def learn(self, scores: Scores, time_ns: NDArray[np.int64]) -> Self:
        """Calibrates with normal rows that the detector has not been fitted on, in order; time_ns: shape (n,).

        Done again, after the detector was fitted anew, it replaces the calibration; episodes that last go on.
        """
        self._bind(scores.units)
        began = bool(self._calibration.due_ns)
        self._calibration = self._new_calibration()
        self._calibration.bind(self._units)
        self._before[:] = -np.inf
        self._calibration.learn(time_ns, self._lasting(scores.values))
        self._before[:] = -np.inf
        self._shifts.withdraw()
        if not began:
            self._begin()
        self._calibration.quiet_rows = self._clear_rows
        self._cold = ColdStart(self.promise.per_day, self.promise.raise_rows).learn(scores, time_ns)
        self._warm_up()
        return self

    def _warm_up(self) -> None:
        """From now on, episodes are counted where the past is long enough."""
        if self._calibration.span_ns >= COLD_NS:
            self._cold = None

    def judge(self, scores: Scores, time_ns: NDArray[np.int64], judged: Flags | None = None) -> Judged:
        """Judges a block of rows, newer than all before. judged: rows that count, shape (n,) or (n, units); all by default."""
        self._bind(scores.units)
        values = scores.values
        if judged is not None:
            values = np.where(judged if judged.ndim == 2 else judged[:, None], values, np.nan)
        parts = [self._judge_part(values[rows], time_ns[rows], rows.start, reviewed) for rows, reviewed in self._parts(time_ns)]
        return joined(parts, len(self._units))

    def interrupt(self, at_ns: int) -> tuple[list[Episode], list[Episode]]:
        """Ends all episodes (the sure ones, the doubtful ones) at a time: the rows before it say nothing about those after."""
        self._before[:] = -np.inf
        self._kept.clear()
        self._escalations.forget()
        return self._episodes.interrupt(at_ns), self._doubtful.interrupt(at_ns)

    def answer(self, unit_key: str, at_ns: int) -> Question | None:
        """A person says that what is asked about a unit is the new normal; the question that this closes, None without any."""
        question = self._shifts.answer(unit_key, at_ns)
        if question is not None:
            self._calibration.shift(unit_key, question.by)
        return question

    @property
    def questions(self) -> tuple[Question, ...]:
        """Those that wait for an answer."""
        return self._shifts.standing

    def sample(self, unit: int, alpha: float) -> Sample:
        """What the probabilities of a unit of the rows judged last rest on; alpha: its own in them."""
        units = self._units[unit : unit + 1]
        if self._cold is not None:
            rows, scores = self._cold.sample(units)
            return Sample(rows, scores, 1.0, alpha)
        rows, scores, per_row = self._calibration.sample(unit)
        return Sample(rows, scores, per_row, alpha)

    def _parts(self, time_ns: NDArray[np.int64]) -> Iterator[tuple[slice, Reviewed]]:
        """Runs of rows under the same thresholds; these are worked out anew before each run but, perhaps, the first."""
        first = 0
        while first < len(time_ns):
            reviewed: Reviewed = ((), (), ())
            due_ns = self._calibration.due_ns
            if due_ns and time_ns[first] >= due_ns:
                reviewed = self._review(int(time_ns[first]))
            end = int(np.searchsorted(time_ns, self._calibration.due_ns)) if due_ns else len(time_ns)
            yield slice(first, end), reviewed
            first = end

    def _review(self, now_ns: int) -> Reviewed:
        """Looks back before rows from a time on are judged: questions, episodes that end with them, and new thresholds."""
        calibration = self._calibration
        levels = {unit.key: float(level) for unit, level in zip(self._units, calibration.level, strict=True)}
        questions = self._shifts.review(now_ns, levels)
        asked = {question.unit.key for question in questions if question.closed_ns is None}
        ended = self._episodes.interrupt(now_ns, asked)
        self._escalations.forget(asked)
        doubtful = self._doubtful.interrupt(now_ns, {f"{key}?" for key in asked})
        self.rate.forget()
        calibration.recalibrate(now_ns, self.rate)
        self._warm_up()
        return tuple(ended), tuple((episode, "") for episode in doubtful), tuple(questions)

    def _judge_part(self, values: Array, time_ns: NDArray[np.int64], first_row: int, reviewed: Reviewed) -> Judged:
        calibration, cold = self._calibration, self._cold
        limits = calibration.limits if cold is None else cold.limits(self._units)
        self._shifts.take(self._units, values, limits.threshold, time_ns)
        offsets = self._shifts.offsets(self._units)
        relative = values - offsets
        tail = self._tail_probabilities(relative)
        judged = np.isfinite(tail) & np.isfinite(limits.alpha)
        bad = judged & (relative > limits.threshold)
        sure = bad & (relative > limits.sure_threshold)
        lasting = self._lasting(relative)
        found = self._escalated(self._episodes.advance(self._units, sure, judged, time_ns), sure, lasting, tail, time_ns)
        doubtful = self._doubtful.advance(self._doubtful_units, bad & ~sure, judged, time_ns)
        calibration.add(time_ns, lasting, None if cold is None else limits.threshold)
        self.rate.take(found, int(time_ns[-1]))
        ended, ended_doubtful, questions = reviewed
        return Judged(
            ended + tuple(replace(episode, row=episode.row + first_row) for episode in found),
            ended_doubtful + tuple((replace(e, row=e.row + first_row), self._reason(e.index, limits)) for e in doubtful),
            questions,
            np.where(judged, tail, np.nan),
            np.broadcast_to(limits.threshold + offsets, values.shape),
            bad,
            calibration.row_alpha if cold is None else limits.alpha,
        )

    def _escalated(self, found: list[Episode], sure: Flags, lasting: Array, tail: Array, time_ns: NDArray[np.int64]) -> list[Episode]:
        """Episodes that become far worse begin anew: by the scores that episodes are raised by, which may take several rows."""
        if not found and not self._escalations.lasting:
            return found
        if len(self._before):
            tail = self._tail_probabilities(lasting)
        return self._escalations.renew(self._episodes, found, self._units, sure, tail, time_ns)

    def _tail_probabilities(self, relative: Array) -> Array:
        if self._cold is None:
            return self._calibration.tail_probabilities(relative)
        return self._cold.tail_probabilities(Scores(tuple(self._units), relative))

    def _reason(self, unit: int, limits: Limits) -> str:
        if self._cold is None:
            return self._calibration.reason(unit)
        return self._cold.reason(float(limits.alpha[unit]), self._units[unit])

    def _lasting(self, values: Array) -> Array:
        lasting, self._before = lasting_scores(np.ascontiguousarray(values), self._before, self._rows)
        return lasting

    def _bind(self, units: Sequence[Unit]) -> None:
        """The columns of the next rows are these units."""
        if units is self._units:
            return
        promise = self.promise
        self._kept.update({unit.key: list(column) for unit, column in zip(self._units, self._before.T, strict=False)})
        critical = promise.critical_raise_rows or promise.raise_rows
        self._rows = np.array([critical if u.severity is Severity.CRITICAL else promise.raise_rows for u in units], dtype=np.int64)
        depth = max(critical, promise.raise_rows) - 1
        nothing = [-np.inf] * depth
        self._before = np.array([self._kept.pop(unit.key, nothing) for unit in units]).reshape(len(units), depth).T.copy()
        self._doubtful_units = tuple(replace(u, key=f"{u.key}?", severity=Severity.INFO) for u in units)
        self._units = units
        self._calibration.bind(units)

    def state(self) -> dict[str, Any]:
        """All that was learned and is in the middle of, as plain values and arrays."""
        before = {unit.key: list(map(float, column)) for unit, column in zip(self._units, self._before.T, strict=False)}
        return {
            "version": 2,
            "calibration": self._calibration.state(),
            "episodes": self._episodes.state(),
            "doubtful": self._doubtful.state(),
            "escalations": self._escalations.state(),
            "cold": None if self._cold is None else self._cold.state(),
            "shifts": self._shifts.state(),
            "rate": self.rate.state(),
            "before": {**self._kept, **before},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""
        if state.get("version") != 2:
            raise ValueError(f"judging of version {state.get('version')}, this is version 2")
        self._calibration.restore(state["calibration"])
        self._cold = None
        if state["cold"] is not None:
            self._cold = ColdStart(self.promise.per_day, self.promise.raise_rows)
            self._cold.restore(state["cold"])
        self._begin()
        self._shifts.restore(state["shifts"])
        self._episodes.restore(state["episodes"])
        self._doubtful.restore(state["doubtful"])
        self._escalations.restore(state["escalations"])
        self.rate.restore(state["rate"])
        self._units, self._before = (), np.empty((0, 0))
        self._kept = {key: list(column) for key, column in state["before"].items()}
