"""The demo as a user runs it, with the real daemon; short, so that it shows the fault with several effects alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon.demo.session import run_demo


@pytest.mark.slow
def test_a_trip_its_dead_region_and_its_dead_time_are_one_incident(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passed = run_demo(28, 1, folder=tmp_path, as_json=True)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    score = said[-1]
    assert passed, (tmp_path / "daemon.log").read_text()
    assert (score["found"], score["missed"], score["false"]) == (1, 0, [])
    (injected,) = [line for line in said if line["event"] == "injected"]
    (noticed,) = [line for line in said if line["event"] == "noticed"]
    assert noticed["fault"] == injected["id"]
    assert noticed["incident"]["cause"]["place"] == injected["cause"]
    assert [line["fault"] for line in said if line["event"] == "cleared"] == [injected["id"]]
