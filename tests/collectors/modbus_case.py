"""A Modbus/TCP server for the contract of collectors."""

from __future__ import annotations

from pathlib import Path

from collectors.collector import Collector
from collectors.modbus import ModbusCollector, ModbusOptions
from tests.collectors.case import ORIGIN, Case
from tests.collectors.modbus_server import Server, at, words


class ModbusCase(Case):
    kind = ModbusCollector
    victim = "U0:IMon"
    survivor = "U0:VMon"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._server = Server(folder)
        self._volts = 1000.0

    def build(self) -> Collector:
        value = {"type": "float32", "unit": "V"}
        registers = [{"name": "U0:VMon", "address": 0, **value}, {"name": "U0:IMon", "address": 2, **value}]
        return ModbusCollector(
            ORIGIN, ModbusOptions.model_validate({"address": self._server.address, "registers": registers, "timeout_s": 2})
        )

    def _show(self, amperes: float) -> None:
        if not self._server.is_running:
            self._server.start()
        self._volts += 1
        self._server.reset()
        self._server.tell(words={"1/holding": at(0, words("f", self._volts, amperes))})

    def good(self) -> None:
        self._show(2e-6)

    def empty(self) -> None:
        """A device without these addresses."""
        self.good()
        self._server.tell(failing={"holding": {"2": [0, 1, 2, 3]}})

    def half(self) -> None:
        self.good()
        self._server.tell(cut=3)

    def bad(self, what: str) -> None:
        """Registers hold no text: what a device can say instead of a number is that it has none."""
        self._show({"nan": float("nan"), "absurd": float("inf"), "text": 0.0}[what])
        if what == "text":
            self._server.tell(failing={"holding": {"4": [2]}})

    def dead(self) -> str:
        self._server.kill()
        return self._server.address

    def stop(self) -> None:
        self._server.kill()


CASES = (ModbusCase,)
