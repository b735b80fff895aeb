"""Scores in, episodes out: the promise is kept, blocks of any size say the same, nothing is forgotten over a restart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from daemon.store.packing import pack, unpack
from detectors.episodes import Episode
from detectors.finding import Scores, Severity, Unit
from detectors.judging import Judging, Promise

Values = NDArray[np.float64]
HOUR_NS, DAY_NS = 3_600_000_000_000, 86_400_000_000_000
STEP_NS = 300_000_000_000
ROWS_A_DAY = DAY_NS // STEP_NS


def units(count: int) -> tuple[Unit, ...]:
    return tuple(Unit(f"u{i}", f"u{i}", "X", "outlier") for i in range(count))


UNITS = {count: units(count) for count in (1, 3, 200)}


def scores(values: Values) -> Scores:
    return Scores(UNITS[values.shape[1]], values)


def times(first: int, rows: int) -> NDArray[np.int64]:
    return STEP_NS * (1_000_000 + first + np.arange(rows, dtype=np.int64))


def noise(rows: int, columns: int, seed: int) -> Values:
    """|z| of readings that remember a little."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((rows, columns))
    for row in range(1, rows):
        values[row] = 0.6 * values[row - 1] + 0.8 * values[row]
    return np.abs(values)


def judging(promise: Promise, history: Values) -> Judging:
    return Judging(promise).learn(scores(history), times(0, len(history)))


def raised(episodes: tuple[Episode, ...]) -> list[Episode]:
    return [episode for episode in episodes if episode.cleared_ns is None]


WEEK = 7 * ROWS_A_DAY


@pytest.mark.parametrize(("per_day", "columns", "clear_rows"), [(1.0, 1, 20), (10.0, 1, 20), (5.0, 3, 3)])
def test_on_normal_data_as_many_episodes_are_raised_as_promised(per_day: float, columns: int, clear_rows: int) -> None:
    days = 60
    values = noise(WEEK + days * ROWS_A_DAY, columns, 1)
    judge = judging(Promise(per_day, clear_rows=clear_rows), values[:WEEK])
    got = judge.judge(scores(values[WEEK:]), times(WEEK, days * ROWS_A_DAY))
    assert 0.6 < len(raised(got.episodes)) / days / per_day < 1.4
    found = judge.rate.measured()
    assert found.low <= found.episodes / found.days <= found.high


def test_the_promise_is_kept_after_the_scores_have_drifted_away() -> None:
    days = 60
    values = noise(WEEK + days * ROWS_A_DAY, 1, 2)
    values[WEEK:, 0] += np.linspace(0, 8, days * ROWS_A_DAY)
    got = judging(Promise(1.0), values[:WEEK]).judge(scores(values[WEEK:]), times(WEEK, days * ROWS_A_DAY))
    assert 0.5 < len(raised(got.episodes)) / days < 3.0


def test_one_spike_does_not_widen_the_limits() -> None:
    values = noise(2 * WEEK, 1, 3)
    with_spike = values.copy()
    with_spike[WEEK + 100] = 1e6
    quiet, spiked = (judging(Promise(1.0), v[:WEEK]).judge(scores(v[WEEK:]), times(WEEK, WEEK)) for v in (values, with_spike))
    assert any(episode.row == 100 for episode in raised(spiked.episodes))
    assert spiked.thresholds[-1, 0] < 1.25 * quiet.thresholds[-1, 0]


def test_an_incident_of_hours_does_not_either() -> None:
    values = noise(2 * WEEK, 1, 3)
    bad = values.copy()
    bad[WEEK + 100 : WEEK + 160] += 50.0
    quiet, after = (judging(Promise(1.0), v[:WEEK]).judge(scores(v[WEEK:]), times(WEEK, WEEK)) for v in (values, bad))
    assert after.thresholds[-1, 0] < 1.25 * quiet.thresholds[-1, 0]
    covering = [e for e in after.episodes if e.cleared_ns is not None and e.last_ns == times(WEEK + 159, 1)[0]]
    assert len(covering) == 1


def test_a_constant_score_is_never_stuck_at_anomalous() -> None:
    values = np.full((2 * WEEK, 1), 3.0)
    got = judging(Promise(10.0), values[:WEEK]).judge(scores(values[WEEK:]), times(WEEK, WEEK))
    assert not got.bad.any()
    assert np.nanmin(got.tail) == 1.0
    stepped = values.copy()
    stepped[WEEK + 50 :] = 0.0
    assert not judging(Promise(10.0), values[:WEEK]).judge(scores(stepped[WEEK:]), times(WEEK, WEEK)).bad.any()


def test_a_high_promise_leaves_room_for_its_episodes() -> None:
    """Twenty quiet rows of five minutes each would leave room for fourteen a day only."""
    values = noise(4 * WEEK, 1, 4)
    got = judging(Promise(20.0), values[:WEEK]).judge(scores(values[WEEK:]), times(WEEK, 3 * WEEK))
    assert len(raised(got.episodes)) / 21 > 10.0


def test_an_episode_needs_its_rows_and_critical_units_may_need_fewer() -> None:
    history = noise(WEEK, 3, 5)
    values = noise(40, 3, 6)
    values[20, :] = 1e3
    both = (Unit("u0", "u0", "X", "outlier", Severity.CRITICAL), *UNITS[3][1:])
    judge = Judging(Promise(1.0, raise_rows=2, critical_raise_rows=1)).learn(Scores(both, history), times(0, WEEK))
    got = judge.judge(Scores(both, values), times(WEEK, 40))
    assert [episode.unit.key for episode in raised(got.episodes)] == ["u0"]


def test_rows_that_do_not_count_raise_nothing_and_teach_nothing() -> None:
    values = noise(2 * WEEK, 1, 7)
    values[WEEK + 100 : WEEK + 400] = 1e3
    counts = np.ones(WEEK, dtype=bool)
    counts[100:400] = False
    judge = judging(Promise(1.0), values[:WEEK])
    got = judge.judge(scores(values[WEEK:]), times(WEEK, WEEK), counts)
    assert np.isnan(got.tail[100:400]).all()
    assert not [e for e in raised(got.episodes) if 100 <= e.row < 400]
    assert got.thresholds[-1, 0] < 10


def test_before_it_has_learned_it_judges_nothing() -> None:
    got = Judging(Promise(1.0)).judge(scores(noise(50, 3, 1)), times(0, 50))
    assert not got.bad.any()
    assert np.isnan(got.tail).all()
    assert got.highest() == 0.0


def test_with_a_handful_of_rows_it_is_unsure_and_says_why() -> None:
    values = noise(60, 1, 8)
    judge = judging(Promise(0.01), values[:30])
    later = values[30:].copy()
    later[20:24] = 12.0
    got = judge.judge(scores(later), times(30, 30))
    reasons = [reason for episode, reason in got.doubtful if episode.cleared_ns is None]
    assert reasons or not got.bad.any()
    assert all("normal rows were kept" in reason for reason in reasons)
    assert not raised(got.episodes)


def test_many_units_share_the_promise() -> None:
    days = 5
    values = noise((5 + days) * ROWS_A_DAY, 200, 9)
    learned = 5 * ROWS_A_DAY
    judge = judging(Promise(4.0, raise_rows=2, clear_rows=3), values[:learned])
    got = judge.judge(scores(values[learned:]), times(learned, days * ROWS_A_DAY))
    assert len(raised(got.episodes)) / days < 3 * 4.0
    assert judge.state()["calibration"]["recent"]["maxima"].size <= 1100 * 200


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 1500), min_size=1, max_size=5), st.integers(0, 5), st.integers(1, 3))
def test_blocks_of_any_size_and_restarts_say_the_same(sizes: list[int], seed: int, raise_rows: int) -> None:
    values = noise(2 * ROWS_A_DAY + 3000, 3, seed)
    learned = 2 * ROWS_A_DAY
    values[learned + 300 : learned + 320] += 6.0
    values[learned + 900 : learned + 1700, 1] += 5.0
    promise = Promise(6.0, raise_rows=raise_rows, clear_rows=5)
    whole = judging(promise, values[:learned]).judge(scores(values[learned:]), times(learned, 3000))
    judge, first = judging(promise, values[:learned]), learned
    parts = []
    for size in [*sizes, 3000]:
        rows = values[first : min(first + size, len(values))]
        if len(rows):
            parts.append(judge.judge(scores(rows), times(first, len(rows))))
        state, judge = judge.state(), Judging(promise)
        judge.restore(unpack(pack(state)))
        first += len(rows)
    for name in ("tail", "thresholds", "bad"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))
    said = [(e.unit.key, e.since_ns, e.raised_ns, e.last_ns, e.cleared_ns) for part in parts for e in part.episodes]
    assert said == [(e.unit.key, e.since_ns, e.raised_ns, e.last_ns, e.cleared_ns) for e in whole.episodes]
    asked = [(q.unit.key, q.since_ns, q.asked_ns, q.closed_ns) for part in parts for q in part.questions]
    assert asked == [(q.unit.key, q.since_ns, q.asked_ns, q.closed_ns) for q in whole.questions]


@settings(deadline=None)
@given(st.lists(st.floats(-5, 1e6), min_size=2, max_size=30))
def test_a_higher_score_is_never_more_probable(later: list[float]) -> None:
    judge = judging(Promise(1.0), noise(2 * ROWS_A_DAY, 1, 1))
    rising = np.sort(np.array(later))[:, None]
    at_ns = times(2 * ROWS_A_DAY, 1) + np.arange(len(rising))  # all under the same thresholds
    tail = judge.judge(scores(rising), at_ns).tail[:, 0]
    assert (np.diff(tail) <= 0).all()
    assert ((tail > 0) & (tail <= 1)).all()


def test_units_may_come_go_and_move() -> None:
    values = noise(2 * WEEK, 3, 2)
    values[WEEK + 500 :, 2] += 30.0
    judge = judging(Promise(1.0), values[:WEEK])
    a, b, c = UNITS[3]
    judge.judge(Scores((b,), values[WEEK : WEEK + 400, 1:2]), times(WEEK, 400))
    got = judge.judge(Scores((c, a), values[WEEK + 400 : WEEK + 600, [2, 0]]), times(WEEK + 400, 200))
    assert {episode.unit.key for episode in raised(got.episodes)} == {"u2"}
    assert got.bad.shape == (200, 2)


def test_a_state_of_another_version_is_refused() -> None:
    state = judging(Promise(1.0), noise(100, 1, 1)).state()
    with pytest.raises(ValueError, match="version 9"):
        Judging(Promise(1.0)).restore({**state, "version": 9})


def test_after_an_interruption_everything_has_ended() -> None:
    values = noise(WEEK, 1, 1)
    judge = judging(Promise(1.0), values)
    judge.judge(scores(np.full((5, 1), 1e4)), times(WEEK, 5))
    assert judge.active == 1
    at_ns = int(times(WEEK + 50, 1)[0])
    certain, doubtful = judge.interrupt(at_ns)
    assert [episode.cleared_ns for episode in (*certain, *doubtful)] == [at_ns]
    assert judge.active == 0


def test_learning_again_keeps_what_lasts() -> None:
    values = noise(WEEK, 1, 1)
    judge = judging(Promise(1.0), values)
    judge.judge(scores(np.full((5, 1), 1e4)), times(WEEK, 5))
    judge.learn(scores(10 * values), times(0, WEEK))
    assert judge.active == 1
    got = judge.judge(scores(10 * noise(40, 1, 4)), times(WEEK + 5, 40))
    assert [episode.cleared_ns is None for episode in (*got.episodes, *(e for e, _ in got.doubtful))] == [False]


@pytest.mark.parametrize("per_day", [1.0, 3.0])
def test_thresholds_do_not_sink_from_week_to_week(per_day: float) -> None:
    """What is rarer than promised is kept out of the past; were none of it counted, each week would promise less than the one before."""
    days, found = [], 0
    for seed in range(3):
        values = noise(9 * WEEK, 1, seed)
        judge = judging(Promise(per_day), values[:WEEK])
        judge.judge(scores(values[WEEK : 5 * WEEK]), times(WEEK, 4 * WEEK))
        got = judge.judge(scores(values[5 * WEEK :]), times(5 * WEEK, 4 * WEEK))
        found += len(raised(got.episodes))
        days.append(4 * WEEK * float(np.diff(times(0, 2))[0]) / 86_400e9)
    assert 0.6 < found / sum(days) / per_day < 1.35
