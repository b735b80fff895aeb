"""A lasting change of level: one episode, then a question to a person, never an adaptation in silence nor an endless alarm.

An episode that has lasted for a stated time at a stable new level ends as an alarm and becomes a question: is this the new
normal? While it stands, scores are judged relative to the new level, so that what is anomalous there is still seen, and the
old level is remembered. The question is withdrawn where the scores return to it. A spike never leads to a question, because
the scores of every part of the stated time must have been above the threshold for most of that part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.finding import Severity, Unit
from detectors.levels import QUANTILE

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

Part = tuple[int, float, int, int, int]
"""A part of time: its begin, the highest score, the rows that are bad, that are judged, and that are bad at the level of the question."""

MOSTLY = 0.5
"""Part of the judged rows that must be bad for the level to be another one."""


@dataclass(frozen=True, slots=True)
class Question:
    """A unit has stayed at another level, and it is asked whether that is the new normal.

    since_ns: when it went there; asked_ns: when it was first asked; closed_ns: when the scores had returned or a person had
    answered, None while it stands; by: how far the score moved.
    """

    unit: Unit
    since_ns: int
    asked_ns: int
    by: float
    closed_ns: int | None = None


@dataclass(slots=True)
class _Stay:
    """A unit that is above its threshold, in parts of time: see `Part`, oldest first."""

    unit: Unit
    parts: list[Part] = field(default_factory=list)
    since_ns: int = 0
    offset: float = 0.0
    question: Question | None = None


class LevelShifts:
    """The changes of level of the units of one detector. Belongs to unit keys; times are event times."""

    def __init__(self, part_ns: int, parts_needed: int) -> None:
        """A question is asked after `parts_needed` whole parts of `part_ns` at the new level."""
        self._part_ns = part_ns
        self._needed = parts_needed
        self._stays: dict[str, _Stay] = {}

    @property
    def standing(self) -> tuple[Question, ...]:
        """The questions that wait for an answer."""
        return tuple(stay.question for stay in self._stays.values() if stay.question is not None)

    def offsets(self, units: Sequence[Unit]) -> Array:
        """How far above its old level each unit is judged now, shape (units,)."""
        result = np.zeros(len(units))
        if any(stay.offset for stay in self._stays.values()):
            result[:] = [stay.offset if (stay := self._stays.get(unit.key)) else 0.0 for unit in units]
        return result

    def take(self, units: Sequence[Unit], scores: Array, threshold: Array, time_ns: NDArray[np.int64]) -> None:
        """Notes rows, shape (n, units), NaN where not judged; threshold: of the old level, shape (units,)."""
        bad = scores > threshold
        concerned = np.flatnonzero(bad.any(axis=0))
        columns = {units[int(i)].key: int(i) for i in concerned}
        if self._stays:
            columns |= {unit.key: i for i, unit in enumerate(units) if unit.key in self._stays}
        for key, index in columns.items():
            stay = self._stays.get(key)
            first = 0
            if stay is None:  # nothing before its first bad row counts
                first = int(np.argmax(bad[:, index]))
                stay = self._stays[key] = _Stay(units[index], since_ns=int(time_ns[first]))
            again = scores[first:, index] > threshold[index] + stay.offset
            self._note(stay, scores[first:, index], bad[first:, index], again, time_ns[first:])

    def _note(self, stay: _Stay, scores: Array, bad: Flags, again: Flags, time_ns: NDArray[np.int64]) -> None:
        judged = np.flatnonzero(np.isfinite(scores))
        if not len(judged):
            return
        begin = time_ns[judged] // self._part_ns * self._part_ns
        first = np.flatnonzero(np.diff(begin, prepend=begin[0] - 1))
        highest = np.maximum.reduceat(scores[judged], first)
        counts = np.diff(np.append(first, len(judged)))
        bads, agains = (np.add.reduceat(rows[judged].astype(np.int64), first) for rows in (bad, again))
        for at, high, n_bad, n, n_again in zip(begin[first], highest, bads, counts, agains, strict=True):
            part = (int(at), float(high), int(n_bad), int(n), int(n_again))
            if stay.parts and stay.parts[-1][0] == at:
                _, before, bad_before, n_before, again_before = stay.parts.pop()
                part = (int(at), max(before, part[1]), bad_before + part[2], n_before + part[3], again_before + part[4])
            stay.parts.append(part)

    def review(self, now_ns: int, level: Mapping[str, float]) -> list[Question]:
        """Looks at the parts that are over; questions that are asked and those that are closed because the scores returned.

        level: the old level of the units.
        """
        said: list[Question] = []
        for key, stay in list(self._stays.items()):
            over = [part for part in stay.parts if part[0] + self._part_ns <= now_ns]
            stays = [part[2] >= MOSTLY * part[3] for part in over]
            if stays and not stays[-1]:
                del self._stays[key]
                if stay.question is not None:
                    said.append(replace(stay.question, closed_ns=now_ns))
                continue
            del stay.parts[: max(0, len(over) - self._needed)]
            long_enough = now_ns - stay.since_ns >= self._needed * self._part_ns
            if long_enough and sum(stays[-self._needed :]) == self._needed and key in level:
                said += self._asked(stay, over[-self._needed :], level[key], now_ns)
        return said

    def _asked(self, stay: _Stay, parts: Sequence[Part], level: float, now_ns: int) -> list[Question]:
        """Where a question stands already, it is asked anew if the unit has left its level too, for as long."""
        said = []
        if stay.question is not None:
            if any(part[4] < MOSTLY * part[3] for part in parts):
                return []
            said = [replace(stay.question, closed_ns=now_ns)]
            stay.since_ns = parts[0][0]
        highest = sorted(part[1] for part in parts)
        stay.offset = highest[max(0, int(np.ceil(QUANTILE * len(highest))) - 1)] - level
        stay.question = Question(stay.unit, stay.since_ns, now_ns, stay.offset)
        stay.parts = [(*part[:4], 0) for part in stay.parts]
        return [*said, stay.question]

    def answer(self, unit_key: str, at_ns: int) -> Question | None:
        """Closes a question that a person has answered with "new normal"; the caller moves the level by `Question.by`."""
        stay = self._stays.get(unit_key)
        if stay is None or stay.question is None:
            return None
        del self._stays[unit_key]
        return replace(stay.question, closed_ns=at_ns)

    def withdraw(self) -> None:
        """Scores are of another kind from now on: what was known of their levels does not hold; questions are closed next time."""
        self._stays = {key: replace(stay, parts=[(0, 0.0, 0, 1, 0)], offset=0.0) for key, stay in self._stays.items() if stay.question}

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            key: {
                "unit": [stay.unit.key, stay.unit.name, stay.unit.place, stay.unit.condition, str(stay.unit.severity)],
                "parts": [list(part) for part in stay.parts],
                "since_ns": stay.since_ns,
                "asked_ns": 0 if stay.question is None else stay.question.asked_ns,
                "offset": stay.offset,
            }
            for key, stay in self._stays.items()
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`."""
        self._stays = {}
        for key, kept in state.items():
            unit_key, name, place, condition, severity = kept["unit"]
            unit = Unit(unit_key, name, place, condition, Severity(severity))
            parts = [(int(a), float(b), int(c), int(d), int(e)) for a, b, c, d, e in kept["parts"]]
            since_ns, asked_ns, offset = int(kept["since_ns"]), int(kept["asked_ns"]), float(kept["offset"])
            question = Question(unit, since_ns, asked_ns, offset) if asked_ns else None
            self._stays[key] = _Stay(unit, parts, since_ns, offset, question)
