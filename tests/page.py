"""The page for tests: the web stage on a memory bus and a database of its own, with stages around it that say they are alive."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from daemon import messages
from daemon.bus.memory import MemoryBus
from daemon.clock import SystemClock
from daemon.correlate.knowledge import Knowledge
from daemon.correlate.stage import CorrelateStage
from daemon.messages import FindingReport, Progress, StageStatus
from daemon.records import Incident, IncidentState, Label, TimelineEntry
from daemon.runner import Stage
from daemon.settings import Settings, parse
from daemon.store.store import Store
from daemon.web.stage import WebStage
from detectors.finding import Certainty, Finding, Severity

S = 1_000_000_000
CONFIG = """
experiment = "CMS"
time_zone = "Europe/Zurich"

[web]
port = 0

[correlation]
max_wait_s = 0

[source.hv]
collector = "pushed"
place = "CMS/HV"
silent_after_s = 30

[source.dqm]
collector = "pushed"
place = "CMS/ECAL"
silent_after_s = 30
"""
ESSENTIAL = ("collect", "detect", "correlate")
PATIENCE_S = 20.0


def incident(incident_id: str = "a1b2c3", *, now_ns: int | None = None, age_s: float = 360, **changes: Any) -> Incident:
    """An incident that opened `age_s` ago."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    started_ns = now_ns - int(age_s * S)
    made = Incident(
        id=incident_id,
        revision=1,
        state=IncidentState.OPEN,
        severity=Severity.CRITICAL,
        certainty=Certainty.SURE,
        condition="fed_stuck",
        cause_place="CMS/Tracker/TIBTID/FED101",
        cause_channel="FED 101",
        sentence="No triggers: TIBTID FED 101 is stuck in WARNING",
        why="It went to warning 4 s before the rate fell; 3 front ends only wait for it. Sure (daq).",
        decision="Stop and start the run, recycle Tracker; if it comes back, call the Tracker on-call.",
        runbook="fed-stuck",
        places=("CMS/Tracker/TIBTID/FED101", "CMS/DAQ/FED7", "CMS/DAQ/FED8", "CMS/ECAL/EB"),
        victims=("CMS/DAQ/FED7", "CMS/DAQ/FED8", "CMS/ECAL/EB"),
        detectors=("daq",),
        findings=("f1",),
        started_ns=started_ns,
        opened_ns=started_ns + 4 * S,
        updated_ns=started_ns + 4 * S,
        timeline=(TimelineEntry(started_ns + 4 * S, "shiftwatch", "opened: FED 101 is stuck in WARNING"),),
        reading="dead-time 100 %",
        cause_finding="f1",
    )
    return replace(made, **changes)


def resolved(made: Incident, after_s: float = 180) -> Incident:
    """The same, over after a while."""
    ended_ns = made.started_ns + int(after_s * S)
    return replace(made, revision=made.revision + 1, state=IncidentState.RESOLVED, resolved_ns=ended_ns, updated_ns=ended_ns)


class RunningPage:
    """A page that is served. The stages around it say that they are alive until `silence` is called."""

    def __init__(self, folder: Path, config: str = CONFIG, *, correlating: bool = False) -> None:
        self.settings: Settings = parse(config)
        self.bus = MemoryBus(self.settings.bus.memory)
        self.store = Store(f"sqlite:///{folder}/page.db")
        self._feedback = self.bus.subscribe(["feedback"], None)
        self._stages: list[Stage] = []
        if correlating:
            self._stages.append(CorrelateStage(self.settings, self.bus, self.store, Knowledge()))
        self._stop = threading.Event()
        self._spoke_s = 0.0
        self._speaking = True
        self._streams: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._run, name="page-test", daemon=True)
        self._web: WebStage | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._web = WebStage(self.settings, self.bus, self.store, SystemClock())
        self._thread.start()
        self.until(lambda: self.web.url and not self._snapshot_stale(), "the page is there")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self._feedback.close()
        self.bus.close()
        self.store.close()
        assert self._error is None, f"a stage failed: {self._error!r}"

    @property
    def web(self) -> WebStage:
        assert self._web is not None
        return self._web

    @property
    def url(self) -> str:
        return self.web.url

    def stop(self) -> None:
        """Ends the page (the database and the bus stay)."""
        self._stop.set()
        self._thread.join(15)
        assert not self._thread.is_alive(), "the page does not end"

    def silence(self) -> None:
        """The other stages are heard no more, and were heard last a minute ago."""
        self._speaking = False
        self._speak(time.time_ns() - 60 * S)

    def show(self, *incidents: Incident) -> None:
        """As the correlate stage does it: into the database, then onto the bus."""
        with self.store.transaction() as connection:
            for each in incidents:
                self.store.put_incident(connection, each)
        for each in incidents:
            self.bus.publish("incidents", each.id, messages.encode(each))
        known = {each.id: each.revision for each in incidents}
        self.until(lambda: all(known.get(i.id, 0) <= i.revision for i in self._live() if i.id in known), "incidents heard")
        self.until(lambda: {i.id for i in incidents if not i.merged_into} <= {i.id for i in self._live()}, "incidents there")

    def report(self, found: Finding) -> None:
        """A finding, for a page whose incidents are made by the correlate stage."""
        self.bus.publish("findings", found.source, messages.encode(FindingReport(found.source, found.raised_ns, found)))
        self.bus.publish("findings", found.source, messages.encode(Progress(found.source, found.raised_ns + 1)))

    def labels(self) -> list[Label]:
        """Labels on the feedback topic since the last call."""
        said = [messages.decode(record.value) for record in self._feedback.poll(0.5)]
        return [label for label in said if isinstance(label, Label)]

    def streams(self, *streams: dict[str, Any]) -> None:
        """What the detect stage says of its streams from now on."""
        self._streams = list(streams)
        self._speak(time.time_ns())

    def until(self, condition: Any, what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert self._error is None, f"a stage failed: {self._error!r}"
            assert time.monotonic() < deadline_s, f"waited in vain: {what}"
            time.sleep(0.02)

    def _live(self) -> tuple[Incident, ...]:
        return self.web.site.live.snapshot().incidents

    def _snapshot_stale(self) -> bool:
        snapshot = self.web.site.live.snapshot()
        return not snapshot.ready or len({s.stage for s in snapshot.states}) < len(ESSENTIAL)

    def _run(self) -> None:
        stages = [*self._stages, self.web]
        try:
            while not self._stop.is_set():
                if self._speaking and time.monotonic() - self._spoke_s > 2:
                    self._speak(time.time_ns())
                for stage in stages:
                    stage.step(0.02)
        except BaseException as error:  # noqa: BLE001 - told by the test's thread
            self._error = error
        finally:
            for stage in reversed(stages):
                stage.close()

    def _speak(self, wall_ns: int) -> None:
        self._spoke_s = time.monotonic()
        for stage in ESSENTIAL:
            said: dict[str, Any] = {"stage": stage, "state": "running", "error": "", "failures": 0}
            if stage == "detect":
                said["streams"] = self._streams or [stream_status(name, wall_ns) for name in self.settings.source]
            message = StageStatus("host/1" if self._speaking else "host/0", stage, wall_ns, said)
            if not self._speaking:
                self.bus.publish("state", f"host/1/{stage}", None)
            self.bus.publish("state", f"{message.process}/{stage}", messages.encode(message))


def stream_status(name: str, newest_ns: int, **changes: Any) -> dict[str, Any]:
    """A stream that is well."""
    plain = {"stream": name, "rows": 1200, "findings": 0, "state": "watching", "last_ns": newest_ns, "problem": "", "detectors": ["limits"]}
    return plain | changes
