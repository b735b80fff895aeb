"""What the routes share: the daemon as the page sees it, and how a page is put together from it."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from daemon.ranking.standing import Ranking
from daemon.settings import Settings
from daemon.store.store import Store
from daemon.web.labelling import Admission, Desk
from daemon.web.live import LiveView
from daemon.web.pictures import Pictures
from daemon.web.pushing import Intake
from daemon.web.rendering import Renderer, StaticFile
from daemon.web.views.head import Head, head
from daemon.web.words import Times


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that a route needs. `now_ns` is event time; `boot` tells this process from the one before it."""

    settings: Settings
    store: Store
    live: LiveView
    desk: Desk
    admission: Admission
    pictures: Pictures
    renderer: Renderer
    static: dict[str, StaticFile]
    now_ns: Callable[[], int]
    intake: Intake
    ranking: Ranking
    ingest_token: str = field(default="", repr=False)
    closing: threading.Event = field(default_factory=threading.Event)
    boot: str = field(default_factory=lambda: secrets.token_hex(4))

    def times(self) -> Times:
        """How times are shown now."""
        return Times(self.settings.zone, self.now_ns())

    def head(self) -> Head:
        """The head line of any page."""
        times = self.times()
        return head(self.settings, self.live.snapshot(), self.live.tally.measured(times.now_ns), times, time.time_ns())

    def me(self, request: Request) -> str:
        """The name of who asks, "" where it is not known."""
        return self.admission.name(request.headers, request.cookies)

    def show(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:  # noqa: ANN401 - a template's
        """A page with its head line."""
        return self.renderer.page(
            template,
            status,
            head=self.head(),
            boot=self.boot,
            path=request.url.path,
            me=self.me(request),
            name_fixed=self.admission.names_come_from_proxy,
            ask_token=not self.admission.may_write(request.cookies),
            **values,
        )
