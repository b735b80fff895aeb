"""A Grafana for the tests: the parts of its HTTP API that shiftwatch uses, refusing what the documentation says is refused.

Annotations, folders and dashboards, each with the documented status codes. What it holds can be looked at while it runs:

    def test_something(grafana: GrafanaServer) -> None:
        grafana.url, grafana.token          # for the configuration; the token in a file
        grafana.annotations                 # by id, as GET gives them
        grafana.failing = 503               # every answer from now on; None again to mend it
        grafana.requests                    # (method, path) of all that was asked
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.grafana_dashboards import Answer, Dashboards, Refusal

TOKEN = "glsa_correct_horse_battery_staple_0f1e2d3c"
TAGS_LENGTH = 500
"""Characters of all tags of an annotation together, `[annotations] tags_length`."""
DEFAULT_LIMIT = 100


class GrafanaServer:
    """Serves under `url` (with `prefix`, as behind a reverse proxy) until it is closed."""

    def __init__(self, prefix: str = "") -> None:
        self.token = TOKEN
        self.prefix = prefix
        self.failing: int | None = None
        self.retry_after_s: int | None = None
        self.requests: list[tuple[str, str]] = []
        self.annotations: dict[int, dict[str, Any]] = {}
        self.dashboards = Dashboards()
        self.lock = threading.Lock()
        self._ids = itertools.count(1)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"grafana": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}{prefix}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nobody is answered any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def annotated(self, *tags: str) -> list[dict[str, Any]]:
        """Annotations that have all of these tags, the newest first."""
        with self.lock:
            return self._found({"tags": list(tags)})

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Answer:
        """What is answered to a request with the right token. Raises Refusal."""
        for pattern, methods in self._routes().items():
            if match := re.fullmatch(pattern, path):
                if method not in methods:
                    raise Refusal(404, "Not found")
                return methods[method](query, body, *match.groups())
        return self.dashboards.answer(method, path, query, body)

    def _routes(self) -> dict[str, dict[str, Callable[..., Answer]]]:
        one = {"GET": self._get, "PUT": self._replace, "PATCH": self._patch, "DELETE": self._delete}
        return {
            r"/api/health": {"GET": lambda _query, _body: {"commit": "0", "database": "ok", "version": "12.0.0"}},
            r"/api/annotations": {"GET": lambda query, _body: self._found(query), "POST": self._add},
            r"/api/annotations/(\d+)": one,
        }

    def _found(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        wanted = set(query.get("tags", ()))
        since, until = (int(query.get(name, [default])[0]) for name, default in (("from", "0"), ("to", str(2**62))))
        limit = int(query.get("limit", ["0"])[0]) or DEFAULT_LIMIT
        dashboard = query.get("dashboardUID", [""])[0]
        found = [
            annotation
            for annotation in self.annotations.values()
            if wanted <= set(annotation["tags"])
            and annotation["timeEnd"] >= since
            and annotation["time"] <= until
            and dashboard in ("", annotation["dashboardUID"])
        ]
        return sorted(found, key=lambda annotation: (-annotation["time"], -annotation["id"]))[:limit]

    def _add(self, _query: object, body: Any) -> Answer:
        sent = checked(body)
        if not sent.get("text"):
            raise Refusal(400, "Failed to save annotation")
        now_ms = time.time_ns() // 1_000_000
        begins = sent.get("time") or now_ms
        ends = sent.get("timeEnd") or begins
        number = next(self._ids)
        self.annotations[number] = {
            "id": number,
            "alertId": 0,
            "dashboardUID": sent.get("dashboardUID") or "",
            "panelId": sent.get("panelId") or 0,
            "time": min(begins, ends),
            "timeEnd": max(begins, ends),
            "text": sent["text"],
            "tags": sent.get("tags") or [],
            "created": now_ms,
            "updated": now_ms,
        }
        return {"message": "Annotation added", "id": number}

    def _get(self, _query: object, _body: object, number: str) -> Answer:
        return self._known(number)

    def _replace(self, _query: object, body: Any, number: str) -> Answer:
        """All properties; times that are left out stay as they are."""
        known, sent = self._known(number), checked(body)
        known.update(text=sent.get("text", ""), tags=sent.get("tags") or [], updated=time.time_ns() // 1_000_000)
        self._set_times(known, sent)
        return {"message": "Annotation updated"}

    def _patch(self, _query: object, body: Any, number: str) -> Answer:
        """Only what is given."""
        known, sent = self._known(number), checked(body)
        known.update({name: sent[name] for name in ("text", "tags") if sent.get(name)}, updated=time.time_ns() // 1_000_000)
        self._set_times(known, sent)
        return {"message": "Annotation patched"}

    def _delete(self, _query: object, _body: object, number: str) -> Answer:
        del self.annotations[self._known(number)["id"]]
        return {"message": "Annotation deleted"}

    def _set_times(self, known: dict[str, Any], sent: dict[str, Any]) -> None:
        known["time"] = sent.get("time") or known["time"]
        known["timeEnd"] = sent.get("timeEnd") or known["timeEnd"]

    def _known(self, number: str) -> dict[str, Any]:
        if int(number) not in self.annotations:
            raise Refusal(404, "Annotation not found")
        return self.annotations[int(number)]


def checked(body: Any) -> dict[str, Any]:
    """An annotation whose fields have the documented types: times are whole milliseconds. Raises Refusal."""
    if not isinstance(body, dict):
        raise Refusal(400, "bad request data")
    for name, kind in {"time": int, "timeEnd": int, "panelId": int, "text": str, "dashboardUID": str}.items():
        value = body.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise Refusal(400, "bad request data")
    tags = body.get("tags")
    if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        raise Refusal(400, "bad request data")
    if (length := len(json.dumps(tags or []))) > TAGS_LENGTH:
        raise Refusal(400, f"tags length ({length}) exceeds the maximum allowed ({TAGS_LENGTH})")
    return body


class Handler(BaseHTTPRequestHandler):
    """Speaks JSON with whoever has the token."""

    grafana: ClassVar[GrafanaServer]
    protocol_version = "HTTP/1.1"
    timeout = 5.0

    def _take(self) -> None:
        parts = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        grafana = self.grafana
        with grafana.lock:
            grafana.requests.append((self.command, parts.path))
            try:
                answer: Answer = self._answer(unquote(parts.path), parse_qs(parts.query), raw)
                status = 200
            except Refusal as refusal:
                status, answer = refusal.code, refusal.body
        self._send(status, answer)

    def _answer(self, path: str, query: dict[str, list[str]], raw: bytes) -> Answer:
        grafana = self.grafana
        if grafana.failing is not None:
            raise Refusal(grafana.failing, "not today")
        if not path.startswith(f"{grafana.prefix}/api/"):
            raise Refusal(404, "Not found")
        path = path.removeprefix(grafana.prefix)
        if path != "/api/health" and self.headers.get("Authorization") != f"Bearer {grafana.token}":
            raise Refusal(401, "Invalid API key")
        body = None
        if self.command in ("POST", "PUT", "PATCH"):
            if not (self.headers.get("Content-Type") or "").startswith("application/json"):
                raise Refusal(415, "unsupported content type")
            try:
                body = json.loads(raw)
            except ValueError:
                raise Refusal(400, "bad request data") from None
        return grafana.answer(self.command, path, query, body)

    def _send(self, status: int, answer: Answer) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(data)))
        if self.grafana.retry_after_s is not None and status in (429, 503):
            self.send_header("Retry-After", str(self.grafana.retry_after_s))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
        """Nothing is printed."""

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _take  # noqa: N815 - the standard library's names


@pytest.fixture
def grafana() -> Iterator[GrafanaServer]:
    """A Grafana for this test, empty."""
    with GrafanaServer() as server:
        yield server
