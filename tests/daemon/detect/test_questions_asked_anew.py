"""A unit that leaves the level that is asked about: the old finding ends, and the new one asks."""

from __future__ import annotations

from daemon.detect.questions import Questions
from detectors.episodes import Episode
from detectors.finding import Unit
from detectors.level_shift import Question

UNIT = Unit("u", "u", "X", "group_outlier")


def ended(since_ns: int, at_ns: int) -> Episode:
    return Episode(UNIT, -1, -1, since_ns, since_ns, at_ns - 1, at_ns)


def test_the_question_before_is_closed_and_the_new_one_stands() -> None:
    questions = Questions("ensemble")
    first, second = Question(UNIT, 10, 100, 1.0), Question(UNIT, 200, 300, 2.0)
    closed = Question(UNIT, 10, 100, 1.0, closed_ns=300)
    asked, _ = questions.events((first,), (ended(10, 100),))
    again, others = questions.events((closed, second), (ended(200, 300),))
    assert [(e.since_ns, e.cleared_ns) for e in (*asked, *again)] == [(10, None), (10, 300), (200, None)]
    assert others == []
    assert questions.standing == 1
    assert questions.unit_of("u", 200) == "u"
    both, _ = Questions("ensemble").events((first, closed, second), (ended(10, 100), ended(200, 300)))
    assert both == [*asked, *again]
