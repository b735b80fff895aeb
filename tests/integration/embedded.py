"""The daemon's stages in the test's own process and thread, on the memory bus, with a clock that the test moves."""

from __future__ import annotations

import threading
from pathlib import Path

from daemon import messages
from daemon.bus.memory import MemoryBus
from daemon.collect.ingest import Ingest
from daemon.collect.publisher import Publisher
from daemon.collect.source import Source, open_source
from daemon.correlate.stage import CorrelateStage
from daemon.detect.stage import DetectStage
from daemon.messages import DeadLetter
from daemon.pipeline import knowledge_of
from daemon.records import Incident
from daemon.settings import parse
from daemon.store.store import Store

S = 1_000_000_000
START_NS = 1_700_000_000 * S


class ManualClock:
    """Time that only the test moves."""

    speed = 1.0

    def __init__(self) -> None:
        self.time_ns = START_NS

    def now_ns(self) -> int:
        return self.time_ns

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        self.time_ns += int(seconds * S)
        return stop.is_set()

    @property
    def now_s(self) -> float:
        return self.time_ns / S

    def pass_s(self, seconds: float) -> None:
        self.time_ns += int(seconds * S)


class Embedded:
    """All stages; `run` lets a source read once and everything after it come to rest."""

    def __init__(self, config: str, folder: Path) -> None:
        self.settings = parse(config.replace("{folder}", str(folder)))
        self.clock = ManualClock()
        self.bus = MemoryBus(self.settings.bus.memory)
        self.store = Store(f"sqlite:///{folder}/embedded.db")
        self._letters = self.bus.subscribe(["dead-letters"], "test")
        publishers: dict[str, Publisher] = {}
        self.sources: dict[str, Source] = {}
        for name, section in self.settings.source.items():
            topic = "conditions" if section.role == "conditions" else "frames"
            publishers[name] = Publisher(self.bus, name, topic, START_NS, self.clock.now_ns)
            self.sources[name] = open_source(name, self.settings, publishers[name], self.clock)
        places = {name: section.place for name, section in self.settings.source.items() if section.place}
        self.ingest = Ingest(self.bus, publishers, places, self.clock)
        self.detect = DetectStage(self.settings, self.bus, self.store)
        self.correlate = CorrelateStage(self.settings, self.bus, self.store, knowledge_of(self.settings))

    def run(self, *names: str, pass_s: float = 10.0) -> None:
        """Some time passes, then the sources are read (all by default)."""
        self.clock.pass_s(pass_s)
        for name in names or self.sources:
            self.sources[name].run()
        self.rest()

    def rest(self) -> None:
        """Heartbeats, and every stage until none has anything to do."""
        for source in self.sources.values():
            source.heartbeat()
        while self.ingest.step(0.0) + self.detect.step(0.0) + self.correlate.step(0.0):
            pass

    def incidents(self) -> list[Incident]:
        return self.store.incidents()

    def open_conditions(self) -> dict[str, str]:
        """Condition and sentence of what is not resolved."""
        return {i.condition: i.sentence for i in self.incidents() if i.resolved_ns is None}

    def dead_letters(self) -> list[DeadLetter]:
        found = []
        while records := self._letters.poll(0.0):
            found += [message for r in records if isinstance(message := messages.decode(r.value), DeadLetter)]
        return found

    def close(self) -> None:
        self.ingest.close()
        self.detect.close()
        self.correlate.close()
        for source in self.sources.values():
            source.close()
        self._letters.close()
        self.bus.close()
        self.store.close()
