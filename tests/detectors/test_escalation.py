"""An episode that lasts and becomes far worse is told again, as a new one; one that only goes on is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from daemon.store.packing import pack, unpack
from detectors.episodes import Episode, Episodes
from detectors.escalation import Escalations
from detectors.finding import Scores, Unit
from detectors.judging import Judging, Promise

STEP_NS = 300_000_000_000
WEEK = 7 * 288
QUIET_ROWS = 20
UNITS = (Unit("a", "a", "X", "outlier"), Unit("b", "b", "X", "outlier"))
Told = list[tuple[str, int, int, int, int | None]]


def times(first: int, rows: int) -> NDArray[np.int64]:
    return STEP_NS * (1_000_000 + first + np.arange(rows, dtype=np.int64))


def told(episodes: tuple[Episode, ...] | list[Episode]) -> Told:
    return [(e.unit.key, e.since_ns, e.raised_ns, e.last_ns, e.cleared_ns) for e in episodes]


def noise(rows: int) -> NDArray[np.float64]:
    return np.abs(np.random.default_rng(1).standard_normal((rows, 2)))


def judged(later: NDArray[np.float64], raise_rows: int = 1) -> list[Episode]:
    judging = Judging(Promise(0.5, raise_rows=raise_rows)).learn(Scores(UNITS, noise(WEEK)), times(0, WEEK))
    return list(judging.judge(Scores(UNITS, later), times(WEEK, len(later))).episodes)


def after(first: float, second: float, at: int) -> NDArray[np.float64]:
    """Quiet scores of two units; the first one is bad at this height in rows 10 to 100, and at another from row `at` on."""
    later = np.full((200, 2), 0.5)
    later[10:101, 0] = first
    later[at:101, 0] = second
    return later


def test_what_becomes_far_worse_after_a_quiet_time_is_told_again() -> None:
    said = judged(after(7.0, 1e3, 60))
    at = times(WEEK, 200)
    assert told(said) == [
        ("a", at[10], at[10], at[10], None),
        ("a", at[10], at[10], at[59], at[60]),
        ("a", at[60], at[60], at[60], None),
        ("a", at[60], at[60], at[100], at[120]),
    ]
    assert [e.row for e in said] == [10, 60, 60, 120]


@pytest.mark.parametrize(("first", "second", "at"), [(7.0, 7.0, 60), (7.0, 6.8, 60), (7.0, 1e3, 12)])
def test_what_goes_on_as_it_was_or_is_still_beginning_is_not(first: float, second: float, at: int) -> None:
    assert len(judged(after(first, second, at))) == 2


def test_what_needs_two_bad_rows_is_not_told_again_for_one_that_is_worse() -> None:
    spike, lasting = after(7.0, 7.0, 60), after(7.0, 1e3, 60)
    spike[60, 0] = 1e3
    assert len(judged(spike, raise_rows=2)) == 2
    assert len(judged(lasting, raise_rows=2)) == 4


def test_an_interruption_ends_the_episode_that_was_told_last() -> None:
    judging = Judging(Promise(0.5)).learn(Scores(UNITS, noise(WEEK)), times(0, WEEK))
    judging.judge(Scores(UNITS, after(7.0, 1e3, 60)[:80]), times(WEEK, 80))
    (ended,), doubtful = judging.interrupt(int(times(WEEK + 80, 1)[0]))
    assert (ended.raised_ns, doubtful) == (times(WEEK, 80)[60], [])
    fresh = judging.judge(Scores(UNITS, after(7.0, 7.0, 60)), times(WEEK + 90, 200))
    assert len(fresh.episodes) == 2


def test_a_unit_that_is_no_longer_there_ends_once() -> None:
    episodes, escalations = Episodes(1, QUIET_ROWS), Escalations(QUIET_ROWS * STEP_NS)
    said: list[Episode] = []
    for first, units in ((0, UNITS), (50, UNITS[1:])):
        bad = np.zeros((50, len(units)), dtype=bool)
        bad[5:, 0] = first == 0
        found = episodes.advance(units, bad, np.ones_like(bad), times(first, 50))
        said += escalations.renew(episodes, found, units, bad, np.full(bad.shape, 1e-3), times(first, 50))
    assert [e.cleared_ns is None for e in said] == [True, False]
    assert (episodes.active, escalations.lasting) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.sampled_from([1.0, 1e-3, 1e-4, 1e-6, 1e-12, 0.0])), min_size=1, max_size=12),
    st.lists(st.integers(1, 60), max_size=6),
)
def test_blocks_of_any_size_and_restarts_say_the_same_and_every_episode_ends_once(runs: list[tuple[int, float]], sizes: list[int]) -> None:
    tail = np.repeat([chance for _, chance in runs], [rows for rows, _ in runs])[:, None]
    tail = np.concatenate([tail, np.ones((QUIET_ROWS + 1, 1))])

    def said(sizes: list[int]) -> list[Episode]:
        episodes, escalations, first, parts = Episodes(1, QUIET_ROWS), Escalations(QUIET_ROWS * STEP_NS), 0, []
        for size in [*sizes, len(tail)]:
            part = tail[first : first + size]
            time_ns, bad = times(first, len(part)), part < 1e-2
            found = episodes.advance(UNITS[:1], bad, np.ones_like(bad), time_ns)
            parts += escalations.renew(episodes, found, UNITS[:1], bad, part, time_ns)
            kept = unpack(pack({"episodes": episodes.state(), "escalations": escalations.state()}))
            episodes, escalations = Episodes(1, QUIET_ROWS), Escalations(QUIET_ROWS * STEP_NS)
            episodes.restore(kept["episodes"])
            escalations.restore(kept["escalations"])
            first += len(part)
        return parts

    whole = said([])
    assert told(said(sizes)) == told(whole)
    assert [e.cleared_ns is None for e in whole] == [True, False] * (len(whole) // 2)
    assert all(begun.raised_ns == ended.raised_ns <= ended.last_ns for begun, ended in zip(whole[::2], whole[1::2], strict=True))
