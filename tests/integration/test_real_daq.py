"""The main job on real input: recorded snapshots of a data acquisition become one incident that names the culprit."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from daemon.examples import example_text
from deploy.kafka.broker import KafkaBroker

pytestmark = pytest.mark.data

STOP_STARTED = "2016-11-30T12:19:48.371Z"
SECOND_SNAPSHOT_LATER = "2016-11-30T12:20:03"
WINDOW = 'start = "2016-11-30T00:00:00Z"\nend = "2016-12-01T00:00:00Z"\n'


def configuration(folder: Path, broker: str = "127.0.0.1:9092") -> Path:
    """The shipped configuration, limited to one day, with a broker."""
    text = example_text("replay-daq").replace("period_s = 7", f"period_s = 7\n{WINDOW}")
    text += f'\n[bus.kafka]\nbootstrap_servers = "{broker}"\nsession_timeout_s = 6\nheartbeat_interval_s = 1\n'
    path = folder / "day.toml"
    path.write_text(text)
    return path


def command(data: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "daemon", "replay", str(data / "daq"), "--json", *arguments]


def replayed(data: Path, *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(command(data, *arguments), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_stop_is_one_incident_with_its_culprit_and_victims(data: Path, tmp_path: Path) -> None:
    found = replayed(data, "-c", str(configuration(tmp_path)))

    assert len(found) == 1, "nothing else is raised on that day, before or after"
    incident = found[0]
    assert incident["condition"] == "fed_stuck"
    assert incident["cause"]["place"] == "CMS/TRACKER/TIBTID/FED 101"
    assert incident["started"] == STOP_STARTED
    assert STOP_STARTED <= incident["opened"] <= SECOND_SNAPSHOT_LATER, "no later than two snapshots after the first bad one"
    assert incident["resolved"] is not None
    assert "CMS/TRACKER/TIBTID" in incident["victims"], "the partition that is busy because of it"
    assert sum("/FED " in place for place in incident["victims"]) > 400, "the front ends without fragments"
    assert "recycle" in incident["decision"]


def test_whole_folder_by_the_shipped_configuration_names_each_field(data: Path) -> None:
    found = replayed(data)

    assert sum(i["started"].startswith("2016-11-30") for i in found) == 1
    expected = {"id", "state", "severity", "condition", "cause", "places", "started", "opened", "resolved", "findings", "decision"}
    assert all(expected <= i.keys() and {"place", "channel"} <= i["cause"].keys() for i in found)


def test_any_speed_gives_the_same_incidents(data: Path, tmp_path: Path) -> None:
    config = str(configuration(tmp_path))
    assert replayed(data, "-c", config, "--speed", "300") == replayed(data, "-c", config)


@pytest.mark.kafka
def test_kafka_gives_the_same_incidents_as_memory(data: Path, tmp_path: Path, kafka: KafkaBroker) -> None:
    config = str(configuration(tmp_path, kafka.bootstrap))
    assert replayed(data, "-c", config, "--bus", "kafka") == replayed(data, "-c", config)


@pytest.mark.kafka
def test_killed_in_the_middle_and_started_again_gives_the_same_incidents(data: Path, tmp_path: Path, kafka: KafkaBroker) -> None:
    config = str(configuration(tmp_path, kafka.bootstrap))
    store = f"sqlite:///{tmp_path}/replay.db"
    resumable = ["-c", config, "--bus", "kafka", "--id", f"kill{os.getpid()}", "--store", store]

    with subprocess.Popen(command(data, *resumable, "--speed", "60"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        wait_for_incident(tmp_path / "replay.db")
        first.send_signal(signal.SIGKILL)

    assert replayed(data, *resumable) == replayed(data, "-c", config)


def wait_for_incident(database: Path) -> None:
    """Until the stop has been found: the kill comes while the incident is open."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if database.exists():
            try:
                with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
                    if connection.execute("select count(*) from incidents").fetchone()[0]:
                        return
            except sqlite3.OperationalError:
                pass  # not created yet
        time.sleep(0.1)
    raise AssertionError("the replay found nothing within two minutes")
