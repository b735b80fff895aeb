"""The process ends in the middle of acting, at every step: afterwards there is exactly one drain and one plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.bus.memory import MemoryBus
from daemon.optimizer.stage import OptimizeStage
from daemon.records import LabelKind, PlanState
from daemon.store.store import Store
from tests.daemon.optimizer.machines import Crash, Machines
from tests.daemon.optimizer.sites import Site, optimizer_settings


@pytest.fixture
def machines() -> Machines:
    return Machines()


@pytest.fixture
def site(machines: Machines, tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, optimizer_settings(act=True), machines)
    yield made
    made.close()


def crashing(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, nth: int, *, after: bool) -> Callable[[], None]:
    """Makes the nth call of a method end the process, before or after it did its work; returns what mends it."""
    original = getattr(owner, method)
    calls = 0

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth and not after:
            raise Crash
        result = original(self, *args, **kwargs)
        if calls == nth:
            raise Crash
        return result

    monkeypatch.setattr(owner, method, wrapped)
    return lambda: monkeypatch.setattr(owner, method, original)


def fail_and_crash(site: Site, mend: Callable[[], None], deed: Callable[[], object]) -> bool:
    """Does it; where the process ended in between, starts a new one. Whether it ended."""
    try:
        deed()
    except Crash:
        ended = True
    else:
        ended = False
    mend()
    site.restart()
    site.work()
    site.work()
    return ended


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_crash_at_any_write_of_the_plan(site: Site, machines: Machines, monkeypatch: pytest.MonkeyPatch, nth: int, after: bool) -> None:
    """The first write is the proposal, the second the intention, the third that it was done."""
    mend = crashing(monkeypatch, Store, "put_plan", nth, after=after)
    assert fail_and_crash(site, mend, lambda: site.fail("n1"))
    assert machines.acted == ["drain n1"]
    assert site.plan().state is PlanState.ACTIVE
    assert machines.nodes["n1"].plan_key == site.plan().key
    assert site.incident().condition == "disk_failing"


@pytest.mark.parametrize("nth", range(1, 7))
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_save(site: Site, machines: Machines, monkeypatch: pytest.MonkeyPatch, nth: int, after: bool) -> None:
    mend = crashing(monkeypatch, OptimizeStage, "_save", nth, after=after)
    fail_and_crash(site, mend, lambda: site.fail("n1"))
    assert machines.acted == ["drain n1"]
    assert site.plan().state is PlanState.ACTIVE
    assert len(site.store.incidents()) == 1


@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
def test_a_crash_around_the_drain_itself(site: Site, machines: Machines, when: str) -> None:
    setattr(machines, when, "drain")
    assert fail_and_crash(site, lambda: setattr(machines, when, ""), lambda: site.fail("n1"))
    assert machines.acted == ["drain n1"]
    assert (site.plan().state, site.plan().acted) == (PlanState.ACTIVE, True)


@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
def test_a_crash_around_the_resume(site: Site, machines: Machines, when: str) -> None:
    site.fail("n1")
    setattr(machines, when, "resume")
    assert fail_and_crash(site, lambda: setattr(machines, when, ""), lambda: site.label(LabelKind.NOT_A_PROBLEM, site.incident()))
    assert machines.acted == ["drain n1", "resume n1"]
    assert (site.plan().state, site.plan().outcome) == (PlanState.ENDED, "resumed by shiftwatch: Ada said not a problem")


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_write_while_it_is_undone(
    site: Site, machines: Machines, monkeypatch: pytest.MonkeyPatch, nth: int, after: bool
) -> None:
    site.fail("n1")
    mend = crashing(monkeypatch, Store, "put_plan", nth, after=after)
    assert fail_and_crash(site, mend, lambda: site.label(LabelKind.NOT_A_PROBLEM, site.incident()))
    assert machines.acted == ["drain n1", "resume n1"]
    assert site.plan().state is PlanState.ENDED
    assert site.incidents == []


@pytest.mark.parametrize("nth", range(1, 5))
def test_a_crash_while_it_is_told_tells_it_once(site: Site, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    publish = MemoryBus.publish
    calls = 0

    def wrapped(self: MemoryBus, topic: str, key: str, value: bytes | None) -> None:
        nonlocal calls
        if topic == "findings" and key == "optimizer":
            calls += 1
            if calls == nth:
                raise Crash
        publish(self, topic, key, value)

    monkeypatch.setattr(MemoryBus, "publish", wrapped)
    fail_and_crash(site, monkeypatch.undo, lambda: site.fail("n1"))
    assert len(site.store.incidents(merged=True)) == 1
    joined = [entry for entry in site.incident().timeline if entry.what.startswith("joins")]
    assert len(joined) == 1


def test_a_node_that_cannot_be_drained_is_tried_again(site: Site, machines: Machines) -> None:
    machines.refusal = "scontrol: Invalid user id"
    site.fail("n1")
    assert (site.plan().state, site.plan().outcome) == (PlanState.PROPOSED, "could not be drained: scontrol: Invalid user id")
    assert "Invalid user id" in site.incident().why
    machines.refusal = ""
    site.work(120)
    assert site.plan().state is PlanState.ACTIVE


def test_a_node_that_cannot_be_resumed_is_tried_again(site: Site, machines: Machines) -> None:
    (found,) = site.fail("n1")
    machines.refusal = "scontrol: no answer within 15 s"
    site.mend(found)
    assert "failed: scontrol" in site.plan().outcome
    machines.refusal = ""
    site.work(120)
    assert machines.acted == ["drain n1", "resume n1"]
    assert site.plan().outcome == "resumed by shiftwatch: what put it at risk is over"
