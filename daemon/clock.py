"""Clocks. All logic takes one as an argument: a replay, a test and a demonstration run on times of their own."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What time it is, and waiting for it to pass."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970, UTC."""

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Waits for this much of this clock's time; True where `stop` was set meanwhile."""

    @property
    def speed(self) -> float:
        """Seconds of this clock in one second of wall time."""


class SystemClock:
    """Wall time."""

    speed = 1.0

    def now_ns(self) -> int:
        """Nanoseconds since 1970, UTC."""
        return time.time_ns()

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Waits in wall time."""
        return stop.wait(seconds)


class ScaledClock:
    """Time that starts at `origin_data_ns` when wall time is `origin_wall_ns` and runs `speed` times as fast.

    Processes that share the three numbers share the clock.
    """

    def __init__(self, origin_wall_ns: int, origin_data_ns: int, speed: float) -> None:
        if speed <= 0:
            raise ValueError(f"speed {speed} of a clock")
        self._origin_wall_ns = origin_wall_ns
        self._origin_data_ns = origin_data_ns
        self.speed = speed

    def now_ns(self) -> int:
        """Nanoseconds since 1970, UTC, of the scaled time."""
        return self._origin_data_ns + int((time.time_ns() - self._origin_wall_ns) * self.speed)

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Waits for this much scaled time."""
        return stop.wait(seconds / self.speed)
