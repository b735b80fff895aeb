"""The rules for the monitor itself, judged by Prometheus' own tool."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import runbooks
from dashboards.generation import BOARDS, RULES, generated
from dashboards.prometheus.alerts import ALERTS, RECORDINGS, STAGES
from dashboards.prometheus.rules import Alert
from tests.dashboards.expressions import exported
from tests.prometheus_server import AlertmanagerServer, StartPrometheus, promtool

CASES = Path(__file__).with_name("rules_test.yaml")


def cases() -> dict[str, list[bool]]:
    """For each alert whether it fires, in each case."""
    fires: dict[str, list[bool]] = {}
    for test in yaml.safe_load(CASES.read_text())["tests"]:
        for case in test["alert_rule_test"]:
            fires.setdefault(case["alertname"], []).append(bool(case["exp_alerts"]))
    return fires


@pytest.mark.prometheus
def test_prometheus_accepts_the_rules(tmp_path: Path) -> None:
    (tmp_path / RULES).write_text(generated()[RULES])
    done = subprocess.run([promtool(), "check", "rules", tmp_path / RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(ALERTS) + len(RECORDINGS)} rules found" in done.stdout


@pytest.mark.prometheus
def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    rules = tmp_path / RULES
    rules.write_text(generated()[RULES])
    (tmp_path / "cases.yaml").write_text(CASES.read_text().replace("[RULES]", f"[{rules}]"))
    done = subprocess.run([promtool(), "test", "rules", tmp_path / "cases.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
def test_the_dead_mans_switch_arrives_at_alertmanager_with_its_links(
    start_prometheus: StartPrometheus, alertmanager: AlertmanagerServer, tmp_path: Path
) -> None:
    rules = tmp_path / RULES
    rules.write_text(generated()[RULES])
    prometheus = start_prometheus({"alertmanager": alertmanager.address}, rule_files=[rules], alertmanagers=[alertmanager.address])
    deadline_s = time.monotonic() + 30
    while not (arrived := alertmanager.alerts(alertname="ShiftwatchDeadMansSwitch")) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert arrived, prometheus.log()
    assert arrived[0]["annotations"]["runbook_url"] == "http://127.0.0.1:9110/runbooks/dead-mans-switch"


def test_there_is_a_case_in_which_it_fires_and_one_in_which_it_does_not_for_each_alert() -> None:
    found = cases()
    assert set(found) == {alert.name for alert in ALERTS}
    for name, fires in found.items():
        wanted = {True} if name == "ShiftwatchDeadMansSwitch" else {True, False}
        assert set(fires) == wanted, name


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_says_what_it_is_and_leads_on(alert: Alert) -> None:
    entry: dict[str, Any] = alert.entry()
    assert entry["labels"]["severity"] in {"critical", "warning", "none"}
    assert set(entry["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert all(entry["annotations"].values())
    assert runbooks.text(alert.runbook) is not None
    assert alert.dashboard in {board.uid for board in BOARDS}
    assert re.search("wall time|event time|no clock", alert.clock, re.IGNORECASE)


def test_rules_rest_on_metrics_that_the_daemon_exports() -> None:
    names = exported() | {recording.name for recording in RECORDINGS}
    for rule in (*ALERTS, *RECORDINGS):
        used = set(re.findall(r"shiftwatch[a-z_:]*", rule.expression))
        assert used <= names, rule.name


def test_the_stages_that_must_run_are_stages_of_the_daemon() -> None:
    from daemon.pipeline import STAGES as STAGES_OF_THE_DAEMON  # noqa: PLC0415 - heavy

    assert set(STAGES) <= set(STAGES_OF_THE_DAEMON)
