"""An ELOG server for the tests: answers as elogd 3.1 does (looked at request by request) to what its own clients ask.

    def test_something(elog: ElogServer) -> None:
        elog.url, elog.logbook, elog.user, elog.password     # for the configuration; the password in a file
        elog.entries                                         # what was written
        elog.failing = 500                                   # every answer from now on; None again to mend it

`python -m tests.elog_server --port 0` prints its address; GET /_seen then shows what was written, as JSON.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

TEXT_SIZE = 250_000
"""elogd.h: longer texts are refused."""
NAME_LENGTH = 1500
"""elogd.h: attributes are cut."""
USER, PASSWORD = "shiftwatch", "corr3ct horse"
PASSWORD_HASH = "Feu.qFoG37Q58alvV/2MJcH4uGHf3gO8nGfMrfzCK58"
"""`mkpasswd -m sha-256` with an empty salt, without the leading $5$$: as elogd keeps it."""
LOG_IN = '<html><form><input type="text" name="uname"><input type="password" class="login_input" name="upassword"></form></html>'


class Page(NamedTuple):
    """What is answered."""

    status: int
    body: str
    location: str = ""
    content_type: str = "text/html;charset=ISO-8859-1"


@dataclass(slots=True)
class Entry:
    """One entry of the logbook."""

    number: int
    reply_to: int
    attributes: dict[str, str]
    text: str
    encoding: str
    attachments: dict[str, bytes] = field(default_factory=dict)
    suppressed: bool = False


class ElogServer:
    """One logbook with a password file, `Required Attributes = Author, Type` and fixed options of Type, as in elogd.cfg.example."""

    attributes: ClassVar[tuple[str, ...]] = ("Author", "Type", "Category", "Subject")
    required: ClassVar[tuple[str, ...]] = ("Author", "Type")
    types: ClassVar[tuple[str, ...]] = ("Routine", "Software Installation", "Problem", "Problem Fixed", "Configuration", "Other")

    def __init__(self, port: int = 0, logbook: str = "Night Shift") -> None:
        self.logbook = logbook
        self.user, self.password = USER, PASSWORD
        self.entries: list[Entry] = []
        self.failing: int | None = None
        self.list_after_submit = False
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (Handler,), {"elog": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nobody is answered any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def thread(self, words: str) -> list[Entry]:
        """Entries with these words in their text."""
        with self.lock:
            return [entry for entry in self.entries if words in entry.text]

    def delete(self, number: int) -> None:
        """As a person would."""
        with self.lock:
            self.entries = [entry for entry in self.entries if entry.number != number]

    def answer(self, logbook: str, path: str, query: dict[str, list[str]], log_in: tuple[str, str], parts: Parts | None) -> Page:
        """To one request."""
        if self.failing is not None:
            return Page(self.failing, "<html>bad gateway</html>")
        if logbook != self.logbook:
            return refused(f'logbook "{html.escape(logbook)}" not defined in elogd.cfg')
        if log_in != (self.user, PASSWORD_HASH):
            return Page(200, LOG_IN)
        with self.lock:
            if parts is not None:
                return self._submit(parts)
            if path:
                return self._show(path)
            return self._list(query) if query.get("mode") == ["Raw"] else Page(200, "<html>list</html>")

    def _submit(self, parts: Parts) -> Page:
        values = {name: value.decode("iso-8859-1")[:NAME_LENGTH] for name, value in parts.values.items() if name != "Text"}
        for name in self.required:
            if not values.get(name):
                return refused(f"<i>Error: Attribute <b>{name}</b> not supplied.</i><p>Please go back and enter the <b>{name}</b> field.")
        if values["Type"] not in self.types:
            return refused(f"Error: Attribute option <b>{html.escape(values['Type'])}</b> not existing")
        if len(parts.values.get("Text", b"")) > TEXT_SIZE:
            return refused("Error: Entry text too big. Please increase TEXT_SIZE and recompile elogd")
        text = parts.values.get("Text", b"").partition(b"\0")[0].decode("iso-8859-1").rstrip("\r\n-")
        number = max((entry.number for entry in self.entries), default=0) + 1
        attributes = {name: re.split(r"[\r\n\0]", values.get(name, ""))[0] for name in self.attributes}
        reply_to = int(values.get("reply_to") or 0)
        suppressed = values.get("suppress") == "1"
        self.entries.append(Entry(number, reply_to, attributes, text, values.get("encoding", "plain"), parts.files, suppressed))
        return Page(302, "<html>redir</html>", f"{self.url}/{quote(self.logbook)}/{'' if self.list_after_submit else number}")

    def _show(self, path: str) -> Page:
        if not path.isdigit() or path == "0":
            return refused(f"Invalid URL: <b>{html.escape(path)}</b>")
        if not any(entry.number == int(path) for entry in self.entries):
            return Page(200, '<html><table><tr><td class="errormsg" colspan=2>This entry has been deleted</td></tr></table></html>')
        return Page(200, "<html>entry</html>")

    def _list(self, query: dict[str, list[str]]) -> Page:
        pattern = re.compile(query.get("subtext", [""])[0], re.IGNORECASE)
        found = [raw(entry) for entry in self.entries if pattern.search(entry.text)]
        return Page(200, "".join(found), content_type="text/plain")


def refused(reason: str) -> Page:
    """An error as elogd shows it."""
    return Page(404, f'<html><title>ELOG error</title><table><tr><td class="errormsg">{reason}</td></tr></table></html>')


def raw(entry: Entry) -> str:
    """As `mode=Raw` shows it."""
    reply = f"In reply to: {entry.reply_to}\r\n" if entry.reply_to else ""
    attributes = "".join(f"{name}: {value}\r\n" for name, value in entry.attributes.items())
    head = f"$@MID@$: {entry.number}\r\nDate: Sun, 22 Nov 2026 22:17:54 +0000\r\n{reply}{attributes}"
    return f"{head}Attachment: {','.join(entry.attachments)}\r\nEncoding: {entry.encoding}\r\n{'=' * 40}\r\n{entry.text}\r\n"


class Parts(NamedTuple):
    """A form: values by name, files by their names."""

    values: dict[str, bytes]
    files: dict[str, bytes]

    @classmethod
    def read(cls, content_type: str, body: bytes) -> Self:
        """From multipart/form-data; elogd understands no other form."""
        boundary = content_type.partition("multipart/form-data; boundary=")[2].encode()
        parts = cls({}, {})
        for piece in body.split(b"--" + boundary)[1:-1]:
            head, _, content = piece.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
            name = re.search(rb'name="([^"]*)"', head)
            file = re.search(rb'filename="([^"]*)"', head)
            if name and name[1].startswith(b"attfile") and file:
                parts.files[file[1].decode()] = content
            elif name:
                parts.values[name[1].decode()] = content
        return parts


class Handler(BaseHTTPRequestHandler):
    """One request a connection, as elogd."""

    elog: ElogServer

    def do_GET(self) -> None:
        if self.path == "/_seen":
            seen = [{**asdict(entry), "attachments": list(entry.attachments)} for entry in self.elog.entries]
            self._send(Page(200, json.dumps(seen), content_type="application/json"))
            return
        cookies = SimpleCookie(self.headers.get("Cookie", ""))
        log_in = tuple(cookies[name].value if name in cookies else "" for name in ("unm", "upwd"))
        self._answer((log_in[0], log_in[1]), None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = Parts.read(self.headers["Content-Type"], body)
        self._answer((parts.values.get("unm", b"").decode(), parts.values.get("upwd", b"").decode()), parts)

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _answer(self, log_in: tuple[str, str], parts: Parts | None) -> None:
        address = urlsplit(self.path)
        _, logbook, path = [*unquote(address.path).split("/"), "", ""][:3]
        self._send(self.elog.answer(logbook, path, parse_qs(address.query), log_in, parts))

    def _send(self, page: Page) -> None:
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        if page.location:
            self.send_header("Location", page.location)
        self.end_headers()
        self.wfile.write(page.body.encode("iso-8859-1", "replace"))


@pytest.fixture
def elog() -> Iterator[ElogServer]:
    """An empty logbook for this test."""
    with ElogServer() as server:
        yield server


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    server = ElogServer(parser.parse_args().port, "demo")
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
