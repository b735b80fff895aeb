"""Clocks that run as fast as wanted, and that processes share."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.clock import ScaledClock, SystemClock

S = 1_000_000_000
WALL_NS = 1_790_000_000 * S
DATA_NS = 1_480_508_388 * S


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Wall time as the test sets it."""
    now = [WALL_NS]
    monkeypatch.setattr(time, "time_ns", lambda: now[0])
    return now


def test_the_clock_of_the_system_is_wall_time(wall: list[int]) -> None:
    assert SystemClock().now_ns() == WALL_NS
    wall[0] += 5
    assert SystemClock().now_ns() == WALL_NS + 5
    assert SystemClock().speed == 1.0


@pytest.mark.parametrize("speed", [0.5, 1.0, 116.5])
def test_a_scaled_clock_starts_at_its_origin_and_runs_at_its_speed(wall: list[int], speed: float) -> None:
    clock = ScaledClock(WALL_NS, DATA_NS, speed)
    assert clock.now_ns() == DATA_NS
    wall[0] += 10 * S
    assert clock.now_ns() == DATA_NS + int(10 * S * speed)
    wall[0] = WALL_NS - 2 * S
    assert clock.now_ns() == DATA_NS - int(2 * S * speed)


@given(st.lists(st.integers(0, 10**17), min_size=2), st.floats(0.001, 1000))
def test_it_never_runs_back(steps: list[int], speed: float) -> None:
    clock = ScaledClock(0, DATA_NS, speed)
    with pytest.MonkeyPatch.context() as patch:
        times = []
        for now in sorted(steps):
            patch.setattr(time, "time_ns", lambda now=now: now)
            times.append(clock.now_ns())
    assert times == sorted(times)


@pytest.mark.parametrize("speed", [0.0, -1.0])
def test_a_clock_that_stands_or_runs_back_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        ScaledClock(WALL_NS, DATA_NS, speed)


class Waited(threading.Event):
    """An event that notes for how long somebody would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return self.is_set()


def test_waiting_is_in_the_time_of_the_clock_and_ends_when_told() -> None:
    stop = Waited()
    assert SystemClock().wait(30, stop) is False
    assert ScaledClock(WALL_NS, DATA_NS, 10).wait(30, stop) is False
    stop.set()
    assert ScaledClock(WALL_NS, DATA_NS, 10).wait(30, stop) is True
    assert stop.seconds == [30, 3, 3]
