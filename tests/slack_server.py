"""A Slack for the tests: refuses what the documentation forbids, shows what was posted, and clicks buttons.

`python -m tests.slack_server --port 0` prints its address; other processes then use GET /_seen (what was posted),
POST /_click {"action": "shiftwatch_acknowledge", "user": "ada", "ts": "..."} and POST /_outage {"kind": "error", "methods": ["chat.*"],
"times": 2}. The address ends in /api/, which is the `base_url` of a client.
"""

from __future__ import annotations

import argparse
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from tests.slack_rules import RefusedError
from tests.slack_socket_mode import SocketMode
from tests.slack_workspace import APP_ID, CHANNEL, TEAM, RateLimitedError, Workspace

Kind = Literal["up", "drop", "error", "hang", "lost"]
"""drop: the connection ends without an answer; error: HTTP 500; hang: no answer; lost: it takes effect, and the answer is lost."""


@dataclass(slots=True)
class Outage:
    """What goes wrong, with which methods, how often (None: until it is mended)."""

    kind: Kind = "up"
    methods: tuple[str, ...] = ("*",)
    times: int | None = None


class SlackServer:
    """The server, running from when it is built until `close`."""

    def __init__(self, port: int = 0, *, burst: int = 100, processing_refusals: int = 0) -> None:
        self.links = SocketMode()
        self.workspace = Workspace(open_link=self.links.open_link, burst=burst, processing_refusals=processing_refusals)
        self.answers: list[dict[str, Any]] = []
        """What was sent to a response_url: messages that only the one who clicked sees."""
        self.requests: list[str] = []
        """Methods in the order of their arrival."""
        self._outage = Outage()
        self._mended = threading.Event()
        self._port = port
        self._begin()

    @property
    def url(self) -> str:
        """The base_url of a client."""
        return self.workspace.url

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Messages of the channel, without replies."""
        return [message for message in self.workspace.messages if "thread_ts" not in message]

    @property
    def replies(self) -> list[dict[str, Any]]:
        """What is in threads."""
        return [message for message in self.workspace.messages if "thread_ts" in message]

    def outage(self, kind: Kind, methods: Sequence[str] = ("*",), times: int | None = None) -> None:
        """From now on; "up" mends it."""
        self._mended.set()
        self._mended = threading.Event()
        self._outage = Outage(kind, tuple(methods), times)

    def click(self, action: str, user: str = "ada", ts: str = "", *, envelope_id: str = "", action_ts: str = "") -> bool:
        """A person clicks a button of a message (the newest that has it); whether that was acknowledged within 3 seconds."""
        message, button = next(self._buttons(action, ts))
        payload = {
            "type": "block_actions",
            "team": {"id": TEAM, "domain": "test"},
            "user": {"id": f"U0{user.upper()}", "username": user, "name": user, "team_id": TEAM},
            "api_app_id": APP_ID,
            "token": "verification-token",
            "container": {"type": "message", "message_ts": message["ts"], "channel_id": message["channel"], "is_ephemeral": False},
            "trigger_id": secrets.token_hex(12),
            "channel": {"id": message["channel"], "name": "shift-crew"},
            "message": {key: message[key] for key in ("type", "text", "user", "ts")},
            "response_url": self.url.removesuffix("api/") + f"actions/{APP_ID}/{secrets.token_hex(8)}",
            "actions": [{**button, "block_id": "b1", "action_ts": action_ts or f"{time.time():.6f}"}],
        }
        return self.links.send(payload, envelope_id=envelope_id)

    def stop(self) -> None:
        """Nobody listens on the port any more; `start` listens again on the same one."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def start(self) -> None:
        """Listens again after `stop`."""
        self._begin()

    def close(self) -> None:
        """Ends everything."""
        self._mended.set()
        self.stop()
        self.links.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def handle(self, method: str, perform: Callable[[], dict[str, Any]]) -> tuple[int, dict[str, Any], bool]:
        """Status, answer, and whether the answer reaches the one who asked."""
        self.requests.append(method)
        kind = self._goes_wrong(method)
        if kind == "hang":
            self._mended.wait(30)
        if kind in {"drop", "hang"}:
            return 0, {}, False
        if kind == "error":
            return 500, {}, True
        try:
            answer = perform()
        except RefusedError as refused:
            return 200, refused.answer(), kind != "lost"
        except RateLimitedError:
            return 429, {"ok": False, "error": "ratelimited"}, kind != "lost"
        return 200, answer, kind != "lost"

    def _goes_wrong(self, method: str) -> Kind:
        outage = self._outage
        if outage.times == 0 or not any(fnmatch(method, pattern) for pattern in outage.methods):
            return "up"
        if outage.times is not None:
            outage.times -= 1
        return outage.kind

    def _buttons(self, action: str, ts: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        for message in reversed(self.workspace.messages):
            for block in message.get("blocks", []):
                for element in block.get("elements", []):
                    if element.get("action_id") == action and ts in {"", message["ts"]}:
                        yield message, element
        raise LookupError(f"no message with a button {action}")

    def _begin(self) -> None:
        self._http = _Http(("127.0.0.1", self._port), _Handler)
        self._http.slack = self
        self._port = self._http.server_address[1]
        self.workspace.url = f"http://127.0.0.1:{self._port}/api/"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, name="slack", daemon=True)
        self._thread.start()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    slack: SlackServer


class _Handler(BaseHTTPRequestHandler):
    server: _Http

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/_seen":
            self._send(200, {**self.server.slack.workspace.seen(), "answers": self.server.slack.answers})
        else:
            self.do_POST()

    def do_POST(self) -> None:
        slack, path = self.server.slack, urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path.startswith("/api/upload/v1/"):
            self._perform("upload", lambda: slack.workspace.upload(path.rpartition("/")[2], body))
        elif path.startswith("/actions/"):
            slack.answers.append(json.loads(body))
            self._send(200, {"ok": True})
        elif path == "/_click":
            asked = json.loads(body)
            self._send(200, {"acknowledged": slack.click(asked["action"], asked.get("user", "ada"), asked.get("ts", ""))})
        elif path == "/_outage":
            asked = json.loads(body)
            slack.outage(asked["kind"], asked.get("methods", ["*"]), asked.get("times"))
            self._send(200, {"ok": True})
        else:
            self._call(path.removeprefix("/api/"), body)

    def _call(self, method: str, body: bytes) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self._perform(method, lambda: self.server.slack.workspace.call(method, token, self._arguments(body)))

    def _perform(self, method: str, perform: Callable[[], dict[str, Any]]) -> None:
        status, answer, heard = self.server.slack.handle(method, perform)
        if heard:
            self._send(400 if method == "upload" and not answer.get("ok") and status == 200 else status, answer)
        else:
            self._vanish()

    def _arguments(self, body: bytes) -> dict[str, Any]:
        if "json" in (self.headers.get("Content-Type") or ""):
            return dict(json.loads(body or b"{}"))
        args: dict[str, Any] = dict(parse_qsl(urlsplit(self.path).query) + parse_qsl(body.decode()))
        for name in ("blocks", "metadata", "files"):  # as JSON within the form
            if name in args:
                args[name] = json.loads(args[name])
        return args

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode() if status != 500 else b"<html>Internal Server Error</html>"
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8" if status != 500 else "text/html")
        self.send_header("Content-Length", str(len(content)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(content)

    def _vanish(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is that of http.server
        """Says nothing."""


def main() -> None:
    """Runs until it is ended."""
    parser = argparse.ArgumentParser(description="A Slack for tests: one channel, tokens as in tests/slack_workspace.py.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--burst", type=int, default=100, help="messages a channel takes at once before it is one a second")
    options = parser.parse_args()
    server = SlackServer(options.port, burst=options.burst)
    print(server.url, CHANNEL, flush=True)  # noqa: T201 - that is what it is for
    threading.Event().wait()


if __name__ == "__main__":
    main()
