"""What people answer in Slack: buttons, over Socket Mode, so that no port has to be open to the outside.

A thread keeps one web socket open. ("Using Socket Mode" on docs.slack.dev: an address that is valid once, `hello`, envelopes that
are to be acknowledged, a request to connect anew every few hours.) slack-sdk's own SocketModeClient is not used: after a connection
that ended without a closing frame it reads in a busy loop (a whole core, for as long as Slack cannot be reached; slack-sdk 3.47).
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from websocket import ABNF, WebSocket, WebSocketException, WebSocketTimeoutException, create_connection

from daemon.notify.receiver import ReceiverError

log = logging.getLogger(__name__)

Handle = Callable[[dict[str, Any]], None]
"""Called with the payload of an interaction, from a thread; it raises nothing."""

PING_EVERY_S = 15.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0


class SocketLink:
    """Keeps a connection while it is wanted, and passes on what arrives once it was acknowledged."""

    def __init__(self, name: str, open_address: Callable[[], str], handle: Handle, timeout_s: float) -> None:
        """`open_address` asks Slack for an address (apps.connections.open); it raises ReceiverError."""
        self._name = name
        self._open_address = open_address
        self._handle = handle
        self._timeout_s = timeout_s
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._current: WebSocket | None = None
        self._workers = ThreadPoolExecutor(max_workers=2, thread_name_prefix=f"{name}-answer")
        self._thread = threading.Thread(target=self._run, name=f"{name}-link", daemon=True)

    def start(self) -> None:
        """Connects, again and again if need be, in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Ends the connection and its threads; what was acknowledged is still passed on. May be called twice."""
        self._closing.set()
        with self._lock:
            if self._current is not None:
                _wake(self._current)
        if self._thread.is_alive():
            self._thread.join()
        self._workers.shutdown(wait=True)

    def _run(self) -> None:
        pause_s, told = FIRST_PAUSE_S, False
        while not self._closing.is_set():
            try:
                connection = self._connect()
            except (ReceiverError, WebSocketException, OSError, ValueError) as error:
                if not told:
                    reason = str(error) if isinstance(error, ReceiverError) else type(error).__name__
                    log.warning("answers cannot be heard receiver=%s reason=%r", self._name, reason)
                told = True
                self._closing.wait(getattr(error, "retry_after_s", None) or pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            log.info("answers are heard receiver=%s", self._name)
            pause_s, told = FIRST_PAUSE_S, False
            if not self._listen(connection):
                self._closing.wait(FIRST_PAUSE_S)  # it broke off: not at once again
        self._replace(None)

    def _connect(self) -> WebSocket:
        """A new connection; the old one ends only now, so that nothing is missed between them."""
        connection = create_connection(self._open_address(), timeout=self._timeout_s, enable_multithread=True)
        connection.settimeout(PING_EVERY_S)
        self._replace(connection)
        return connection

    def _replace(self, connection: WebSocket | None) -> None:
        with self._lock:
            old, self._current = self._current, connection
            if connection is not None and self._closing.is_set():
                _wake(connection)
        if old is not None:
            old.shutdown()  # type: ignore[no-untyped-call] # websocket-client leaves it without types

    def _listen(self, connection: WebSocket) -> bool:
        """Until Slack asks for a new connection (True), or this one is gone (False)."""
        silent = False
        while not self._closing.is_set():
            try:
                kind, data = connection.recv_data(control_frame=True)
                silent = False
                if kind == ABNF.OPCODE_CLOSE:
                    return False
                if kind == ABNF.OPCODE_TEXT and self._take(connection, data):
                    return True
            except WebSocketTimeoutException:
                if silent:
                    return False  # not even an answer to a ping
                silent = True
                if not _ping(connection):
                    return False
            except (WebSocketException, OSError):
                return False
        return True

    def _take(self, connection: WebSocket, data: bytes | str) -> bool:
        """One message; whether it asks for a new connection. An envelope is acknowledged at once: Slack waits 3 seconds."""
        try:
            message = json.loads(data)
        except ValueError:
            return False
        if not isinstance(message, dict):
            return False
        if message.get("type") == "disconnect":
            return True
        envelope, payload = message.get("envelope_id"), message.get("payload")
        if message.get("type") == "interactive" and isinstance(payload, dict):
            self._workers.submit(self._handle, payload)  # before it is acknowledged: the connection may end just now
        if isinstance(envelope, str):
            connection.send(json.dumps({"envelope_id": envelope}))
        return False


def _ping(connection: WebSocket) -> bool:
    try:
        connection.ping()
    except (WebSocketException, OSError):
        return False
    return True


def _wake(connection: WebSocket) -> None:
    """Ends a connection under whoever reads from it."""
    try:
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it has ended already
