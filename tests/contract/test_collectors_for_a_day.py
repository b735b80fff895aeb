"""A day of collection, compressed: nothing that a collector opens or remembers grows with its turns, whether the source is
well, spoilt, gone or back again."""

from __future__ import annotations

import gc
import logging
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from collectors.collector import CollectError
from daemon.bus.bus import Bus
from daemon.collect.publisher import Publisher
from daemon.collect.source import Source
from daemon.sections import SourceSettings
from tests.collectors.case import Case
from tests.collectors.cases import CASES
from tests.daemon.collecting import ManualClock

PERIOD_S = 1200
TURNS = 24 * 3600 // PERIOD_S
SETTLING_TURNS = 24
"""Until caches, pools and compiled code are there."""


@pytest.fixture(params=CASES, ids=lambda case: case.kind.__name__)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    built: Case = request.param(tmp_path)
    yield built
    built.stop()


@contextmanager
def tracing() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def held() -> tuple[int, int, int]:
    """Bytes, file handles and threads that are in use."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0], len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


class Sink:
    """A bus that keeps nothing."""

    def publish(self, _topic: str, _key: str, _value: bytes) -> None:
        """Drops it."""


class Day:
    """Turns of one source, as the daemon takes them, twenty minutes of its clock apart."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.clock = ManualClock(time.time())
        publisher = Publisher(cast("Bus", Sink()), "source-7", "frames", 1, self.clock.now_ns)
        settings = SourceSettings(collector="any", period_s=PERIOD_S, max_clock_skew_s=1e9)
        self.source = Source("source-7", settings, case.build(), publisher, self.clock)

    def turns(self, first: int, last: int) -> None:
        for turn in range(first, last):
            self._show(turn)
            self.source.run()
            self.source.heartbeat()
            self.clock.now_s += PERIOD_S

    def _show(self, turn: int) -> None:
        """Well every other turn; else a value that is none, and now and then half an answer, which servers take their time for."""
        if turn % 24 == 7:
            self.case.half()
        elif turn % 2:
            self.case.bad("nan" if turn % 4 == 1 else "text")
        else:
            self.case.good()


@pytest.mark.slow
def test_a_day_leaves_nothing_behind(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)  # pytest keeps every line that is logged
    day = Day(case)
    try:
        with tracing():
            day.turns(0, SETTLING_TURNS)
            size, handles, threads = held()
            day.turns(SETTLING_TURNS, TURNS)
            size_after, handles_after, threads_after = held()
    finally:
        day.source.close()
    assert (size_after - size) / (TURNS - SETTLING_TURNS) < case.bytes_a_turn
    assert handles_after <= handles + 2  # a connection may just be open or closed
    assert threads_after <= threads + 1


def test_what_is_closed_holds_nothing(case: Case) -> None:
    threads = set(threading.enumerate())
    handles = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        collector = case.build()
        try:
            case.good()
            list(collector.collect())
        except CollectError:
            pytest.fail("a good source cannot be read")
        finally:
            collector.close()
    deadline = time.monotonic() + 20
    while (left := _left(threads, handles)) and time.monotonic() < deadline:
        time.sleep(0.05)  # threads and connections may take a moment to end
        gc.collect()
    assert not left


def _left(threads: set[threading.Thread], handles: int) -> list[str]:
    """Threads and more than a few handles that were not there before; those of the test's own servers do not count."""
    names = [thread.name for thread in set(threading.enumerate()) - threads]
    open_now = len(list(Path("/proc/self/fd").iterdir()))
    return [name for name in names if "process_request" not in name and "serve_forever" not in name] + (
        [f"{open_now - handles} handles"] if open_now > handles + 4 else []
    )
