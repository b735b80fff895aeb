"""The notify stage with receivers that remember, and incidents to tell of, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from collectors.collector import Options
from daemon import messages
from daemon.bus.bus import Record, read_existing
from daemon.bus.memory import MemoryBus
from daemon.notify.receiver import ReceiverError, Silence, Told
from daemon.notify.stage import NotifyStage
from daemon.records import Incident, IncidentState
from daemon.store.store import Store
from detectors.finding import Certainty, Severity
from tests.daemon.reports import S

OPEN = Incident(
    id="3fa4",
    revision=1,
    state=IncidentState.OPEN,
    severity=Severity.WARNING,
    certainty=Certainty.SURE,
    condition="hv_trip",
    cause_place="DEMO/HV/ch03",
    cause_channel="ch03",
    sentence="ch03 has tripped",
    why="Sure.",
    decision="Call HV.",
    runbook="hv-trip",
    places=("DEMO/HV/ch03",),
    victims=(),
    detectors=("limits",),
    findings=("a",),
    started_ns=1000 * S,
    opened_ns=1010 * S,
    updated_ns=1010 * S,
)
DETAIL = replace(OPEN, revision=2, findings=("a", "b"))
WORSE = replace(OPEN, revision=3, severity=Severity.CRITICAL)
OWNED = replace(WORSE, revision=4, state=IncidentState.ACKNOWLEDGED, owner="Ada")
RESOLVED = replace(OWNED, revision=5, state=IncidentState.RESOLVED, resolved_ns=1100 * S)
OTHER = replace(OPEN, id="77b0", cause_place="DEMO/DAQ")


class Listener:
    """A receiver that remembers what it was told, and fails when it is made to."""

    options_model: ClassVar[type[Options]] = Options
    details: ClassVar[bool] = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.told: list[tuple[str, int]] = []
        self.references: list[str] = []
        self.doubts: list[bool] = []
        self.closed = False
        self.failure: Exception | None = None
        self.refuses = ""
        self.attempts = 0

    def tell(self, incident: Incident, told: Told) -> str:
        self.attempts += 1
        if self.failure is not None and self.refuses in ("", incident.id):
            raise self.failure
        self.told.append((incident.id, incident.revision))
        self.references.append(told.reference)
        self.doubts.append(told.in_doubt)
        return f"post {incident.id}"

    def close(self) -> None:
        self.closed = True


class Curious(Listener):
    """A receiver that wants details too."""

    details: ClassVar[bool] = True


class Silencer(Listener):
    """A receiver that has to be told over and over, and where people silence things."""

    keep_alive_s = 60.0

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.silenced: dict[str, Silence] = {}
        self.alive: list[list[str]] = []
        self.broken = False
        self.listens = 0

    def silences(self, incidents: Sequence[Incident]) -> dict[str, Silence]:
        if self.broken:
            raise ReceiverError("no answer")
        return {i.id: self.silenced[i.id] for i in incidents if i.id in self.silenced}

    def keep_alive(self, lasting: Sequence[Incident]) -> None:
        if self.failure is not None and not self.refuses:
            raise self.failure
        self.alive.append([incident.id for incident in lasting])

    def listen(self) -> None:
        self.listens += 1


class Office:
    """The notify stage with two receivers, and a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(f"sqlite:///{folder}/told.db")
        self.bus = MemoryBus()
        self.slack, self.console = Listener("slack"), Listener("console")
        self.silencer: Silencer | None = None
        self.others: list[Listener] = []
        self.now_s = 0.0
        self.stage = self.new_stage()
        self.work()

    def new_stage(self) -> NotifyStage:
        receivers = [self.slack, self.console, *([self.silencer] if self.silencer else []), *self.others]
        return NotifyStage(self.bus, self.store, receivers, now_ns=lambda: 1000 * S + int(self.now_s * S), now_s=lambda: self.now_s)

    def feedback(self) -> list[Record]:
        reader = self.bus.subscribe(["feedback"], None)
        found = read_existing(reader, 5.0)
        reader.close()
        return found

    def publish(self, *incidents: Incident) -> None:
        """As the correlate stage does: the database first."""
        lease = self.store.acquire("correlate", "test")
        for incident in incidents:
            with self.store.transaction(lease) as connection:
                self.store.put_incident(connection, incident)
            self.bus.publish("incidents", incident.id, messages.encode(incident))

    def say(self, *incidents: Incident) -> None:
        for incident in incidents:
            self.publish(incident)
            self.work()

    def work(self) -> None:
        while self.stage.step(0.0):
            pass

    def later(self, seconds: float) -> None:
        self.now_s += seconds
        self.work()

    def restart(self, *, new_bus: bool = False) -> None:
        """A new stage; with a new bus nothing is left of what was on it, as after the end of the process."""
        self.stage.close()
        if new_bus:
            self.bus.close()
            self.bus = MemoryBus()
        self.now_s += 1000
        self.stage = self.new_stage()
        self.work()

    def close(self) -> None:
        self.stage.close()
        self.bus.close()
        self.store.close()


def revisions(listener: Listener) -> list[int]:
    """Of what it was told."""
    return [revision for _, revision in listener.told]
