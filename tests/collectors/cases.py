"""What every collector is tried with in tests/contract/test_collectors.py: one case for each protocol.

A case stands for a source that can be made to show good values, nothing, half an answer, a value that cannot be true, or
to vanish. `victim` is the column that goes bad, `survivor` one that must stay good.
"""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import numpy as np
import uproot

from collectors.collector import Collector, Origin
from collectors.epics import EpicsCollector, EpicsOptions
from collectors.prometheus import PrometheusCollector, PrometheusOptions
from collectors.root import RootCollector, RootOptions
from collectors.root_files import RootFile
from collectors.smartctl import SmartctlCollector, SmartctlOptions
from collectors.table import TableCollector, TableOptions
from tests.collectors.epics_server import Server

SECRET = "s3cret-of-the-test"
ORIGIN = Origin("source-7", "LAB/hall", time.time_ns)
BAD = {"nan": "NaN", "absurd": "1e999", "text": "broken"}


class Case(ABC):
    """One source that can be spoilt. `bad(what)`: what is "nan", "absurd" or "text"."""

    kind: ClassVar[type[Any]]
    victim = "victim"
    survivor = "survivor"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def build(self) -> Collector: ...

    @abstractmethod
    def good(self) -> None:
        """Shows good values; called again, newer ones."""

    @abstractmethod
    def empty(self) -> None: ...

    @abstractmethod
    def half(self) -> None: ...

    @abstractmethod
    def bad(self, what: str) -> None: ...

    @abstractmethod
    def dead(self) -> str:
        """Takes the source away; returns what the error must name."""

    def stop(self) -> None:
        """Ends what the case has started."""
        self.folder = Path()


class _FileCase(Case):
    name = "source.txt"

    @property
    def path(self) -> Path:
        return self.folder / self.name

    def write(self, content: str | bytes) -> None:
        """A new content at a new time."""
        before_ns = self.path.stat().st_mtime_ns if self.path.exists() else 0
        self.path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(self.path, ns=(0, max(time.time_ns(), before_ns + 1_000_000_000)))

    def dead(self) -> str:
        self.path.unlink()
        return str(self.path)


class RootCase(_FileCase):
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


class TableCase(_FileCase):
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


class SmartctlCase(_FileCase):
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


class PrometheusCase(Case):
    kind = PrometheusCollector
    victim = "victim_total"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.body, self.missing_bytes = b"", 0
        case = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.headers["Authorization"] == f"Bearer {SECRET}" else 401)
                self.send_header("Content-Length", str(len(case.body)))
                self.end_headers()
                self.wfile.write(case.body[: len(case.body) - case.missing_bytes])

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._port = self._server.server_port
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def build(self) -> Collector:
        fields = {"url": f"http://127.0.0.1:{self._port}/metrics", "bearer_token": SECRET, "request_timeout_s": 5}
        return PrometheusCollector(ORIGIN, PrometheusOptions.model_validate(fields))

    def _show(self, victim: str) -> None:
        self.body, self.missing_bytes = f"# TYPE victim_total counter\nvictim_total {victim}\nsurvivor 2\n".encode(), 0

    def good(self) -> None:
        self._show("1")

    def empty(self) -> None:
        self.body = b""

    def half(self) -> None:
        self.good()
        self.missing_bytes = 8

    def bad(self, what: str) -> None:
        self._show("-1e300" if what == "absurd" else BAD[what])

    def dead(self) -> str:
        self.stop()
        return f"127.0.0.1:{self._port}/metrics"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


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


CASES: tuple[type[Case], ...] = (RootCase, TableCase, PrometheusCase, SmartctlCase, EpicsCase)
