"""Bad input is normal: each kind is said clearly, goes to the dead letters or becomes a finding, and the rest goes on."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import uproot

from collectors.frame import Frame
from detectors.finding import Breaches
from detectors.limits import LimitsRule
from tests.integration.embedded import Embedded

Start = Callable[[str], Embedded]

LIMITS = """
[detector.limits]
raise_rows = 1
clear_rows = 1
[[detector.limits.rules]]
channel = "*"
high = 100
condition = "too_high"
"""
PROMETHEUS = """
[source.hv]
collector = "prometheus"
url = "file://{folder}/hv.txt"
period_s = 10
detectors = ["limits"]
"""
ROOT = """
[source.dqm]
collector = "root"
files = "{folder}/DQM_V0001_R*.root"
accumulation = "since_start"
period_s = 10
detectors = ["occupancy"]
[detector.occupancy]
method = "channel_health"
[learning]
rows = 20
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Embedded] = []

    def begin(config: str) -> Embedded:
        running.append(Embedded(config, tmp_path))
        return running[-1]

    yield begin
    for embedded in running:
        embedded.close()


def write_hv(daemon: Embedded, folder: Path, behind_s: float = 0, **volts: float | str) -> None:
    """The exporter's file, written a second before the daemon will read it, by a clock that may be behind."""
    path = folder / "hv.txt"
    path.write_text("".join(f"{name}_volts {value}\n" for name, value in volts.items()))
    at_ns = daemon.clock.time_ns + int((9 - behind_s) * 1e9)
    os.utime(path, ns=(at_ns, at_ns))


def write_root(path: Path, at_ns: int, *, bins: int = 10, entries: int = 1000) -> None:
    """A file as a monitoring system replaces it: written beside, then renamed."""
    beside = path.with_suffix(".new")
    with uproot.recreate(beside) as file:
        file["ECAL/energy"] = (np.full(bins, entries / bins), np.linspace(0, 1, bins + 1))
    os.utime(beside, ns=(at_ns, at_ns))
    beside.rename(path)


def test_truncated_root_file(start: Start, tmp_path: Path) -> None:
    daemon = start(ROOT)
    path = tmp_path / "DQM_V0001_R000000001.root"
    for number in range(1, 4):
        write_root(path, daemon.clock.time_ns + 9_000_000_000, entries=1000 * number)
        daemon.run()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    daemon.run()

    letters = daemon.dead_letters()
    assert letters
    assert path.name in letters[0].subject
    assert letters[0].reason
    write_root(path, daemon.clock.time_ns + 9_000_000_000, entries=5000)
    daemon.run()
    assert not daemon.dead_letters()
    assert not daemon.open_conditions(), "and the rest goes on"


def test_text_in_a_number_column(start: Start, tmp_path: Path) -> None:
    daemon = start(PROMETHEUS + LIMITS)
    write_hv(daemon, tmp_path, ch0=5, ch1=6)
    daemon.run()
    write_hv(daemon, tmp_path, ch0="tripped", ch1=200)
    daemon.run()

    (letter,) = daemon.dead_letters()
    assert "hv.txt" in letter.subject + letter.reason
    assert "tripped" in letter.reason
    assert list(daemon.open_conditions()) == ["too_high"], "the other channel is still judged"


def test_all_readings_missing(start: Start, tmp_path: Path) -> None:
    daemon = start(PROMETHEUS + LIMITS)
    write_hv(daemon, tmp_path, ch0=5, ch1=6)
    daemon.run()
    write_hv(daemon, tmp_path, ch0=math.nan, ch1=math.nan)
    daemon.run()
    assert not daemon.open_conditions(), "no reading is no breach"
    write_hv(daemon, tmp_path, ch0=5, ch1=200)
    daemon.run()
    assert list(daemon.open_conditions()) == ["too_high"]


def test_binning_that_changes_in_mid_run(start: Start, tmp_path: Path) -> None:
    daemon = start(ROOT)
    path = tmp_path / "DQM_V0001_R000000001.root"
    for number in range(1, 30):
        write_root(path, daemon.clock.time_ns + 9_000_000_000, entries=1000 * number, bins=10 if number < 15 else 20)
        daemon.run()

    assert not daemon.incidents(), "another binning is another histogram, learned anew, and no alarm"
    assert not daemon.dead_letters()


def test_ingest_message_without_a_time(start: Start) -> None:
    daemon = start('[source.weather]\ncollector = "pushed"\ndetectors = ["limits"]\n' + LIMITS)
    daemon.bus.publish("ingest", "weather", json.dumps({"source": "weather", "values": {"temperature": 20}}).encode())
    good = {"source": "weather", "time": daemon.clock.now_s, "values": {"temperature": 200}, "place": "HALL"}
    daemon.bus.publish("ingest", "weather", json.dumps(good).encode())
    daemon.rest()

    (letter,) = daemon.dead_letters()
    assert "weather" in letter.reason
    assert "no time" in letter.reason
    assert list(daemon.open_conditions()) == ["too_high"], "the message after it is judged"


def test_source_clock_that_jumps_an_hour_back(start: Start, tmp_path: Path) -> None:
    daemon = start(PROMETHEUS + LIMITS)
    for _ in range(3):
        write_hv(daemon, tmp_path, ch0=5)
        daemon.run()
    write_hv(daemon, tmp_path, behind_s=3600, ch0=200)
    daemon.run()

    conditions = daemon.open_conditions()
    assert {"clock_off", "too_high"} & conditions.keys(), "it is said"
    found = {i.condition for i in daemon.incidents()}
    assert "clock_off" in found or any("clock" in i.why for i in daemon.incidents())
    assert any("too_high" in i.condition or "above 100" in i.why + i.sentence for i in daemon.incidents()), "its readings are still judged"
    for _ in range(4):
        write_hv(daemon, tmp_path, ch0=5)
        daemon.run()
    assert not daemon.open_conditions(), "and it clears by itself"


def test_channel_that_appears(start: Start, tmp_path: Path) -> None:
    daemon = start(PROMETHEUS + LIMITS)
    write_hv(daemon, tmp_path, ch0=5)
    daemon.run()
    write_hv(daemon, tmp_path, ch0=5, ch1=200)
    daemon.run()

    (incident,) = daemon.incidents()
    assert incident.condition == "too_high"
    assert "ch1" in incident.sentence, "it is judged from its first reading, and the others are not disturbed"


def test_channel_that_vanishes(start: Start, tmp_path: Path) -> None:
    daemon = start(PROMETHEUS + LIMITS)
    write_hv(daemon, tmp_path, ch0=5, ch1=6)
    daemon.run()
    write_hv(daemon, tmp_path, ch0=5)
    daemon.run()

    assert list(daemon.open_conditions()) == ["channel_vanished"]
    assert "ch1" in daemon.open_conditions()["channel_vanished"]
    write_hv(daemon, tmp_path, ch0=5, ch1=6)
    daemon.run()
    assert not daemon.open_conditions()


def test_a_source_that_dies_and_comes_back(start: Start, tmp_path: Path) -> None:
    daemon = start(PROMETHEUS + LIMITS)
    write_hv(daemon, tmp_path, ch0=5)
    daemon.run()
    tmp_path.joinpath("hv.txt").unlink()
    for _ in range(6):
        daemon.run()

    sentence = daemon.open_conditions()["source_silent"]
    assert "hv" in sentence
    assert "hv.txt" in sentence, "with the reason that the collector gave"
    write_hv(daemon, tmp_path, ch0=5)
    daemon.run()
    assert not daemon.open_conditions()


def test_a_detector_that_fails_on_a_block(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = LimitsRule.judge

    def superstitious(rule: LimitsRule, frame: Frame) -> Breaches:
        if 13 in frame.values:
            raise ZeroDivisionError("thirteen")
        return judge(rule, frame)

    monkeypatch.setattr(LimitsRule, "judge", superstitious)
    daemon = start(PROMETHEUS + LIMITS)
    for volts in (5, 13, 200):
        write_hv(daemon, tmp_path, ch0=volts)
        daemon.run()

    (letter,) = daemon.dead_letters()
    assert "ZeroDivisionError: thirteen" in letter.reason
    assert list(daemon.open_conditions()) == ["too_high"], "the next block is judged"
