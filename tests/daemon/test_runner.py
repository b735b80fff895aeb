"""A stage in a thread: it goes on until it is stopped, and is built anew after a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import REGISTRY

from daemon import runner as module
from daemon.runner import StageRunner

PATIENCE_S = 20.0


class Scripted:
    """A stage whose steps are taken from a list of things to do; None is a step without anything."""

    name = "scripted"

    def __init__(self, steps: Iterator[Callable[[], int] | None]) -> None:
        self._steps = steps
        self.stepped = threading.Event()
        self.ended: list[str] = []

    def step(self, timeout_s: float) -> int:
        what = next(self._steps, None)
        self.stepped.set()
        if what is None:
            time.sleep(min(timeout_s, 0.001))
            return 0
        return what()

    def close(self) -> None:
        self.ended.append("closed")


class Abandoning(Scripted):
    """One that can let go without saving."""

    def abandon(self) -> None:
        self.ended.append("abandoned")


def fail() -> int:
    raise ValueError("half\na step")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardly a pause after a failure."""
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.001)
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)


class Workshop:
    """Builds stages for a runner and keeps them."""

    def __init__(self, kind: type[Scripted], *scripts: list[Callable[[], int] | None]) -> None:
        self.built: list[Scripted] = []
        self.enough = threading.Event()
        self._kind, self._scripts = kind, scripts
        self.runner = StageRunner("scripted", self.build)

    def build(self) -> Scripted:
        number = len(self.built)
        stage = self._kind(iter(self._scripts[number] if number < len(self._scripts) else []))
        self.built.append(stage)
        if number + 1 >= len(self._scripts):
            self.enough.set()
        return stage

    def run(self) -> None:
        """Until the last stage has taken a step, and then to the end."""
        self.runner.start()
        assert self.enough.wait(PATIENCE_S)
        assert self.built[-1].stepped.wait(PATIENCE_S)


def test_steps_until_it_is_stopped_and_then_closes() -> None:
    shop = Workshop(Abandoning, [])
    shop.run()
    assert shop.runner.stage is shop.built[0]
    assert shop.runner.stop()
    assert [stage.ended for stage in shop.built] == [["closed"]]
    assert (shop.runner.failures, shop.runner.error) == (0, "")


@pytest.mark.parametrize(("kind", "ended"), [(Abandoning, ["abandoned"]), (Scripted, ["closed"])])
def test_one_that_fails_is_let_go_without_saving_and_built_anew(kind: type[Scripted], ended: list[str]) -> None:
    shop = Workshop(kind, [None, fail], [fail], [])
    shop.run()
    assert shop.runner.stop()
    assert [stage.ended for stage in shop.built] == [ended, ended, ["closed"]]
    assert shop.runner.failures == 2


def test_one_that_cannot_be_built_is_tried_again_and_the_reason_is_told() -> None:
    attempts, told = [], []
    built = threading.Event()

    def build() -> Scripted:
        attempts.append(1)
        told.append(runner.error)
        if len(attempts) < 3:
            raise OSError("database\nis locked")
        built.set()
        return Scripted(iter([]))

    runner = StageRunner("scripted", build)
    runner.start()
    assert built.wait(PATIENCE_S)
    assert runner.stop()
    assert told == ["", "OSError: database is locked", "OSError: database is locked"]
    assert (runner.failures, runner.error) == (2, "")


def test_one_that_cannot_even_be_let_go_is_built_anew() -> None:
    class Stuck(Scripted):
        def abandon(self) -> None:
            fail()

    shop = Workshop(Stuck, [fail], [])
    shop.run()
    assert shop.runner.stop()
    assert len(shop.built) == 2


def test_one_that_cannot_be_closed_still_ends() -> None:
    class Stubborn(Scripted):
        def close(self) -> None:
            fail()

    shop = Workshop(Stubborn, [])
    shop.run()
    assert shop.runner.stop()


def test_a_pause_after_a_failure_ends_when_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 3600.0)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 3600.0)
    shop = Workshop(Scripted, [fail])
    shop.run()
    assert shop.runner.stop(PATIENCE_S)


def test_one_that_hangs_is_seen_and_not_waited_for_beyond_the_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, now_s = threading.Event(), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    shop = Workshop(Scripted, [lambda: int(go_on.wait(PATIENCE_S))])
    shop.run()
    now_s[0] = 175.0
    assert shop.runner.stuck_s == 75.0
    assert shop.runner.stop(timeout_s=0.01) is False
    go_on.set()
    assert shop.runner.stop()


def test_what_it_read_is_counted() -> None:
    labels = {"stage": "scripted"}
    before = REGISTRY.get_sample_value("shiftwatch_stage_records_total", labels) or 0.0
    done = threading.Event()

    def finish() -> int:
        done.set()
        return 0

    shop = Workshop(Scripted, [lambda: 7, lambda: 5, finish])
    shop.run()
    assert done.wait(PATIENCE_S)
    assert shop.runner.stop()
    assert REGISTRY.get_sample_value("shiftwatch_stage_records_total", labels) == before + 12
