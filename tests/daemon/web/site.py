"""The application for tests of its routes: served, but without a stage that feeds it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx

from daemon import messages
from daemon.bus.bus import Record
from daemon.bus.memory import MemoryBus
from daemon.clock import SystemClock
from daemon.messages import StageStatus
from daemon.records import Incident, Label
from daemon.settings import parse
from daemon.store.store import Store
from daemon.web.app import create_app
from daemon.web.server import PageServer
from daemon.web.stage import WebStage
from tests.page import CONFIG, ESSENTIAL, stream_status

HOST = "127.0.0.1:9110"
SAME = {"Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}


class Application:
    """A site over a database and a memory bus; `client` sends what a browser of the same machine would."""

    def __init__(self, folder: Path, config: str = CONFIG) -> None:
        self.settings = parse(config)
        self.bus = MemoryBus(self.settings.bus.memory)
        self.store = Store(f"sqlite:///{folder}/page.db")
        self._feedback = self.bus.subscribe(["feedback"], None)
        self.stage = WebStage(self.settings, self.bus, self.store, SystemClock())
        self.site = self.stage.site
        self._server = PageServer(create_app(self.site), "127.0.0.1", 0)
        self._server.start()
        self.client = httpx.Client(base_url=self._server.url, headers={"Host": HOST}, timeout=20.0)
        self.live = self.site.live
        self.live.settle(ready=True)
        self.speak()

    def speak(self, age_s: float = 0.0, **changes: Any) -> None:
        """The stages say how they are; `changes` are those of the detect stage's streams."""
        wall_ns = time.time_ns() - int(age_s * 1e9)
        for name in ESSENTIAL:
            streams = [stream_status(source, wall_ns, **changes) for source in self.settings.source] if name == "detect" else []
            status = StageStatus("host/1", name, wall_ns, {"state": "running", "streams": streams})
            self.live.take([Record("state", f"host/1/{name}", messages.encode(status), 0, 0)])

    def put(self, *incidents: Incident) -> None:
        """Into the database and the live view."""
        with self.store.transaction() as connection:
            for incident in incidents:
                self.store.put_incident(connection, incident)
        self.live.seed(incidents, [])

    def labels(self) -> list[Label]:
        said = [messages.decode(record.value) for record in self._feedback.poll(0.0)]
        return [label for label in said if isinstance(label, Label)]

    def close(self) -> None:
        self.client.close()
        self._server.close()
        self.stage.close()
        self._feedback.close()
        self.bus.close()
        self.store.close()
