"""OPC UA, for tests/contract/test_collectors.py."""

from __future__ import annotations

from pathlib import Path

from collectors.collector import Collector
from collectors.opcua import OpcUaCollector, OpcUaOptions
from tests.collectors.case import ORIGIN, SECRET, Case
from tests.collectors.opcua_server import UaServer


class OpcUaCase(Case):
    kind = OpcUaCollector
    victim = "IMon"
    survivor = "VMon"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._server = UaServer(folder, user=["monitor", SECRET])
        self._volts = 1000.0
        (folder / "password").write_text(SECRET)

    def build(self) -> Collector:
        nodes = {name: f"ns=2;s={name}" for name in ("VMon", "IMon", "Text")}
        options = {"url": self._server.url, "nodes": nodes, "username": "monitor", "password_file": self.folder / "password"}
        return OpcUaCollector(ORIGIN, OpcUaOptions.model_validate({**options, "publishing_interval_s": 0.1, "reconnect_max_s": 1}))

    def good(self) -> None:
        if not self._server.is_running:
            self._server.start()
        self._volts += 1
        self._server.put("VMon", self._volts)
        self._server.put("IMon", self._volts / 1000)
        self._server.put("Text", "17")

    def empty(self) -> None:
        self.dead()

    def half(self) -> None:
        self.dead()

    def bad(self, what: str) -> None:
        self.good()
        if what == "text":
            self.victim = "Text"
            self._server.put("Text", "broken")
        else:
            self._server.put("IMon", {"nan": float("nan"), "absurd": float("inf")}[what])

    def dead(self) -> str:
        self._server.kill()
        return self._server.url

    def stop(self) -> None:
        self._server.kill()


CASES = (OpcUaCase,)
