"""The web stage: listens to what all the others say, and serves the page. Any number of processes may run it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from daemon.bus.bus import Bus, BusError, Record, Subscription
from daemon.clock import Clock
from daemon.ranking.standing import Ranking
from daemon.records import IncidentState
from daemon.secret_files import read_secret
from daemon.settings import Settings
from daemon.store.store import Store
from daemon.web.app import create_app
from daemon.web.guard import is_loopback
from daemon.web.labelling import Admission, Desk
from daemon.web.live import TOPICS, LiveView
from daemon.web.pictures import Pictures
from daemon.web.pushing import Intake
from daemon.web.rendering import Renderer, static_files
from daemon.web.server import PageServer
from daemon.web.site import Site

log = logging.getLogger(__name__)

SEEDED = 10_000
"""Newest incidents that the page begins with: what lasts, the last day, and the last month's labels are among them."""
FINDINGS_AT_ONCE = 2000
AGAIN_S = 2.0
"""Pause before the bus is asked again after it refused."""
LASTING = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)


class WebStage:
    """Feeds a LiveView from the bus and serves it. When the bus fails the page stays, and says that it is out of date."""

    name = "web"

    def __init__(self, settings: Settings, bus: Bus, store: Store, clock: Clock) -> None:
        """Raises SecretError where a token cannot be read."""
        web = settings.web
        token = read_secret(web.token_file, "web.token_file") if web.token_file is not None else ""
        ingest_token = read_secret(web.ingest_token_file, "web.ingest_token_file") if web.ingest_token_file is not None else ""
        self._settings = settings
        self._bus = bus
        self._live = LiveView(settings.conditions, clock.now_ns)
        self._live.seed([*store.incidents(limit=SEEDED), *store.incidents(LASTING, limit=SEEDED)], store.plans(limit=1000))
        static = static_files()
        self.site = Site(
            settings=settings,
            store=store,
            live=self._live,
            desk=Desk(bus, clock.now_ns),
            admission=Admission(token, web.user_header),
            pictures=Pictures(store, settings.zone),
            renderer=Renderer(static),
            static=static,
            now_ns=clock.now_ns,
            intake=Intake(bus, clock.now_ns),
            ranking=Ranking(store),
            ingest_token=ingest_token,
        )
        self._server: PageServer | None = None
        self._present: Subscription | None = None
        self._findings: Subscription | None = None
        self._unread: dict[Any, int] | None = None
        self._again_s = 0.0

    @property
    def url(self) -> str:
        """Where the page is, "" before the first step."""
        return self._server.url if self._server is not None else ""

    def step(self, timeout_s: float) -> int:
        """Takes in what has arrived; the number of records read. Raises OSError where the page cannot be served."""
        if self._server is None:
            self._serve()
        elif not self._server.alive:
            raise OSError(f"web: {self._server.url} has stopped to answer")
        self.site.ranking.now()
        try:
            return self._listen(timeout_s)
        except BusError as error:
            log.warning("page cannot hear the bus reason=%r", str(error))
            self._live.settle(ready=True, trouble=str(error))
            self._leave()
            self._again_s = time.monotonic() + AGAIN_S
            return 0

    def status(self) -> dict[str, Any]:
        """Where the page is and whether labels order its incidents, for `shiftwatch status`."""
        standing = self.site.ranking.last
        return {"url": self.url, **({"labels": standing.why} if standing.version else {})}

    def close(self) -> None:
        """Ends the page, then lets go of the bus."""
        self.site.closing.set()
        try:
            if self._server is not None:
                self._server.close()
        finally:
            self.site.intake.close()
            self._leave()

    def _serve(self) -> None:
        web = self._settings.web
        server = PageServer(create_app(self.site), web.host, web.port)
        server.start()
        self._server = server
        log.info("page url=%s", server.url)
        if not is_loopback(web.host) and not self.site.admission.needs_token and not web.user_header:
            log.warning("page open to the network host=%s: whoever reaches it can label; set web.token_file or web.user_header", web.host)

    def _listen(self, timeout_s: float) -> int:
        if self._present is None or self._findings is None:
            if (pause_s := self._again_s - time.monotonic()) > 0:
                time.sleep(min(pause_s, timeout_s))
                return 0
            self._present, self._findings = self._bus.subscribe(TOPICS, None), self._bus.subscribe(["findings"], None)
            self._unread = dict(self._present.end_offsets())
        found: Sequence[Record] = self._findings.poll(0.0, FINDINGS_AT_ONCE)
        records = self._present.poll(0.0 if found else timeout_s)
        self._live.take(records)
        self._live.take(found)
        if self._unread is not None:
            positions = self._present.positions()
            if all(positions.get(partition, 0) >= end for partition, end in self._unread.items()):
                self._unread = None
        self._live.settle(ready=self._unread is None)
        return len(records) + len(found)

    def _leave(self) -> None:
        for subscription in (self._present, self._findings):
            if subscription is not None:
                subscription.close()
        self._present = self._findings = self._unread = None
