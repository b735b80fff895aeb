"""Every query of every dashboard returns data from a real Prometheus that scrapes the demonstration while something is wrong in it."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from daemon.demo.session import DAEMON, Session
from daemon.optimizer import metrics as optimizer
from dashboards.generated import dashboards
from dashboards.generation import RULES, generated
from tests.dashboards.expressions import expressions
from tests.prometheus_server import StartPrometheus

OTHER_DOMAINS = {"shiftwatch-data-quality", "shiftwatch-computing", "shiftwatch-dead-time"}
"""The fault of so short a demonstration is a high-voltage trip."""
LISTS = {
    "What is wrong now": "lists incidents, and in the other domains there is none",
    "Incidents by condition": "has a line for each condition of an incident that lasts, and in the other domains there is none",
}
TIMEOUT_S = 20.0


@contextmanager
def optimizer_on_port() -> Iterator[str]:
    """The demonstration has no batch system: the optimizer's own metrics, served as the daemon serves them."""
    registry = CollectorRegistry()
    for metric in (optimizer.PLANS, optimizer.GAIN, optimizer.DRAINED_NODES, optimizer.OUT_RATIO, optimizer.ENDANGERED_NODES):
        registry.register(metric)
    registry.register(optimizer.LAST_READ)
    optimizer.PLANS.labels(kind="drain", state="proposed").set(1)
    optimizer.GAIN.labels(kind="drain", unit="core hours").set(12)
    optimizer.DRAINED_NODES.labels(by="others").set(2)
    optimizer.LAST_READ.set_to_current_time()
    server, thread = start_http_server(0, "127.0.0.1", registry)
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def wait_for_an_incident(demo: Session) -> None:
    for name, event in demo.events():
        if name == DAEMON and event.get("resolved") is None:
            return
    raise AssertionError("the demonstration ended without an incident")


@pytest.mark.prometheus
@pytest.mark.slow
def test_every_query_of_every_dashboard_returns_data(start_prometheus: StartPrometheus, tmp_path: Path) -> None:
    rules = tmp_path / RULES
    rules.write_text(generated()[RULES])
    folder = tmp_path / "demo"
    folder.mkdir()
    with Session(folder, 28, 1) as demo, optimizer_on_port() as batch:
        demo.start()
        port = tomllib.loads((folder / "demo.toml").read_text())["http"]["port"]
        targets = {"shiftwatch": f"127.0.0.1:{port}", "optimizer": batch}
        prometheus = start_prometheus(targets, rule_files=[rules])
        wait_for_an_incident(demo)
        prometheus.until("shiftwatch_incident")
        left = [expression for board in dashboards() for expression in expressions(board)]
        asked = len(left)
        deadline_s = time.monotonic() + TIMEOUT_S
        while left and time.monotonic() < deadline_s:
            left = [expression for expression in left if not prometheus.query(expression.text)]
            time.sleep(0.5)
        alerts = {alert["labels"]["alertname"]: alert["state"] for alert in prometheus.alerts()}
    assert asked > 60
    excused = {(board, panel) for board in OTHER_DOMAINS for panel in LISTS}
    assert {(e.dashboard, e.panel) for e in left} <= excused, [f"{e.where}: {e.text}" for e in left]
    assert alerts["ShiftwatchDeadMansSwitch"] == "firing"
    assert [name for name, state in alerts.items() if state == "firing"] == ["ShiftwatchDeadMansSwitch"]
