"""PVAccess, for tests/contract/test_collectors.py."""

from __future__ import annotations

from pathlib import Path

from collectors.collector import Collector
from collectors.pvaccess import PvAccessCollector, PvAccessOptions
from tests.collectors.case import ORIGIN, Case
from tests.collectors.pvaccess_server import PvServer


class PvAccessCase(Case):
    kind = PvAccessCollector
    victim = "HV:00:IMon"
    survivor = "HV:00:VMon"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._server = PvServer(folder)
        self._volts = 1000.0

    def build(self) -> Collector:
        address = f"127.0.0.1:{self._server.udp_port}"
        return PvAccessCollector(ORIGIN, PvAccessOptions(channels=(self.survivor, self.victim, "TEXT"), addresses=(address,)))

    def good(self) -> None:
        if not self._server.is_running:
            self._server.start()
        self._volts += 1
        self._server.put(self.survivor, self._volts)
        self._server.put(self.victim, self._volts / 1000)
        self._server.put("TEXT", "17")

    def empty(self) -> None:
        self.dead()

    def half(self) -> None:
        self.dead()

    def bad(self, what: str) -> None:
        self.good()
        if what == "text":
            self.victim = "TEXT"
            self._server.put("TEXT", "broken")
        else:
            self._server.put(self.victim, {"nan": float("nan"), "absurd": float("inf")}[what])

    def dead(self) -> str:
        self._server.kill()
        return self.survivor

    def stop(self) -> None:
        self._server.kill()


CASES = (PvAccessCase,)
