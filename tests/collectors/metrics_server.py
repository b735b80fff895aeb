"""Servers of metrics for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from collectors.collector import Collected, Origin
from collectors.prometheus import PrometheusCollector, PrometheusOptions

NOW_NS = 1_700_000_000_000_000_000


Serve = Callable[..., str]


def collect(url: str, **options: Any) -> list[Collected]:
    collector = PrometheusCollector(Origin("node", "T2/rack", lambda: NOW_NS), PrometheusOptions.model_validate({"url": url, **options}))
    try:
        return list(collector.collect())
    finally:
        collector.close()


@contextmanager
def serving() -> Iterator[Serve]:
    """Starts servers that answer every GET with what is given; each call returns the address of one."""
    servers: list[ThreadingHTTPServer] = []

    def start(body: str, *, status: int = 200, seen: list[dict[str, str]] | None = None, cut: int = 0, **headers: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if seen is not None:
                    seen.append(dict(self.headers))
                data = body.encode()
                self.send_response(status)
                sent = {"Content-Type": "text/plain; version=0.0.4", "Content-Length": str(len(data)), **headers}
                for name, value in sent.items():
                    if value:
                        self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(data[: len(data) - cut])
                self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/metrics"

    try:
        yield start
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
