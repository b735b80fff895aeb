"""Server-sent events: says that there is something new, and that the connection is alive. The page then fetches itself anew."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from fastapi import APIRouter, HTTPException
from fastapi.responses import StreamingResponse

from daemon.web.site import Site
from daemon.web.views.sources import staleness

LOOK_S = 0.25
LEAST_S = 1.0
"""Between two changes that a page is told of, so that a storm of them costs no more than one each second."""
TICK_S = 10.0
"""Ages and counters grow without an event."""
BEAT_S = 2.0
LISTENERS_MOST = 200


@dataclass(slots=True, eq=False)
class Teller:
    """What one listener is told, and when. `state` gives what a change is a change of."""

    state: Callable[[], str]
    now_s: Callable[[], float]
    _told: str = ""
    _told_s: float = field(default=float("-inf"))
    _spoke_s: float = field(default=float("-inf"))

    def next(self) -> str | None:
        """The event to send now, None for nothing."""
        now_s, state = self.now_s(), self.state()
        due = state != self._told and now_s - self._told_s >= LEAST_S
        if due or now_s - self._told_s >= TICK_S:
            name = "change" if due else "tick"
            self._told, self._told_s, self._spoke_s = state, now_s, now_s
            return f"event: {name}\ndata: {json.dumps({'version': state})}\n\n"
        if now_s - self._spoke_s >= BEAT_S:
            self._spoke_s = now_s
            return "event: beat\ndata: {}\n\n"
        return None


def routes(site: Site) -> APIRouter:
    """The one route."""
    router = APIRouter(include_in_schema=False)
    listeners: set[Teller] = set()

    def state() -> str:
        stale = staleness(site.live.snapshot(), time.time_ns())
        return f"{site.boot}-{site.live.version}{'-stale' if stale else ''}"

    async def told(teller: Teller) -> AsyncIterator[str]:
        try:
            while not site.closing.is_set():
                event = teller.next()
                if event is not None:
                    yield event
                await asyncio.sleep(LOOK_S)
        finally:
            listeners.discard(teller)

    @router.get("/events")
    async def events() -> StreamingResponse:
        if len(listeners) >= LISTENERS_MOST:
            raise HTTPException(503, "Too many pages are open.")
        teller = Teller(state, time.monotonic)
        listeners.add(teller)
        return StreamingResponse(told(teller), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    return router
