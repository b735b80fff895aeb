"""The other end of Socket Mode for the tests: links that are opened once, `hello`, envelopes that must be acknowledged, refreshes.

Pages of docs.slack.dev: "Using Socket Mode" (hello, disconnect with its reasons, envelopes), "block_actions payload" and
"Handling user interaction" (acknowledge within 3 seconds).
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Mapping
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from tests.slack_workspace import APP_ID

ACKNOWLEDGE_S = 3.0
QUIET = logging.Logger("slack links", logging.CRITICAL + 1)


class SocketMode:
    """Serves links on a port of its own; keeps what was acknowledged."""

    def __init__(self) -> None:
        self._tickets: set[str] = set()
        self._links: list[ServerConnection] = []
        self._waiting: dict[str, threading.Event] = {}
        self._changed = threading.Condition()
        self.opened = 0
        self._server: Server = serve(self._link, "127.0.0.1", 0, logger=QUIET)
        self._thread = threading.Thread(target=self._server.serve_forever, name="slack-links", daemon=True)
        self._thread.start()

    def open_link(self) -> str:
        """A web socket address that can be used once."""
        ticket = secrets.token_hex(8)
        self._tickets.add(ticket)
        port = self._server.socket.getsockname()[1]
        return f"ws://127.0.0.1:{port}/link/?ticket={ticket}&app_id={APP_ID}"

    def wait_for_links(self, count: int, timeout_s: float = 20.0) -> bool:
        """Waits until so many links have been opened in all, and one is there."""
        with self._changed:
            return self._changed.wait_for(lambda: self.opened >= count and bool(self._links), timeout_s)

    def send(self, payload: Mapping[str, Any], *, envelope_id: str = "", timeout_s: float = 20.0) -> bool:
        """Sends an interactive envelope over the newest link; whether it was acknowledged in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._links), timeout_s):
                return False
            link = self._links[-1]
        envelope_id = envelope_id or secrets.token_hex(16)
        acknowledged = self._waiting.setdefault(envelope_id, threading.Event())
        acknowledged.clear()
        envelope = {"payload": payload, "envelope_id": envelope_id, "type": "interactive", "accepts_response_payload": True}
        try:
            link.send(json.dumps(envelope))
        except ConnectionClosed:
            return False
        return acknowledged.wait(ACKNOWLEDGE_S)

    def refresh(self) -> None:
        """Asks for a new connection, as happens every few hours; the old one is closed by whoever opened it."""
        with self._changed:
            links = list(self._links)
        for link in links:
            link.send(json.dumps({"type": "disconnect", "reason": "refresh_requested", "debug_info": {"host": "wss-111.slack.com"}}))

    def drop(self) -> None:
        """Ends all links without a word."""
        with self._changed:
            links = list(self._links)
        for link in links:
            link.close_socket()

    def close(self) -> None:
        """Ends the server."""
        self.drop()
        self._server.shutdown()
        self._thread.join()

    def _link(self, link: ServerConnection) -> None:
        ticket = (link.request.path if link.request else "").partition("ticket=")[2].partition("&")[0]
        if ticket not in self._tickets:
            link.close(4001, "invalid ticket")
            return
        self._tickets.discard(ticket)
        debug = {"host": "applink-1", "build_number": 54, "approximate_connection_time": 3600}
        link.send(json.dumps({"type": "hello", "connection_info": {"app_id": APP_ID}, "num_connections": 1, "debug_info": debug}))
        with self._changed:
            self._links.append(link)
            self.opened += 1
            self._changed.notify_all()
        try:
            for message in link:
                waiting = self._waiting.get(json.loads(message).get("envelope_id", ""))
                if waiting is not None:
                    waiting.set()
        except ConnectionClosed:
            pass
        finally:
            with self._changed:
                self._links.remove(link)
                self._changed.notify_all()
