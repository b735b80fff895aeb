"""An SNMP agent for the contract of collectors."""

from __future__ import annotations

from pathlib import Path

from collectors.collector import Collector
from collectors.snmp import SnmpCollector, SnmpOptions
from tests.collectors.case import ORIGIN, SECRET, Case
from tests.collectors.snmp_agent import OUTPUT, Simulator, output, text


class SnmpCase(Case):
    kind = SnmpCollector
    bytes_a_turn = 3000  # pysnmp remembers each request for 600 ticks of its timer, far more turns than are taken here
    victim = "mpod:U0:IMon"
    survivor = "mpod:U0:VMon"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._agent = Simulator(folder, SECRET)
        self._volts = 1000.0

    def build(self) -> Collector:
        fields = {"address": self._agent.address, "community": SECRET, "profile": "wiener", "device": "mpod", "timeout_s": 1, "retries": 1}
        return SnmpCollector(ORIGIN, SnmpOptions.model_validate(fields))

    def _show(self, amperes: float) -> None:
        self._volts += 1
        self._agent.show(output(0, self._volts, amperes))
        self._start()

    def _start(self) -> None:
        if not self._agent.is_running:
            self._agent.start()

    def good(self) -> None:
        self._show(1e-6)

    def empty(self) -> None:
        self._agent.show([])
        self._start()

    def half(self) -> None:
        """The agent fails within the table."""
        rows = [record for record in output(0, 1.0, 1.0) if record[0] != f"{OUTPUT}.7.1"]
        self._agent.show([*rows, (f"{OUTPUT}.7.1", "2:error", "status=generror,value=1")])
        self._start()

    def bad(self, what: str) -> None:
        if what != "text":
            self._show({"nan": float("nan"), "absurd": float("inf")}[what])
            return
        rows = [record for record in output(0, 1.0, 1.0) if record[0] != f"{OUTPUT}.7.1"]
        self._agent.show([*rows, text(f"{OUTPUT}.7.1", "broken")])
        self._start()

    def dead(self) -> str:
        self._agent.kill()
        return self._agent.address

    def stop(self) -> None:
        self._agent.kill()


CASES = (SnmpCase,)
