"""A real Prometheus and a real Alertmanager for the tests. Both are ready in a fraction of a second, so each test has its own.

def test_something(alertmanager: AlertmanagerServer, start_prometheus: StartPrometheus) -> None:
    prometheus = start_prometheus({"shiftwatch": "127.0.0.1:9109"}, alertmanagers=[alertmanager.address])
    prometheus.until("up", lambda samples: bool(samples))
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pytest
import urllib3

INSTALL = "apt-get install prometheus prometheus-alertmanager"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
ALERTMANAGER_CONFIGURATION: dict[str, Any] = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}


class ServerError(AssertionError):
    """The server did not start, or refused a question that it should have answered."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query: its labels, and its value."""

    labels: Mapping[str, str]
    value: float


class Server:
    """A process that serves HTTP on a port of its own; it keeps port and data when it is stopped and started again."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.name = name
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._pool = urllib3.PoolManager(retries=False, timeout=10.0)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where it is reached, without a slash at the end."""
        return f"http://{self.address}"

    def arguments(self) -> list[str]:
        """The command that starts it."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self._pool.clear()

    def start(self) -> None:
        """Returns when it is ready to be asked."""
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(self.arguments(), stdout=log, stderr=log, cwd=self.folder)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.stop()
                raise ServerError(f"{self.name} did not start: {self.log()[-2000:]}")
            time.sleep(0.03)

    def stop(self) -> None:
        """Ends it; it may be started again."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def log(self) -> str:
        """What it has printed."""
        return (self.folder / f"{self.name}.log").read_text(errors="replace")

    def request(self, method: str, path: str, body: object = None, fields: Mapping[str, str] | None = None) -> Any:
        """The JSON that it answers with, None for an empty answer. Raises ServerError for an answer other than 2xx."""
        if body is None:
            answer = self._pool.request(method, self.url + path, fields=fields)
        else:
            answer = self._pool.request(method, self.url + path, json=body)
        if not 200 <= answer.status < 300:
            raise ServerError(f"{self.name} answered {answer.status} to {method} {path}: {answer.data[:500]!r}")
        return json.loads(answer.data) if answer.data else None

    def _is_ready(self) -> bool:
        try:
            return self._pool.request("GET", f"{self.url}/-/ready").status == 200
        except urllib3.exceptions.HTTPError:
            return False


class PrometheusServer(Server):
    """Prometheus that scrapes and evaluates every `interval_s`."""

    def __init__(
        self,
        folder: Path,
        targets: Mapping[str, str],
        *,
        rule_files: Sequence[Path] = (),
        alertmanagers: Sequence[str] = (),
        interval_s: float = 0.5,
    ) -> None:
        """targets: HOST:PORT by job; rule_files: absolute paths; alertmanagers: HOST:PORT each."""
        super().__init__(folder, "prometheus")
        interval = f"{round(interval_s * 1000)}ms"
        configuration = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "scrape_configs": [{"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()],
            "rule_files": [str(path) for path in rule_files],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
        }
        (folder / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML

    def arguments(self) -> list[str]:
        """Nothing outside its folder is touched."""
        options = {
            "config.file": self.folder / "prometheus.yml",
            "storage.tsdb.path": self.folder / "tsdb",
            "web.listen-address": self.address,
            "rules.alert.resend-delay": "1s",  # Alertmanager is found after the first alerts, 5 s after the start
            "log.level": "warn",
        }
        return ["prometheus", *(f"--{name}={value}" for name, value in options.items())]

    def query(self, expression: str) -> list[Sample]:
        """What an expression is now: a vector's series, or one sample without labels for a scalar."""
        answer = self.request("POST", "/api/v1/query", fields={"query": expression})["data"]
        if answer["resultType"] == "scalar":
            return [Sample({}, float(answer["result"][1]))]
        return [Sample(series["metric"], float(series["value"][1])) for series in answer["result"]]

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that are pending or firing, as /api/v1/alerts gives them."""
        found: list[dict[str, Any]] = self.request("GET", "/api/v1/alerts")["data"]["alerts"]
        return found

    def until(self, expression: str, holds: Callable[[list[Sample]], bool] = bool, timeout_s: float = 30.0) -> list[Sample]:
        """Asks until what the expression gives satisfies `holds` (by default: until there is something)."""
        deadline_s = time.monotonic() + timeout_s
        while not holds(samples := self.query(expression)):
            if time.monotonic() > deadline_s:
                raise ServerError(f"still not so after {timeout_s:g} s: {expression} gives {samples}")
            time.sleep(0.1)
        return samples


class AlertmanagerServer(Server):
    """Alertmanager alone, without a cluster. By default it tells nobody; resolves what is not repeated after 5 minutes."""

    def __init__(self, folder: Path, configuration: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, "alertmanager")
        (folder / "alertmanager.yml").write_text(json.dumps(configuration or ALERTMANAGER_CONFIGURATION))  # JSON is YAML

    def arguments(self) -> list[str]:
        """Nothing outside its folder is touched."""
        options = {
            "config.file": self.folder / "alertmanager.yml",
            "storage.path": self.folder / "data",
            "web.listen-address": self.address,
            "cluster.listen-address": "",
            "log.level": "warn",
        }
        return [alertmanager_program() or "alertmanager", *(f"--{name}={value}" for name, value in options.items())]

    def alerts(self, **labels: str) -> list[dict[str, Any]]:
        """Alerts that are not resolved (silenced ones too), as /api/v2/alerts gives them, with these labels."""
        found: list[dict[str, Any]] = self.request("GET", "/api/v2/alerts")
        return [alert for alert in found if labels.items() <= alert["labels"].items()]

    def silences(self) -> list[dict[str, Any]]:
        """All silences, as /api/v2/silences gives them."""
        found: list[dict[str, Any]] = self.request("GET", "/api/v2/silences")
        return found

    def silence(self, labels: Mapping[str, str], duration_s: float = 3600.0, who: str = "shifter", comment: str = "known") -> str:
        """Makes a silence for alerts with exactly these labels, as a person would; its id."""
        now = datetime.now(UTC)
        matchers = [{"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in labels.items()]
        times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(seconds=duration_s)).isoformat()}
        answer = self.request("POST", "/api/v2/silences", {"matchers": matchers, "createdBy": who, "comment": comment, **times})
        return str(answer["silenceID"])

    def expire(self, silence_id: str) -> None:
        """Ends a silence."""
        self.request("DELETE", f"/api/v2/silence/{silence_id}")


class StartPrometheus(Protocol):
    """What the fixture `start_prometheus` gives: starts one that is stopped when the test ends."""

    def __call__(
        self, targets: Mapping[str, str], *, rule_files: Sequence[Path] = (), alertmanagers: Sequence[str] = (), interval_s: float = 0.5
    ) -> PrometheusServer:
        """As PrometheusServer, which is ready."""


@pytest.fixture
def start_prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartPrometheus]:
    """Starts a Prometheus for this test."""
    from tests.conftest import missing  # noqa: PLC0415 - conftest imports this module as a plugin

    if shutil.which("prometheus") is None:
        missing(f"Prometheus: {INSTALL}")
    started: list[PrometheusServer] = []

    def start(
        targets: Mapping[str, str], *, rule_files: Sequence[Path] = (), alertmanagers: Sequence[str] = (), interval_s: float = 0.5
    ) -> PrometheusServer:
        folder = tmp_path_factory.mktemp("prometheus")
        server = PrometheusServer(folder, targets, rule_files=rule_files, alertmanagers=alertmanagers, interval_s=interval_s)
        started.append(server.__enter__())
        return server

    yield start
    for server in started:
        server.__exit__(None, None, None)


@pytest.fixture
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertmanagerServer]:
    """An Alertmanager for this test, empty and ready."""
    from tests.conftest import missing  # noqa: PLC0415 - conftest imports this module as a plugin

    if alertmanager_program() is None:
        missing(f"Alertmanager: {INSTALL}")
    with AlertmanagerServer(tmp_path_factory.mktemp("alertmanager")) as server:
        yield server


def alertmanager_program() -> str | None:
    """Its name where Debian or its makers put it, None where it is not installed."""
    return next((found for name in ("prometheus-alertmanager", "alertmanager") if (found := shutil.which(name))), None)


def promtool() -> str:
    """The path of promtool; without it the test is one that misses something."""
    from tests.conftest import missing  # noqa: PLC0415 - as above

    found = shutil.which("promtool")
    if found is None:
        missing(f"promtool: {INSTALL}")
        raise AssertionError
    return found


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
