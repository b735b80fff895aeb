"""Serves the application from a thread of its own, beside the stage that feeds it."""

from __future__ import annotations

import socket
import threading
import time

import uvicorn
from fastapi import FastAPI

from daemon.web.connections import PatientProtocol

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
GRACE_S = 2
"""Requests that are being answered get this long when the server stops."""


class PageServer:
    """An HTTP server on a socket that is bound at once, so that a port in use is an error here and not in a thread."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        """Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            raise OSError(error.errno, f"web: {host}:{port} cannot be served: {error.strerror}") from None
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            loop="asyncio",
            http=PatientProtocol,
            ws="none",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = uvicorn.Server(config)
        self._host = host
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, name="page", daemon=True)

    @property
    def url(self) -> str:
        """Where it is, with the real port."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"

    def start(self) -> None:
        """Returns when it answers. Raises OSError where it does not begin to."""
        self._thread.start()
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline_s:
                self.close()
                raise OSError(f"web: {self.url} does not begin to answer")
            time.sleep(0.01)

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Ends it; what is being answered gets a moment."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(STOP_TIMEOUT_S)
        self._socket.close()
