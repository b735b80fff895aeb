"""Connections of the page: as many as the daemon can spare, and none for long whose request does not come."""

from __future__ import annotations

import asyncio
import logging

from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

REQUEST_S = 15.0
"""How long a connection may stand without a whole head of a request; also what is sent on after an answer is read no longer."""
CONNECTIONS_MOST = 400
"""At one time. Each takes a file handle from the daemon, which needs its own for files, the database and the bus."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it. By itself that waits for ever for a request that was begun, or not even that."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the base class narrows it
        """Somebody is there; one too many is sent away."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MOST:
            log.debug("connection refused open=%d", len(self.connections))
            transport.abort()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request."""
        super().data_received(data)
        if self._is_answering:
            self._wait_no_more()

    def on_response_complete(self) -> None:
        """One answer has been given; another request may have come meanwhile."""
        super().on_response_complete()
        if not self._is_answering and not self.transport.is_closing():
            self._wait()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._wait_no_more()
        self._deadline = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
