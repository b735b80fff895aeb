"""One case a receiver: its other side, its configuration, and what has arrived there. A new receiver is added to CASES."""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
import time
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from daemon.notify.alertmanager import AlertmanagerReceiver
from daemon.notify.grafana import GrafanaReceiver
from daemon.notify.logbook import LogbookReceiver
from daemon.notify.receiver import Receiver, Surroundings
from daemon.notify.slack import SlackReceiver
from daemon.notify.webhook import WebhookReceiver
from daemon.records import Incident, Label
from tests.elog_server import PASSWORD_HASH, ElogServer
from tests.faulty_network import FaultyNetwork
from tests.grafana_server import GrafanaServer
from tests.prometheus_server import INSTALL, AlertmanagerServer, alertmanager_program
from tests.slack_server import SlackServer
from tests.slack_workspace import APP_TOKEN, BOT_TOKEN, CHANNEL

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8 + b"--\r\n"
TIMEOUT_S = 1.0


def example(kind: Any) -> dict[str, Any]:
    """The options in the example of a receiver's docstring, without the framework's key."""
    text = textwrap.dedent(re.sub(r"(?s).*Example:\n", "", kind.__doc__ or ""))
    ((_, section),) = tomllib.loads(text)["receiver"].items()
    return {key: value for key, value in section.items() if key != "receiver"}


def surroundings(said: list[Label], now_ns: Callable[[], int] = time.time_ns) -> Surroundings:
    """As the daemon gives them."""
    zone = ZoneInfo("Europe/Zurich")
    return Surroundings("DEMO", zone, now_ns, "http://127.0.0.1:9110", lambda _: PICTURE, said.append, lambda _: None)


class Case(ABC):
    """A receiver with its other side behind a network that can be broken."""

    kind: ClassVar[Any]
    secrets: ClassVar[tuple[str, ...]]
    """What may appear nowhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[Label] = []
        self._stack = ExitStack()
        self.port = self.start()
        self.network = self._stack.enter_context(FaultyNetwork(self.port))

    def close(self) -> None:
        """Ends servers."""
        self._stack.close()

    def build(self) -> Receiver:
        """From the documented example, with this case's addresses and secrets."""
        options = self.kind.options_model.model_validate({**example(self.kind), **self.changed(), "timeout_s": TIMEOUT_S})
        built: Receiver = self.kind("tested", options, surroundings(self.said))
        return built

    def secret(self, value: str) -> str:
        """A file with a secret."""
        path = self.secret_path(value)
        path.write_text(f"{value}\n")
        return str(path)

    def secret_path(self, value: str) -> Path:
        """Where `secret` puts it."""
        return self.folder / f"secret-{hashlib.sha256(value.encode()).hexdigest()[:8]}"

    @abstractmethod
    def start(self) -> int:
        """Starts the other side (into self._stack); its port."""

    @abstractmethod
    def changed(self) -> dict[str, Any]:
        """Options that differ from the example."""

    @abstractmethod
    def count(self, incident: Incident) -> int:
        """How many messages (alerts, entries) about an incident there are."""

    @abstractmethod
    def says(self, incident: Incident) -> str:
        """All that stands there about an incident."""

    @abstractmethod
    def is_over(self, incident: Incident) -> bool:
        """Whether a person there sees that it is resolved."""


class AlertmanagerCase(Case):
    """A real Alertmanager."""

    kind = AlertmanagerReceiver
    secrets = ("tok3n of the alertmanager",)

    def start(self) -> int:
        from tests.conftest import missing  # noqa: PLC0415 - conftest imports servers as plugins

        if alertmanager_program() is None:
            missing(f"Alertmanager: {INSTALL}")
        self.server = self._stack.enter_context(AlertmanagerServer(self.folder / "alertmanager"))
        return self.server.port

    def changed(self) -> dict[str, Any]:
        return {"urls": [self.network.url], "bearer_token_file": self.secret(self.secrets[0])}

    def count(self, incident: Incident) -> int:
        return len(self.server.alerts(incident=incident.id))

    def says(self, incident: Incident) -> str:
        return json.dumps(self.server.alerts(incident=incident.id), ensure_ascii=False)

    def is_over(self, incident: Incident) -> bool:
        return not self.server.alerts(incident=incident.id)


class GrafanaCase(Case):
    """A server that checks requests as Grafana's documentation says."""

    kind = GrafanaReceiver

    def start(self) -> int:
        self.server = self._stack.enter_context(GrafanaServer())
        return _port(self.server.url)

    @property
    def secrets(self) -> tuple[str, ...]:  # type: ignore[override]  # the server makes the token
        return (self.server.token,)

    def changed(self) -> dict[str, Any]:
        return {"url": self.network.url, "token_file": self.secret(self.server.token)}

    def count(self, incident: Incident) -> int:
        return len(self._found(incident))

    def says(self, incident: Incident) -> str:
        return json.dumps(self._found(incident), ensure_ascii=False)

    def is_over(self, incident: Incident) -> bool:
        return all(found["timeEnd"] > found["time"] and "Resolved after" in found["text"] for found in self._found(incident))

    def _found(self, incident: Incident) -> list[dict[str, Any]]:
        return self.server.annotated("shiftwatch", f"incident:{incident.id}")


class LogbookCase(Case):
    """A server that answers as elogd."""

    kind = LogbookReceiver
    secrets = ("corr3ct horse", PASSWORD_HASH)

    def start(self) -> int:
        self.server = self._stack.enter_context(ElogServer())
        return _port(self.server.url)

    def changed(self) -> dict[str, Any]:
        password = self.secret(self.server.password)
        return {"url": self.network.url, "logbook": self.server.logbook, "username": self.server.user, "password_file": password}

    def count(self, incident: Incident) -> int:
        return len([entry for entry in self.server.thread(incident.id) if not entry.reply_to])

    def says(self, incident: Incident) -> str:
        return "\n".join(f"{entry.attributes} {entry.text}" for entry in self.server.thread(incident.id))

    def is_over(self, incident: Incident) -> bool:
        numbers = {entry.number for entry in self.server.entries}
        replies = [entry for entry in self.server.thread(incident.id) if "Resolved after" in entry.text]
        return len(replies) == 1 and replies[0].reply_to in numbers


class WebhookCase(Case):
    """A listener that takes what has the same Idempotency-Key once, and keeps one record an incident."""

    kind = WebhookReceiver
    secrets = ("tok3n of the webhook", "s3cret of the signature", "s3cret-path")

    def start(self) -> int:
        self.bodies: dict[str, dict[str, Any]] = {}
        self.headers: list[dict[str, str]] = []
        self.raw: list[bytes] = []
        case = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                case.raw.append(body)
                case.headers.append({key.lower(): value for key, value in self.headers.items()})
                case.bodies.setdefault(self.headers["Idempotency-Key"], json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)
        return int(server.server_port)

    def changed(self) -> dict[str, Any]:
        return {
            "url": f"{self.network.url}/s3cret-path",
            "bearer_token_file": self.secret(self.secrets[0]),
            "secret_file": self.secret(self.secrets[1]),
        }

    def count(self, incident: Incident) -> int:
        return len([body for body in self._about(incident) if body["event"] == "opened"])

    def says(self, incident: Incident) -> str:
        return json.dumps(self._about(incident), ensure_ascii=False)

    def is_over(self, incident: Incident) -> bool:
        return [body["event"] for body in self._about(incident)].count("resolved") == 1

    def _about(self, incident: Incident) -> list[dict[str, Any]]:
        return [body for body in self.bodies.values() if body["incident"]["id"] == incident.id]


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


class SlackCase(Case):
    """A server that refuses what Slack's documentation forbids."""

    kind = SlackReceiver
    secrets = (BOT_TOKEN, APP_TOKEN)

    def start(self) -> int:
        self.server = self._stack.enter_context(SlackServer())
        return _port(self.server.url)

    def changed(self) -> dict[str, Any]:
        files = {"token_file": self.secret(BOT_TOKEN), "app_token_file": self.secret(APP_TOKEN)}
        return {"base_url": f"{self.network.url}/api/", "channel": CHANNEL, **files}

    def count(self, incident: Incident) -> int:
        return len(self._found(incident))

    def says(self, incident: Incident) -> str:
        times = {message["ts"] for message in self._found(incident)}
        replies = [reply for reply in self.server.replies if reply["thread_ts"] in times]
        return json.dumps([self._found(incident), replies], ensure_ascii=False)

    def is_over(self, incident: Incident) -> bool:
        return bool(self._found(incident)) and all("resolved" in message["text"].lower() for message in self._found(incident))

    def _found(self, incident: Incident) -> list[dict[str, Any]]:
        return [message for message in self.server.messages if incident.id in json.dumps(message.get("metadata", {}))]


CASES: tuple[type[Case], ...] = (AlertmanagerCase, GrafanaCase, LogbookCase, SlackCase, WebhookCase)
