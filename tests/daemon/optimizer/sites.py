"""The optimize stage with correlate beside it on a bus and a database, a clock that the test moves, and findings of disks."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daemon import messages
from daemon.bus.memory import MemoryBus
from daemon.clock import Clock
from daemon.correlate.stage import CorrelateStage
from daemon.messages import FindingReport, Progress
from daemon.optimizer import switch
from daemon.optimizer.cluster import Cluster
from daemon.optimizer.stage import OptimizeStage, open_cluster
from daemon.optimizer.switch import Undone
from daemon.pipeline import knowledge_of
from daemon.records import Incident, IncidentState, Label, LabelKind, Plan
from daemon.settings import Settings
from daemon.store.store import Store
from detectors.finding import Contribution, Evidence, Finding, Severity
from tests.daemon.reports import S, cleared, finding, raised
from tests.slurm_cluster import NODES, SlurmServer

PLACE = "T2_X"
RATE = 400.0
"""Failures a year: one that a day's simulation sees."""


def disk(node: str, name: str = "sdb", *, since: float = 1000, rate: float | None = RATE) -> Finding:
    """A disk that fails, with its failure rate where one is known."""
    ranked = () if rate is None else (Contribution("annual_failure_ratio", f"{PLACE}/{node}/{name}", rate, 0.014, 1.0),)
    evidence = Evidence(f"{name} is failing", ranked)
    return finding(f"{PLACE}/{node}/{name}", "disk_failing", since=since, source="disks", severity=Severity.CRITICAL, evidence=evidence)


class TestClock(Clock):
    """A clock that stands still until it is moved."""

    __test__ = False
    speed = 1.0

    def __init__(self) -> None:
        self.at_ns = 1000 * S

    def now_ns(self) -> int:
        return self.at_ns

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        self.at_ns += int(seconds * S)
        return stop.is_set()


def optimizer_settings(**optimizer: Any) -> Settings:
    """A configuration with an optimizer: small simulations, one node of four may be drained."""
    section = {
        "cluster": "slurm",
        "samples": 20,
        "max_drained_ratio": 0.25,
        "valid_for_s": 3600,
        "period_s": 30,
        "load_ratio": 0.9,
        **optimizer,
    }
    section["drain"] = {"repair_s": 600, "unplanned_repair_s": 86400, "resume_after_s": 0, **optimizer.get("drain", {})}
    return Settings.model_validate({"experiment": "T0", "correlation": {"max_wait_s": 0.0}, "optimizer": section})


class Site:
    """Bus, database, correlate and optimize. `now_s` is the wall clock of the optimize stage."""

    def __init__(self, folder: Path, settings: Settings, cluster: Cluster | None = None) -> None:
        self.settings, self.cluster = settings, cluster
        self.bus = MemoryBus()
        self.store = Store(f"sqlite:///{folder}/site.db")
        self.clock = TestClock()
        self.now_s = 0.0
        self._heard = self.bus.subscribe(["findings", "plans", "incidents"], None)
        self.correlate = CorrelateStage(settings, self.bus, self.store, knowledge_of(settings))
        self.stage = self.new_stage()

    def new_stage(self) -> OptimizeStage:
        return OptimizeStage(self.settings, self.bus, self.store, self.clock, cluster=self.cluster, now_s=lambda: self.now_s)

    def restart(self, **optimizer: Any) -> None:
        """The process is gone without a chance to save; a new one, perhaps with another configuration."""
        self.stage.abandon()
        if optimizer:
            self.settings = optimizer_settings(**{**self.settings.optimizer.model_dump(exclude_unset=True), **optimizer})
        self.stage = self.new_stage()

    def say(self, *said: FindingReport | Label) -> None:
        """Tells of findings, with the progress of their stream, or of what a person says."""
        for message in said:
            if isinstance(message, Label):
                self.bus.publish("feedback", message.incident, messages.encode(message))
            else:
                self.clock.at_ns = max(self.clock.at_ns, message.at_ns)
                self.bus.publish("findings", message.stream, messages.encode(message))
        for stream, at_ns in {message.stream: message.at_ns for message in said if isinstance(message, FindingReport)}.items():
            self.bus.publish("findings", stream, messages.encode(Progress(stream, at_ns)))
        self.work()

    def work(self, seconds: float = 30.0) -> None:
        """Lets both stages do what there is to do, at once and once more after a while."""
        for passed_s in (0.0, seconds, 2.0):
            self.now_s += passed_s
            self.clock.at_ns += int(passed_s * S)
            for _ in range(4):
                while self.correlate.step(0.0):
                    pass
                self.stage.step(0.0)

    def fail(self, node: str, *names: str, since: float = 1000, rate: float | None = RATE) -> list[Finding]:
        """Disks of a node begin to fail."""
        found = [disk(node, name, since=since, rate=rate) for name in names or ("sdb",)]
        self.say(*(raised(one) for one in found))
        return found

    def mend(self, *found: Finding) -> None:
        """They are good again."""
        at = self.clock.at_ns / S + 10
        self.say(*(cleared(one, at + number) for number, one in enumerate(found)))

    def label(self, kind: LabelKind, incident: Incident, who: str = "Ada") -> None:
        """A person says something of an incident."""
        self.say(Label(f"{kind}{incident.revision}", incident.id, kind, who, self.clock.at_ns))

    def stop(self, who: str = "Ada") -> Undone:
        """A person stops the optimizer."""
        return switch.stop(self.store, self.cluster or open_cluster(self.settings.optimizer), who, self.clock.at_ns)

    @property
    def plans(self) -> list[Plan]:
        return self.store.plans()

    def plan(self) -> Plan:
        """The only plan there is."""
        (plan,) = self.plans
        return plan

    @property
    def incidents(self) -> list[Incident]:
        """Those that are not resolved."""
        return self.store.incidents([IncidentState.OPEN, IncidentState.ACKNOWLEDGED])

    def incident(self) -> Incident:
        """The only open one."""
        (incident,) = self.incidents
        return incident

    def reports(self) -> list[FindingReport]:
        """What the optimizer said as findings since this was asked last."""
        decoded = (messages.decode(record.value) for record in self._heard.poll(0.0, 100_000) if record.topic == "findings")
        return [message for message in decoded if isinstance(message, FindingReport) and message.stream == "optimizer"]

    def published(self) -> Sequence[Plan]:
        """Plans that were published since this was asked last."""
        decoded = (messages.decode(record.value) for record in self._heard.poll(0.0, 100_000) if record.topic == "plans")
        return [message for message in decoded if isinstance(message, Plan)]

    def close(self) -> None:
        self.stage.close()
        self.correlate.close()
        self._heard.close()
        self.bus.close()
        self.store.close()


def fail_again(site: Site, node: str = "n1") -> list[Finding]:
    """The same disk, in a new episode."""
    return site.fail(node, since=site.clock.at_ns / S)


def drained(slurm: SlurmServer) -> dict[str, str]:
    """Reasons of the drained nodes."""
    shown = {name: slurm.node(name) for name in NODES}
    return {name: reason for name, (state, reason) in shown.items() if "drain" in state}
