"""/metrics, /livez, /readyz and /status: what Prometheus, systemd, Kubernetes and `shiftwatch status` ask for."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

log = logging.getLogger(__name__)


class OperationsServer:
    """Serves a small fixed set of paths; loopback unless configured otherwise."""

    def __init__(
        self, host: str, port: int, *, live: Callable[[], list[str]], ready: Callable[[], list[str]], status: Callable[[], dict[str, Any]]
    ) -> None:
        """`live` and `ready` return what speaks against it, one line each; an empty list is good. Raises OSError."""
        handler = _handler(live, ready, status)
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            raise OSError(error.errno, f"http: {host}:{port} cannot be served: {error.strerror}") from None
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="operations", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is, with the real port."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def _handler(
    live: Callable[[], list[str]], ready: Callable[[], list[str]], status: Callable[[], dict[str, Any]]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10
        protocol_version = "HTTP/1.1"
        server_version = "shiftwatch"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            elif path in ("/livez", "/readyz"):
                against = live() if path == "/livez" else ready()
                text = "\n".join(against) or "ok"
                self._answer(503 if against else 200, "text/plain; charset=utf-8", f"{text}\n".encode())
            elif path == "/status":
                self._answer(200, "application/json", json.dumps(status()).encode())
            else:
                self._answer(404, "text/plain; charset=utf-8", b"there are /metrics /livez /readyz /status\n")

        def _answer(self, code: int, content_type: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            log.debug(format, *args)

    return Handler
