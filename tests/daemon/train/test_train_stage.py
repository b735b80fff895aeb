"""Retraining by schedule: at its time, in a process of its own, and never in the way of what watches."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemon.clock import SystemClock
from daemon.pipeline import check_stages
from daemon.sections import ConfigurationError
from daemon.settings import parse
from daemon.train.outcome import Outcome, Request, read_outcome
from daemon.train.process import TrainingFailed, TrainingProcess
from daemon.train.stage import TrainStage, trigger
from detectors.model_store import ModelName, ModelStore
from tests.daemon.modelling import START_NS, STEP_NS, Site, normal

NAME = ModelName("table", "robust_z")


class AfterTheTable:
    """A clock that stands where the rows end."""

    speed = 1.0

    def now_ns(self) -> int:
        return START_NS + 1000 * STEP_NS


def ended(stage: TrainStage) -> dict[str, object]:
    deadline = time.monotonic() + 60
    while stage.status()["training"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return stage.status()


def test_trains_when_it_is_due_and_says_what_came_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = Site(tmp_path, learning='retrain = "weekly"')
    site.record(normal(1000))
    stage = TrainStage(site.settings, AfterTheTable())  # type: ignore[arg-type]
    try:
        assert stage.step(0.0) == 0
        assert stage.status()["next"]
        stage._due.set()
        assert stage.step(0.0) == 1
        assert stage.status()["training"], "it does not wait"
        stage._due.set()
        assert stage.step(0.0) == 0, "one at a time"
        status = ended(stage)
    finally:
        stage.close()
    assert status["outcomes"] == ["table/robust_z: in_use, the first model"]
    assert "trained model=table/robust_z version=1 outcome=in_use why='the first model'" in caplog.text
    assert ModelStore(site.settings.models.path).ledger(NAME).current == 1


def test_a_training_that_cannot_start_is_said(tmp_path: Path) -> None:
    site = Site(tmp_path, learning='retrain = "daily"')
    settings = site.settings.model_copy(update={"store": site.settings.store.model_copy(update={"url": f"sqlite:///{tmp_path}/no/s.db"})})
    stage = TrainStage(settings, SystemClock())
    stage._due.set()
    stage.step(0.0)
    problem = ended(stage)["problem"]
    stage.close()
    assert "unable to open database file" in str(problem)


def test_the_process_has_low_priority_and_can_be_ended(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.record(normal(1000))
    process = TrainingProcess(site.settings, Request())
    deadline = time.monotonic() + 30
    stat = Path(f"/proc/{process._process.pid}/stat")
    while int(stat.read_text().rsplit(")", 1)[1].split()[16]) < 10:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.end()
    with pytest.raises(TrainingFailed):
        list(process.outcomes())
    assert ModelStore(site.settings.models.path).ledger(NAME).current in (0, 1), "in use as a whole or not at all"


def settings_with(retrain: str) -> str:
    return f'[learning]\nretrain = "{retrain}"\n'


def test_schedules() -> None:
    assert str(trigger(parse(settings_with("weekly")))) == "cron[month='*', day='*', day_of_week='mon', hour='3', minute='30']"
    assert "hour='4'" in str(trigger(parse(settings_with("15 4 * * 2"))))
    for wrong in ("yearly", "1 2 3", "99 * * * *"):
        with pytest.raises(ConfigurationError, match=r"learning\.retrain: .* is neither daily, weekly nor five fields as in crontab"):
            parse(settings_with(wrong))


def test_the_stage_runs_where_a_schedule_is_configured() -> None:
    assert "train" in check_stages(parse(settings_with("daily")), [])
    assert "train" not in check_stages(parse(""), [])
    assert "history" in check_stages(parse('[history]\npath = "history"\n'), [])
    kafka = '[bus]\ndriver = "kafka"\n'
    with pytest.raises(ConfigurationError, match=r"stage train has nothing to do: learning\.retrain names no time"):
        check_stages(parse(kafka), ["train"])
    with pytest.raises(ConfigurationError, match=r"stage history has nothing to do: history\.path names no folder"):
        check_stages(parse(kafka), ["history"])
    with pytest.raises(ConfigurationError, match=r"history\.path: s3:// cannot be written"):
        parse('[history]\npath = "s3://bucket/history"\n')


def test_an_outcome_is_read_from_its_line() -> None:
    outcome = Outcome("hv", "vae", "kept_out", "worse", 3, 10, 5, {"separation": 0.5}, report=("a", "b"))
    assert read_outcome(json.dumps(outcome.as_json())) == outcome
    for line in ("[]", "{}", "nonsense", '{"state": 1, "more": 2}'):
        with pytest.raises(ValueError, match=r"."):
            read_outcome(line)


def test_it_is_the_first_to_go_where_memory_runs_out_and_says_how_it_ended(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.record(normal(1000))
    process = TrainingProcess(site.settings, Request())
    pid = process._process.pid
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"
    assert os.getpriority(os.PRIO_PROCESS, pid) >= 15, "from its first import on"
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(TrainingFailed, match="ended by SIGKILL: memory ran out, or somebody ended it"):
        list(process.outcomes())


def test_where_priorities_may_not_be_set_it_trains_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("daemon.train.process.os.setpriority", refused)
    site = Site(tmp_path)
    site.record(normal(1000))
    (outcome,) = TrainingProcess(site.settings, Request()).outcomes()
    assert outcome.state == "in_use"


def test_what_a_library_prints_is_no_outcome(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.record(normal(1000))
    plugin = (
        "import detectors.training as t\n_train = t.train\ndef train(*a):\n    print('progress 1/2', flush=True)\n    return _train(*a)\n"
    )
    code = f"{plugin}import daemon.training as d\nd.train = train\nd.main()\n"
    asked = json.dumps({"settings": site.settings.model_dump(mode="json"), "request": {}})
    done = subprocess.run([sys.executable, "-c", code], input=asked, capture_output=True, text=True, check=True)
    assert [read_outcome(line).state for line in done.stdout.splitlines()] == ["in_use"]
    assert "progress 1/2" in done.stderr


def test_leaving_while_it_trains_is_no_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = Site(tmp_path, learning='retrain = "daily"')
    site.record(normal(1000))
    stage = TrainStage(site.settings, AfterTheTable())  # type: ignore[arg-type]
    stage._due.set()
    stage.step(0.0)
    stage.close()
    assert "training failed" not in caplog.text
    assert stage.status()["problem"] == ""
