"""Up to when all streams have been judged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.correlate.watermark import Watermark
from tests.daemon.reports import S


def of_replay() -> Watermark:
    return Watermark(max_wait_ns=None, idle_after_ns=None)


def live(max_wait_s: float = 10, idle_after_s: float = 60) -> Watermark:
    return Watermark(max_wait_ns=int(max_wait_s * S), idle_after_ns=int(idle_after_s * S))


def test_nothing_is_known_before_the_first_progress() -> None:
    assert of_replay().now_ns(0) is None
    assert live().now_ns(0) is None


def test_a_replay_waits_for_the_slowest_stream_however_long() -> None:
    watermark = of_replay()
    watermark.advance("slow", 5 * S, 0)
    watermark.advance("fast", 5000 * S, 0)
    assert watermark.now_ns(10**6 * S) == 5 * S


def test_progress_does_not_go_back() -> None:
    watermark = of_replay()
    watermark.advance("a", 9 * S, 0)
    watermark.advance("a", 5 * S, 0)
    assert watermark.now_ns(0) == 9 * S


@pytest.mark.parametrize(("slow_s", "reached_s"), [(995, 995), (990, 990), (900, 990)])
def test_a_stream_that_hangs_delays_the_others_by_the_longest_wait_and_no_more(slow_s: int, reached_s: int) -> None:
    watermark = live(max_wait_s=10)
    watermark.advance("slow", slow_s * S, 0)
    watermark.advance("fast", 1000 * S, 0)
    assert watermark.now_ns(0) == reached_s * S


@pytest.mark.parametrize(("wall_s", "reached_s"), [(60, 995), (61, 1000)])
def test_a_stream_that_is_not_heard_of_is_not_waited_for(wall_s: int, reached_s: int) -> None:
    watermark = live(idle_after_s=60)
    watermark.advance("gone", 995 * S, 0)
    watermark.advance("there", 1000 * S, wall_s * S)
    assert watermark.now_ns(wall_s * S) == reached_s * S


def test_a_stream_that_says_the_same_again_is_heard_of() -> None:
    watermark = live(idle_after_s=60)
    watermark.advance("stuck", 995 * S, 0)
    watermark.advance("there", 1000 * S, 50 * S)
    watermark.advance("stuck", 995 * S, 50 * S)
    assert watermark.now_ns(100 * S) == 995 * S


def test_where_all_are_silent_what_is_known_is_complete() -> None:
    watermark = live(idle_after_s=60)
    watermark.advance("a", 995 * S, 0)
    watermark.advance("b", 1000 * S, 0)
    assert watermark.now_ns(1000 * S) == 1000 * S


def test_repeats_are_recognised_for_each_stream() -> None:
    watermark = of_replay()
    assert not watermark.is_repeat("a", 1)
    watermark.advance("a", 100, 0)
    assert watermark.is_repeat("a", 100)
    assert not watermark.is_repeat("a", 101)
    assert not watermark.is_repeat("b", 100)


def test_goes_on_from_a_saved_state_and_waits_for_all_again() -> None:
    before = live(max_wait_s=100, idle_after_s=60)
    before.advance("a", 995 * S, 0)
    before.advance("b", 1000 * S, 0)
    after = live(max_wait_s=100, idle_after_s=60)
    after.restore(before.state(), 10**6 * S)
    assert after.now_ns(10**6 * S) == 995 * S
    assert after.is_repeat("a", 995 * S)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1000)), min_size=1))
def test_it_is_never_beyond_the_fastest_nor_further_behind_than_allowed(steps: list[tuple[str, int]]) -> None:
    replay, running = of_replay(), live(max_wait_s=10)
    newest: dict[str, int] = {}
    for stream, at_s in steps:
        newest[stream] = max(at_s, newest.get(stream, 0))
        for watermark in (replay, running):
            watermark.advance(stream, at_s * S, 0)
        assert replay.now_ns(0) == min(newest.values()) * S
        assert running.now_ns(0) == max(min(newest.values()), max(newest.values()) - 10) * S
