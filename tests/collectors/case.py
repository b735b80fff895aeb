"""What a source looks like to tests/contract/test_collectors.py: it can be made to show good values, nothing, half an
answer, a value that cannot be true, or to vanish. `victim` is the column that goes bad, `survivor` one that must stay good.

A collector's case stands in a file of its own, `NAME_case.py` beside this one, in a tuple called CASES.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

from collectors.collector import Collector, Origin

SECRET = "s3cret-of-the-test"
ORIGIN = Origin("source-7", "LAB/hall", time.time_ns)
BAD = {"nan": "NaN", "absurd": "1e999", "text": "broken"}


class Case(ABC):
    """One source that can be spoilt. `bad(what)`: what is "nan", "absurd" or "text"."""

    kind: ClassVar[type[Any]]
    victim = "victim"
    survivor = "survivor"
    bytes_a_turn: ClassVar[int] = 1000
    """What its memory may grow by in a turn: far below what a frame, an answer or an exception with its traceback takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def build(self) -> Collector: ...

    @abstractmethod
    def good(self) -> None:
        """Shows good values; called again, newer ones."""

    @abstractmethod
    def empty(self) -> None: ...

    @abstractmethod
    def half(self) -> None: ...

    @abstractmethod
    def bad(self, what: str) -> None: ...

    @abstractmethod
    def dead(self) -> str:
        """Takes the source away; returns what the error must name."""

    def stop(self) -> None:
        """Ends what the case has started."""
        self.folder = Path()


class FileCase(Case):
    name = "source.txt"

    @property
    def path(self) -> Path:
        return self.folder / self.name

    def write(self, content: str | bytes) -> None:
        """A new content at a new time."""
        before_ns = self.path.stat().st_mtime_ns if self.path.exists() else 0
        self.path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(self.path, ns=(0, max(time.time_ns(), before_ns + 1_000_000_000)))

    def dead(self) -> str:
        self.path.unlink()
        return str(self.path)


class HttpCase(Case):
    """A server that answers GET and POST with `body` to who shows the SECRET as bearer token."""

    path = "/"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.body, self.missing_bytes, self.content_type = b"", 0, "application/json"
        case = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                case.answer(self, b"")

            def do_POST(self) -> None:
                case.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    def answer(self, handler: BaseHTTPRequestHandler, _question: bytes) -> None:
        """Answers one request."""
        handler.send_response(200 if handler.headers["Authorization"] == f"Bearer {SECRET}" else 401)
        handler.send_header("Content-Type", self.content_type)
        handler.send_header("Content-Length", str(len(self.body)))
        handler.end_headers()
        handler.wfile.write(self.body[: len(self.body) - self.missing_bytes])

    def empty(self) -> None:
        self.body, self.missing_bytes = b"", 0

    def half(self) -> None:
        self.good()
        self.missing_bytes = 8

    def dead(self) -> str:
        self.stop()
        return f"127.0.0.1:{self.port}{self.path}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
