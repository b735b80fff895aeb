"""A simulated experiment that is stepped by the test instead of by a clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daemon.demo.schedule import Schedule, Scheduled
from daemon.demo.simulation import Simulation

START_NS = 1_790_000_000_000_000_000


class StoppedClock:
    """Time that does not pass."""

    speed = 1.0

    def now_ns(self) -> int:
        return START_NS

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        raise AssertionError(f"nothing waits here, but somebody did for {seconds} s until {stop}")


@dataclass
class Stepped:
    """A simulation with what it said."""

    simulation: Simulation
    folder: Path
    said: list[dict[str, Any]] = field(default_factory=list)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.said if event["event"] == name]

    @property
    def root_files(self) -> list[Path]:
        return sorted((self.folder / "dqm").glob("*.root"))


@pytest.fixture
def stepped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Stepped]:
    """Started and released; parametrise indirectly with the scheduled faults, or with (faults, lumisections of new runs)."""
    for name in ("EPICS_CA_SERVER_PORT", "EPICS_CAS_BEACON_ADDR_LIST", "EPICS_CAS_AUTO_BEACON_ADDR_LIST"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
    monkeypatch.setenv("EPICS_CA_SERVER_PORT", "5064")
    faults, new_runs = getattr(request, "param", ((), ()))
    said: list[dict[str, Any]] = []
    schedule = Schedule(1_000, tuple(Scheduled(*fault) for fault in faults), tuple(new_runs))
    simulation = Simulation(tmp_path, schedule, 7, StoppedClock(), said.append)
    simulation.start()
    simulation.release()
    yield Stepped(simulation, tmp_path, said)
    simulation.close()
