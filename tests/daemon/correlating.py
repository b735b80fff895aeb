"""The correlate stage on a bus and a database, for tests."""

from __future__ import annotations

from pathlib import Path

from daemon import messages
from daemon.bus.memory import MemoryBus
from daemon.correlate.knowledge import Knowledge
from daemon.correlate.stage import CorrelateStage
from daemon.messages import FindingReport, Progress
from daemon.records import Incident, Label
from daemon.settings import Settings
from daemon.store.store import Store
from detectors.finding import Finding, Severity
from tests.daemon.reports import finding

SETTINGS = Settings.model_validate(
    {
        "experiment": "DEMO",
        "causality": [{"cause": {"place": "DEMO/HV/ch{n}"}, "effect": {"place": place}} for place in ("DEMO/EB/{n}", "DEMO/DAQ/FED 6{n}")],
        "correlation": {"join_window_s": 60, "reopen_window_s": 120},
    }
)
Message = FindingReport | Progress | Label


def trip(number: int, since: float) -> list[Finding]:
    """A channel that trips, its dead region and its busy front end."""
    return [
        finding(f"DEMO/HV/ch{number:02d}", "hv_trip", since=since, source="hv", severity=Severity.CRITICAL),
        finding(f"DEMO/EB/{number:02d}", "dead_region", since=since + 8, source="dqm"),
        finding(f"DEMO/DAQ/FED 6{number:02d}", "dead_time", since=since + 3, source="daq"),
    ]


class Site:
    """A bus, a database and the stage on them."""

    def __init__(self, folder: Path, bus: MemoryBus | None = None, *, wait_for_all: bool = True) -> None:
        self.bus = bus or MemoryBus()
        self.store = Store(f"sqlite:///{folder}/incidents.db")
        self._wait_for_all = wait_for_all
        self._told = self.bus.subscribe(["incidents", "dead-letters"], None)
        self.stage = self.new_stage()
        self.stage.step(0.0)

    def new_stage(self) -> CorrelateStage:
        return CorrelateStage(SETTINGS, self.bus, self.store, Knowledge(), wait_for_all=self._wait_for_all)

    def crash(self) -> None:
        """The stage is gone without a chance to save, and its place in the group is given to a new one."""
        self.stage.abandon()
        self.stage = self.new_stage()

    def say(self, *said: Message) -> None:
        for message in said:
            topic = "feedback" if isinstance(message, Label) else "findings"
            self.bus.publish(topic, "key", messages.encode(message))
        self.work()

    def work(self) -> None:
        while self.stage.step(0.0):
            pass

    @property
    def incidents(self) -> list[Incident]:
        return self.store.incidents(merged=True)

    def told(self, topic: str = "incidents") -> list[bytes]:
        return [record.value for record in self._told.poll(0.0, 10_000) if record.topic == topic]

    def close(self) -> None:
        self.stage.close()
        self._told.close()
        self.bus.close()
        self.store.close()
