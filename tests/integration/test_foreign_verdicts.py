"""Verdicts of another system through the stages: one incident together with our own findings, and none for a check that cries wolf."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.embedded import Embedded

CONFIG = """
experiment = "LAB"
[source.hv]
collector = "prometheus"
url = "file://{folder}/hv.txt"
place = "LAB/TPC/A07"
period_s = 60
detectors = ["limits"]
[source.qc]
collector = "verdicts"
files = "{folder}/qc.json"
rows = "checks"
verdict = "quality"
score = "chi2"
message = "comment"
place = "LAB"
places = { "*/*/*" = "{1}/{2}" }
period_s = 60
detectors = ["verdicts"]
[source.conditions]
collector = "table"
files = "{folder}/conditions.csv"
role = "conditions"
[detector.limits]
raise_rows = 1
clear_rows = 1
[[detector.limits.rules]]
channel = "*"
low = 90
condition = "hv_trip"
severity = "critical"
[detector.verdicts]
raise_rows = 2
clear_rows = 2
[[causality]]
cause = { condition = "hv_trip", place = "LAB/{module}/**" }
effect = { condition = "check_failed", place = "LAB/{module}/**" }
"""


class Lab:
    """An exporter's file and a document of verdicts that are both written before each turn."""

    def __init__(self, folder: Path, config: str = CONFIG) -> None:
        self.folder = folder
        self.daemon = Embedded(config, folder)

    def turn(self, volts: float = 100.0, **verdicts: str) -> None:
        checks = [
            {"name": name.replace("__", "/"), "quality": quality, "chi2": 9.5 if quality == "Bad" else 1.0, "comment": f"chi2 {volts}"}
            for name, quality in verdicts.items()
        ]
        at_ns = self.daemon.clock.time_ns + 59 * 10**9
        for name, text in (("hv.txt", f"a07_volts {volts}\n"), ("qc.json", json.dumps({"checks": checks}))):
            (self.folder / name).write_text(text)
            os.utime(self.folder / name, ns=(at_ns, at_ns))
        self.daemon.run("hv", "qc", pass_s=60)

    def beam(self, *, on: bool) -> None:
        time_s = self.daemon.clock.now_s + 1
        (self.folder / "conditions.csv").write_text(f"time,beam\n{time_s},{int(on)}\n")
        self.daemon.run("conditions", pass_s=1)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.daemon.close()


def test_a_verdict_that_goes_bad_joins_our_own_finding_at_the_same_place(lab: Lab) -> None:
    for _ in range(30):
        lab.turn(TPC__A07__gain="Good", ITS__B1__noise="Good")
    assert not lab.daemon.incidents()
    lab.turn(volts=20, TPC__A07__gain="Good", ITS__B1__noise="Good")
    for _ in range(5):
        lab.turn(volts=20, TPC__A07__gain="Bad", ITS__B1__noise="Good")

    (incident,) = lab.daemon.incidents()
    assert (incident.condition, incident.severity, incident.cause_place) == ("hv_trip", "critical", "LAB/TPC/A07")
    assert incident.detectors == ("limits", "verdicts")
    assert len(incident.findings) == 2
    assert "TPC/A07/gain is bad by qc: chi2 # (score 9.5)" in incident.why

    for _ in range(6):
        lab.turn(TPC__A07__gain="Good", ITS__B1__noise="Good")
    (incident,) = lab.daemon.incidents()
    assert incident.resolved_ns is not None


def test_a_verdict_alone_is_an_incident_with_its_decision_and_runbook(lab: Lab) -> None:
    for _ in range(30):
        lab.turn(TPC__A07__gain="Good")
    for _ in range(3):
        lab.turn(TPC__A07__gain="Bad")
    (incident,) = lab.daemon.incidents()
    assert (incident.condition, incident.severity, incident.runbook) == ("check_failed", "warning", "check-failed")
    assert incident.sentence == "TPC/A07/gain is bad by qc: chi2 # (score 9.5)"
    assert incident.decision.startswith("Open the check in its own system")
    assert "never before" in incident.why


def test_a_check_that_cries_wolf_opens_one_incident_and_keeps_none_open(lab: Lab) -> None:
    """Ten hours in which it is bad 40 % of the time."""
    for _ in range(60):
        for quality in ("Good", "Good", "Good", "Good", "Good", "Good", "Bad", "Bad", "Bad", "Bad"):
            lab.turn(TPC__A07__gain=quality)
    incidents = [i for i in lab.daemon.incidents() if i.severity != "info"]
    assert len(incidents) == 1
    assert incidents[0].resolved_ns is not None
    assert (incidents[0].resolved_ns - incidents[0].opened_ns) / 1e9 < 1800


def test_bad_from_the_first_row_opens_no_incident(lab: Lab) -> None:
    for _ in range(60):
        lab.turn(TPC__A07__gain="Bad")
    assert not lab.daemon.incidents()


def test_what_checks_say_while_the_source_is_muted_is_not_taken_for_their_habit(tmp_path: Path) -> None:
    """Without beam the check flickers; with beam it is believed."""
    mute = 'mute = [{ condition = "beam", values = ["0"] }]\n[source.conditions]'
    lab = Lab(tmp_path, CONFIG.replace("[source.conditions]", mute))
    try:
        for minute in range(110):
            if minute in (0, 30, 90):
                lab.beam(on=minute != 30)
            muted = 31 <= minute < 89
            lab.turn(TPC__A07__gain="Bad" if muted and minute % 4 < 2 else "Good")
        assert not lab.daemon.incidents()
        for _ in range(3):
            lab.turn(TPC__A07__gain="Bad")
        (incident,) = lab.daemon.incidents()
        assert incident.condition == "check_failed"
    finally:
        lab.daemon.close()
