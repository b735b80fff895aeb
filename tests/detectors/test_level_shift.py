"""A lasting change of level is one episode and then a question; what happens around the new level is still seen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from daemon.store.packing import pack, unpack
from detectors.finding import Scores, Unit
from detectors.judged import Judged
from detectors.judging import Judging, Promise

Values = NDArray[np.float64]
STEP_NS = 300_000_000_000
HOUR, DAY = 12, 288
UNITS = (Unit("u", "u", "X", "group_outlier"),)
LEARNED = 7 * DAY
SHIFT_AT = LEARNED + DAY


def noise(days: int, seed: int = 1) -> Values:
    return np.abs(np.random.default_rng(seed).standard_normal((days * DAY, 1)))


def times(first: int, rows: int) -> NDArray[np.int64]:
    return STEP_NS * (2_000_000 + first + np.arange(rows, dtype=np.int64))


def learned(values: Values) -> Judging:
    return Judging(Promise(1.0)).learn(Scores(UNITS, values[:LEARNED]), times(0, LEARNED))


def judged(judging: Judging, values: Values, first: int, end: int) -> Judged:
    return judging.judge(Scores(UNITS, values[first:end]), times(first, end - first))


def hours_after_shift(time_ns: int) -> float:
    return (time_ns - int(times(SHIFT_AT, 1)[0])) / 3.6e12


def lasting_after_shift(got: Judged) -> list[tuple[float, float]]:
    """Begin and end of the episodes that reach over more than six hours, in hours after the shift."""
    ends = [e for e in got.episodes if e.cleared_ns is not None and e.last_ns - e.since_ns > 6 * HOUR * STEP_NS]
    return [(hours_after_shift(e.since_ns), hours_after_shift(e.last_ns)) for e in ends]


def test_a_shift_is_one_episode_and_then_one_question() -> None:
    values = noise(60)
    values[SHIFT_AT:] += 10.0
    judging = learned(values)
    got = judged(judging, values, LEARNED, len(values))
    episodes = lasting_after_shift(got)
    assert len(episodes) == 1
    begin, end = episodes[0]
    assert begin == pytest.approx(0, abs=0.1)
    assert 24 <= end <= 28
    assert [question.closed_ns for question in got.questions] == [None]
    question = got.questions[0]
    assert hours_after_shift(question.since_ns) == pytest.approx(0, abs=0.1)
    assert 24 <= hours_after_shift(question.asked_ns) <= 28
    assert question.by == pytest.approx(10.0, abs=1.5)
    assert judging.questions == got.questions
    later = [e for e in got.episodes if e.cleared_ns is None and hours_after_shift(e.raised_ns) > 28]
    assert len(later) / 50 < 2.0  # a day, of the one that is promised


def test_a_second_shift_is_one_more_episode_and_the_question_is_asked_anew() -> None:
    values = noise(60)
    values[SHIFT_AT:] += 10.0
    values[SHIFT_AT + 10 * DAY :] += 10.0
    judging = learned(values)
    got = judged(judging, values, LEARNED, len(values))
    (_, (begin, end)) = lasting_after_shift(got)
    assert begin == pytest.approx(240, abs=0.1)
    assert 264 <= end <= 268
    first, closed, second = got.questions
    assert (closed.asked_ns, closed.by, first.closed_ns, second.closed_ns) == (first.asked_ns, first.by, None, None)
    assert closed.closed_ns == second.asked_ns
    assert second.by == pytest.approx(20.0, abs=1.5)
    assert 237 <= hours_after_shift(second.since_ns) <= 243
    answered = judging.answer("u", int(times(len(values), 1)[0]))
    assert answered is not None
    assert answered.by == second.by


def test_what_is_anomalous_at_the_new_level_is_still_seen() -> None:
    values = noise(20)
    values[SHIFT_AT:] += 10.0
    fault = SHIFT_AT + 3 * DAY
    values[fault : fault + 6] += 8.0
    got = judged(learned(values), values, LEARNED, len(values))
    assert any(e.row == fault - LEARNED for e in got.episodes if e.cleared_ns is None)


def test_the_question_is_withdrawn_when_the_old_level_returns() -> None:
    values = noise(30)
    back = SHIFT_AT + 5 * DAY
    values[SHIFT_AT:back] += 10.0
    judging = learned(values)
    before = judged(judging, values, LEARNED, back)
    got = judged(judging, values, back, len(values))
    assert len(before.questions) == 1
    assert [question.closed_ns is None for question in got.questions] == [False]
    assert judging.questions == ()
    assert got.thresholds[-1, 0] < 10.0
    assert before.thresholds[-1, 0] > 10.0


@pytest.mark.parametrize("height", [5.0, 1e5])
def test_neither_a_spike_nor_an_incident_of_half_a_day_asks(height: float) -> None:
    values = noise(20)
    values[SHIFT_AT] += height
    values[SHIFT_AT + DAY : SHIFT_AT + DAY + DAY // 2] += height
    got = judged(learned(values), values, LEARNED, len(values))
    assert got.questions == ()
    assert got.thresholds[-1, 0] < 8.0


def test_spikes_that_come_again_and_again_do_not_ask() -> None:
    values = noise(20)
    values[SHIFT_AT::5] += 100.0  # never quiet for long enough to end an episode, but normal most of the time
    assert judged(learned(values), values, LEARNED, len(values)).questions == ()


def test_answered_new_normal_the_threshold_moves_at_once_and_stays() -> None:
    values = noise(40)
    values[SHIFT_AT:] += 10.0
    judging = learned(values)
    asked = SHIFT_AT + 3 * DAY
    judged(judging, values, LEARNED, asked)
    closed = judging.answer("u", int(times(asked, 1)[0]))
    assert closed is not None
    assert closed.closed_ns == times(asked, 1)[0]
    assert judging.answer("u", int(times(asked, 1)[0])) is None
    got = judged(judging, values, asked, len(values))
    assert got.questions == ()
    assert lasting_after_shift(got) == []
    assert (got.thresholds > 10.0).all()


def test_a_question_stands_over_a_restart_and_over_a_new_model() -> None:
    values = noise(20)
    values[SHIFT_AT:] += 10.0
    judging = learned(values)
    cut = SHIFT_AT + 2 * DAY
    judged(judging, values, LEARNED, cut)
    loaded = Judging(Promise(1.0))
    loaded.restore(unpack(pack(judging.state())))
    assert loaded.questions == judging.questions
    whole, again = (judged(one, values, cut, len(values)) for one in (judging, loaded))
    np.testing.assert_array_equal(again.bad, whole.bad)
    loaded.learn(Scores(UNITS, values[SHIFT_AT : SHIFT_AT + 2 * DAY]), times(SHIFT_AT, 2 * DAY))  # the new level is learned
    end = len(values)
    rest = loaded.judge(Scores(UNITS, values[-DAY:]), times(end, DAY))
    assert [question.closed_ns is None for question in rest.questions] == [False]
    assert not rest.bad.all()
