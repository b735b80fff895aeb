"""What every collector is tried with in tests/contract/test_collectors.py: one case for each protocol."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import uproot

from collectors.collector import Collector
from collectors.dqm.root_files import RootFile
from collectors.epics import EpicsCollector, EpicsOptions
from collectors.prometheus import PrometheusCollector, PrometheusOptions
from collectors.root import RootCollector, RootOptions
from collectors.smartctl import SmartctlCollector, SmartctlOptions
from collectors.table import TableCollector, TableOptions
from tests.collectors.case import BAD, ORIGIN, SECRET, Case, FileCase, HttpCase
from tests.collectors.epics_server import Server


class RootCase(FileCase):
    kind = RootCollector
    name = "DQM_V0001_R000000007.root"

    def build(self) -> Collector:
        return RootCollector(ORIGIN, RootOptions(files=str(self.path)))

    def _objects(self, **contents: list[float]) -> None:
        with uproot.recreate(self.folder / "made.root", compression=None) as file:
            for name, cells in contents.items():
                file[name] = np.array(cells), np.arange(len(cells) + 1.0)
        self.write((self.folder / "made.root").read_bytes())

    def good(self) -> None:
        self._objects(victim=[1, 2], survivor=[3, 4, 5])

    def empty(self) -> None:
        self._objects()

    def half(self) -> None:
        self.good()
        self.write(self.path.read_bytes()[:-200])

    def bad(self, what: str) -> None:
        self._objects(victim=[np.nan if what == "nan" else np.inf, 1.25], survivor=[3, 4, 5])
        if what == "text":
            with RootFile(str(self.path)) as file:
                key = dict(file.objects())[self.victim]
            content, at = self.path.read_bytes(), key.seek + key.header_bytes + 8
            text = b"text where lengths belong"
            self.write(content[:at] + text + content[at + len(text) :])


class TableCase(FileCase):
    kind = TableCollector
    name = "table.csv"

    def build(self) -> Collector:
        return TableCollector(ORIGIN, TableOptions(files=str(self.path)))

    def good(self) -> None:
        self.write("time,victim,survivor\n2024-01-01,1,2\n2024-01-02,3,4\n")

    def empty(self) -> None:
        self.write("time,victim,survivor\n")

    def half(self) -> None:
        self.write("time,victim,survivor\n2024-01-01,1,2\n2024-01")

    def bad(self, what: str) -> None:
        self.write(f"time,victim,survivor\n2024-01-01,1,2\n2024-01-02,{BAD[what]},4\n")


class SmartctlCase(FileCase):
    kind = SmartctlCollector
    name = "sda.json"
    victim = "S1/reallocated_sectors"
    survivor = "S1/pending_sectors"

    def build(self) -> Collector:
        return SmartctlCollector(ORIGIN, SmartctlOptions(files=str(self.path)))

    def _report(self, victim: Any) -> str:
        attributes = [{"id": 5, "raw": {"value": victim}}, {"id": 197, "raw": {"value": 0}}]
        return json.dumps(
            {"serial_number": "S1", "local_time": {"time_t": int(time.time())}, "ata_smart_attributes": {"table": attributes}}
        )

    def good(self) -> None:
        self.write(self._report(3))

    def empty(self) -> None:
        self.write("")

    def half(self) -> None:
        self.write(self._report(3)[:-30])

    def bad(self, what: str) -> None:
        self.write(self._report({"nan": float("nan"), "absurd": -(10**30), "text": "broken"}[what]))


class PrometheusCase(HttpCase):
    kind = PrometheusCollector
    victim = "victim_total"
    path = "/metrics"

    def build(self) -> Collector:
        return PrometheusCollector(
            ORIGIN, PrometheusOptions.model_validate({"url": self.url, "bearer_token": SECRET, "request_timeout_s": 5})
        )

    def _show(self, victim: str) -> None:
        self.content_type = "text/plain"
        self.body, self.missing_bytes = f"# TYPE victim_total counter\nvictim_total {victim}\nsurvivor 2\n".encode(), 0

    def good(self) -> None:
        self._show("1")

    def bad(self, what: str) -> None:
        self._show("-1e300" if what == "absurd" else BAD[what])


class EpicsCase(Case):
    kind = EpicsCollector
    victim = "HV:00:IMon"
    survivor = "HV:00:VMon"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._server = Server(folder)
        self._volts = 1000.0

    def build(self) -> Collector:
        address = f"127.0.0.1:{self._server.port}"
        options = EpicsOptions(channels=(self.survivor, self.victim, "TEXT"), addresses=(address,), connect_wait_s=5)
        return EpicsCollector(ORIGIN, options)

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


def _discovered() -> Iterator[type[Case]]:
    for path in sorted(Path(__file__).parent.glob("*_case.py")):
        yield from import_module(f"tests.collectors.{path.stem}").CASES


CASES: tuple[type[Case], ...] = (RootCase, TableCase, PrometheusCase, SmartctlCase, EpicsCase, *_discovered())
