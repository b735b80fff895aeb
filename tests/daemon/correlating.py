"""A correlator that remembers, and the correlate stage on a bus and a database, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from daemon import messages
from daemon.bus.memory import MemoryBus
from daemon.correlate.correlator import Correlator
from daemon.correlate.graph import CausalityGraph
from daemon.correlate.grouping import Grouping
from daemon.correlate.knowledge import Knowledge
from daemon.correlate.stage import CorrelateStage
from daemon.messages import FindingReport, Progress
from daemon.records import Incident, Label
from daemon.sections import CausalitySettings
from daemon.settings import Settings
from daemon.store.store import Store
from detectors.finding import Certainty, Finding, Severity
from tests.daemon.reports import S, finding

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


REOPEN_S = 300
EDGES = [
    CausalitySettings.model_validate({"cause": {"place": "DEMO/ECAL/HV/ch{n}"}, "effect": {"place": "DEMO/ECAL/EB+/EB+{n}"}}),
    CausalitySettings.model_validate({"cause": {"place": "DEMO/ECAL/HV/ch{n}"}, "effect": {"place": "DEMO/DAQ/FED 6{n}"}}),
]
TRIP = finding("DEMO/ECAL/HV/ch03", "hv_trip", since=1000, name="ch03 VMon", source="hv", severity=Severity.CRITICAL)
DEAD = finding("DEMO/ECAL/EB+/EB+03", "dead_region", since=1010, source="dqm", certainty=Certainty.LIKELY)
BUSY = finding("DEMO/DAQ/FED 603", "dead_time", since=1005, source="daq")
DISK = finding("DEMO/COMPUTING/node2/sdb", "disk_failing", since=1000, source="disks")


class Told(Correlator):
    """A correlator that remembers what became of each incident, as the database does."""

    def __init__(self, edges: Sequence[CausalitySettings] = EDGES, *, join_window_s: float = 60) -> None:
        graph = CausalityGraph(edges, 60 * S)
        grouping = Grouping(graph, "DEMO", int(join_window_s * S))
        super().__init__(
            grouping, reopen_window_ns=REOPEN_S * S, decisions={"hv_trip": "Call HV."}, suggested={"dead_time": ("Wait.", "busy")}
        )
        self.latest: dict[str, Incident] = {}

    def feed(self, reports: Iterable[FindingReport]) -> list[Incident]:
        """Applies reports; every change, checked for a revision that grows."""
        changes = [incident for report in reports for incident in self.apply(report)]
        for change in changes:
            before = self.latest.get(change.id)
            assert before is None or change.revision > before.revision
            self.latest[change.id] = change
        return changes

    @property
    def whole(self) -> list[Incident]:
        """Incidents that did not become part of another one, in the order in which they opened."""
        return sorted((i for i in self.latest.values() if not i.merged_into), key=lambda i: (i.opened_ns, i.id))

    def only(self) -> Incident:
        (incident,) = self.whole
        return incident


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
