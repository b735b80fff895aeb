"""A finding that has become a question: is this the new normal? It stands until the readings return or a person answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from daemon.detect.findings import Event
from detectors.episodes import Episode
from detectors.finding import Certainty, Severity, Unit
from detectors.level_shift import Question
from detectors.wording import lasting


@dataclass(frozen=True, slots=True)
class _Asked:
    """The finding that asks: its unit and times, by which it is found again."""

    unit: Unit
    since_ns: int
    raised_ns: int
    asked_ns: int


class Questions:
    """The questions of one detector, as events of the findings that they have come from."""

    def __init__(self, detector: str) -> None:
        self._detector = detector
        self._asked: dict[str, _Asked] = {}
        self._expected: dict[str, int] = {}  # unit and beginning of what lasts and was called normal before it has asked

    @property
    def standing(self) -> int:
        """How many wait for an answer."""
        return len(self._asked)

    def events(self, questions: Sequence[Question], ended: Sequence[Episode]) -> tuple[list[Event], list[Episode]]:
        """What to say of questions that were asked or closed, and the episodes that have ended otherwise.

        ended: all episodes of the same rows; one that has become a question does not end, its finding asks.
        """
        asked_at = {(question.unit.key, question.asked_ns) for question in questions if question.closed_ns is None}
        asking: dict[tuple[str, int], list[Episode]] = {}
        others = []
        for episode in ended:
            at = (episode.unit.key.removesuffix("?"), episode.cleared_ns or 0)
            if episode.row >= 0 or at not in asked_at:
                others.append(episode)
            else:
                asking.setdefault(at, []).append(episode)
        events = []
        for question in questions:  # in order: one may be closed and asked anew at the same time
            key = question.unit.key
            if question.closed_ns is None:
                for episode in asking.get((key, question.asked_ns), ()):
                    asked = self._asked[key] = _Asked(episode.unit, episode.since_ns, episode.raised_ns, question.asked_ns)
                    events.append(self._event(asked, episode.last_ns, None))
            elif (known := self._asked.pop(key, None)) is not None:
                self._expected.pop(known.unit.key, None)
                events.append(self._event(known, question.closed_ns, question.closed_ns))
        return events, others

    def unit_of(self, unit_key: str, since_ns: int) -> str | None:
        """Key of the unit that is asked about by the finding of a unit that began at a time."""
        for key, asked in self._asked.items():
            if asked.unit.key == unit_key and asked.since_ns == since_ns:
                return key
        return None

    def expect(self, unit_key: str, since_ns: int) -> None:
        """What lasts was called normal before it has asked."""
        self._expected[unit_key] = since_ns

    def expected(self, event: Event) -> bool:
        """Whether the finding that asks was called normal before."""
        return event.cleared_ns is None and self._expected.get(event.unit.key) == event.since_ns

    def forget(self, ended: Sequence[Episode]) -> None:
        """Episodes that have ended will not ask."""
        for episode in ended:
            if episode.cleared_ns is not None and self._expected.get(episode.unit.key) == episode.since_ns:
                del self._expected[episode.unit.key]

    def _event(self, asked: _Asked, last_ns: int, cleared_ns: int | None) -> Event:
        stayed = lasting((asked.asked_ns - asked.since_ns) / 1e9)
        reason = f"it has stayed at this new level for {stayed}: is it the new normal? 'Not a problem' says yes"
        at_ns = asked.asked_ns if cleared_ns is None else cleared_ns
        times = asked.since_ns, asked.raised_ns, last_ns, cleared_ns
        return Event(at_ns, asked.unit, self._detector, *times, certainty=Certainty.UNSURE, reason=reason)

    def state(self) -> dict[str, Any]:
        """Plain values."""
        asked = {
            key: [[a.unit.key, a.unit.name, a.unit.place, a.unit.condition, str(a.unit.severity)], a.since_ns, a.raised_ns, a.asked_ns]
            for key, a in self._asked.items()
        }
        return {"asked": asked, "expected": dict(self._expected)}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        self._asked = {}
        self._expected = {str(key): int(since_ns) for key, since_ns in state["expected"].items()}
        for key, (unit, since_ns, raised_ns, asked_ns) in state["asked"].items():
            unit_key, name, place, condition, severity = unit
            self._asked[key] = _Asked(
                Unit(unit_key, name, place, condition, Severity(severity)), int(since_ns), int(raised_ns), int(asked_ns)
            )
