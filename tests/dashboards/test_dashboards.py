"""The dashboards as files: current, whole, and usable in any Grafana. What their queries return is in test_dashboards_live.py."""

from __future__ import annotations

import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

import dashboards as package
from dashboards.__main__ import write
from dashboards.generated import dashboards
from dashboards.generation import generated
from dashboards.grafana.domains import COMPUTE, DEAD_TIME, QUALITY, VOLTAGE
from dashboards.prometheus.alerts import RECORDINGS
from detectors.daq_advice import ADVICE
from tests.dashboards.expressions import exported, expressions, metric_names, substituted
from tests.prometheus_server import promtool

FOLDER = Path(package.__file__).parent
BOARDS = dashboards()
each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: str(board["uid"]))


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def test_committed_files_are_what_the_code_makes() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in (FOLDER / "generated").glob("shiftwatch-*")}
    stale = {name for name in generated().keys() | committed.keys() if generated().get(name) != committed.get(name)}
    assert not stale, "run python -m dashboards"


def test_writing_says_what_changed_and_removes_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "shiftwatch-old.json").write_text("{}")
    assert {path.name for path in write(tmp_path)} == {"shiftwatch-old.json", *generated()}
    assert write(tmp_path) == []
    assert not (tmp_path / "shiftwatch-old.json").exists()


def test_the_overview_comes_first_and_every_domain_has_its_dashboard() -> None:
    assert BOARDS[0]["uid"] == "shiftwatch-overview"
    assert len({board["uid"] for board in BOARDS}) == len({board["title"] for board in BOARDS}) == 6


@each_board
def test_a_dashboard_has_what_grafana_needs(board: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z-]{8,40}", board["uid"])
    assert "id" not in board
    assert board["schemaVersion"] >= 36
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "pattern", "source", "page"]
    assert board["annotations"]["list"][0]["target"]["tags"] == ["shiftwatch"]


@each_board
def test_panels_have_unit_title_and_description_and_ask_the_chosen_datasource(board: dict[str, Any]) -> None:
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles)
    for panel in panels(board):
        assert panel["title"], board["uid"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@each_board
def test_panels_lie_on_the_grid_and_do_not_overlap(board: dict[str, Any]) -> None:
    boxes = [(panel["title"], panel["gridPos"]) for panel in board["panels"]]
    for title, box in boxes:
        assert box["w"] > 0, title
        assert box["h"] > 0, title
        assert 0 <= box["x"] <= 24 - box["w"], title
    for (one, a), (other, b) in combinations(boxes, 2):
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"] or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert apart, (one, other)


@each_board
def test_normal_is_grey_and_only_what_is_abnormal_has_colour(board: dict[str, Any]) -> None:
    for panel in panels(board):
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {"steps": []})["steps"]
        assert [step["color"] for step in steps[:1]] in ([], ["text"]), panel["title"]
        assert all(step["color"] in {"dark-orange", "dark-red"} for step in steps[1:]), panel["title"]


@each_board
def test_only_series_that_the_daemon_exports_are_asked_for(board: dict[str, Any]) -> None:
    known = exported() | {recording.name for recording in RECORDINGS}
    known |= {"ALERTS", "process_start_time_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes"}
    for expression in expressions(board):
        names = metric_names(expression.text)
        assert names, expression.where
        assert names <= known, expression.where


@pytest.mark.prometheus
def test_prometheus_can_parse_every_expression(tmp_path: Path) -> None:
    rules = [
        {"record": f"test:{number}", "expr": expression.text}
        for number, expression in enumerate(expression for board in BOARDS for expression in expressions(board))
    ]
    path = tmp_path / "expressions.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run([promtool(), "check", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_a_row_of_an_incident_leads_to_its_page() -> None:
    (table,) = (panel for panel in BOARDS[0]["panels"] if panel["title"] == "What is wrong now")
    (override,) = table["fieldConfig"]["overrides"]
    assert override["matcher"] == {"id": "byName", "options": "incident"}
    assert override["properties"][0]["value"][0]["url"] == "${page}/incidents/${__value.raw}"


def test_no_variable_is_left_over() -> None:
    assert not [expression for board in BOARDS for expression in expressions(board) if "$" in expression.text]
    assert substituted("rate(x[$__rate_interval])") == "rate(x[10s])"


def test_every_condition_of_the_daq_is_on_its_dashboard_and_on_no_other() -> None:
    for condition in (*ADVICE, "deadtime"):
        assert re.fullmatch(DEAD_TIME, condition), condition
        assert not any(re.fullmatch(other, condition) for other in (QUALITY, VOLTAGE, COMPUTE)), condition
    assert re.fullmatch(VOLTAGE, "hv_trip")
    assert re.fullmatch(COMPUTE, "disk_failing")
    assert re.fullmatch(QUALITY, "dead_region")


def test_provisioning_names_the_datasource_and_the_folder_of_the_dashboards() -> None:
    folder = FOLDER / "grafana_provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "shiftwatch.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((folder / "dashboards" / "shiftwatch.yaml").read_text())["providers"]
    assert source["type"] == BOARDS[0]["templating"]["list"][0]["query"] == "prometheus"
    assert provider["folderUid"] == "shiftwatch"
    assert provider["options"]["path"].endswith("/shiftwatch")
