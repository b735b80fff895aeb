"""Disks through the whole daemon: one that vanishes is a finding whoever asks it, one that sleeps or is renamed is none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.collectors.exporter_metrics import metrics
from tests.collectors.smartctl_reports import ata, attribute
from tests.integration.embedded import Embedded

SMARTCTL = """
[source.disks]
collector = "smartctl"
files = "{folder}/reports/*.json"
place = "T2/node17"
period_s = 600
detectors = ["disk_forecast", "channel_health"]
"""
EXPORTER = """
[source.disks]
collector = "smartctl_exporter"
url = "file://{folder}/metrics.prom"
place = "T2/node17"
period_s = 60
detectors = ["disk_forecast", "channel_health"]
"""
DETECTORS = """
[detector.disk_forecast]
raise_rows = 1
clear_rows = 1
[detector.channel_health]
raise_rows = 1
[learning]
rows = 60
"""
STANDBY = {
    "smartctl": {"exit_status": 2, "messages": [{"string": "Device is in STANDBY mode, exit(2)", "severity": "information"}]},
    "device": {"name": "/dev/sda"},
}
OPEN_FAILED = {"smartctl": {"exit_status": 2, "messages": [{"string": "Smartctl open device: /dev/sda failed: No such device"}]}}
UNPLUGGED = None


class Disks:
    """Disks that are asked every ten minutes, and the daemon that watches them."""

    def __init__(self, folder: Path, source: str) -> None:
        self.folder = folder
        (folder / "reports").mkdir()
        self._daemon = Embedded(source + DETECTORS, folder)

    def turn(self, **reports: dict[str, Any] | None) -> dict[str, str]:
        """A round of reports by device; what is open after it."""
        at_s = int(self._daemon.clock.now_s) + 590
        for name, report in reports.items():
            path = self.folder / "reports" / f"{name}.json"
            if report is UNPLUGGED:
                path.unlink(missing_ok=True)
                continue
            told = {**report, "local_time": {"time_t": at_s}} if "local_time" in report else report
            path.write_text(json.dumps(told))
            os.utime(path, (at_s, at_s))
        shown = [report for report in reports.values() if report is not UNPLUGGED and "serial_number" in report]
        exposition = self.folder / "metrics.prom"
        exposition.write_text(metrics(*shown))
        os.utime(exposition, (at_s, at_s))
        self._daemon.run(pass_s=600)
        return self._daemon.open_conditions()

    def close(self) -> None:
        self._daemon.close()


def disk(serial: str, *attributes: dict[str, Any], name: str = "sda", hours: int = 100) -> dict[str, Any]:
    return ata(serial, *attributes, device={"name": f"/dev/{name}"}, power_on_time={"hours": hours})


@pytest.fixture
def smartctl(tmp_path: Path) -> Iterator[Disks]:
    disks = Disks(tmp_path, SMARTCTL)
    yield disks
    disks.close()


@pytest.fixture(params=[SMARTCTL, EXPORTER], ids=["smartctl", "smartctl_exporter"])
def disks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disks]:
    started = Disks(tmp_path, request.param)
    yield started
    started.close()


def test_a_disk_that_vanishes_is_a_finding_that_names_it_and_clears_when_it_is_back(disks: Disks) -> None:
    for _ in range(3):
        assert disks.turn(sda=disk("A1"), sdb=disk("B2", name="sdb")) == {}
    gone = disks.turn(sda=disk("A1"), sdb=UNPLUGGED)
    assert list(gone) == ["channel_vanished"]
    assert "B2/presence" in gone["channel_vanished"]
    assert "A1" not in gone["channel_vanished"]
    assert disks.turn(sda=disk("A1"), sdb=disk("B2", name="sdb")) == {}


def test_a_device_that_is_renamed_is_nothing(disks: Disks) -> None:
    disks.turn(sda=disk("A1"), sdb=disk("B2", name="sdb"))
    assert disks.turn(sda=disk("B2"), sdb=disk("A1", name="sdb")) == {}
    assert disks.turn(sda=UNPLUGGED, sdb=disk("A1", name="sdb"), sdc=disk("B2", name="sdc")) == {}


def test_what_was_found_of_a_disk_stands_after_it_has_vanished(disks: Disks) -> None:
    disks.turn(sda=disk("A1"), sdb=disk("B2", name="sdb"))
    assert list(disks.turn(sda=disk("A1"), sdb=disk("B2", attribute(5, 2000), name="sdb"))) == ["disk_failing"]
    for _ in range(3):
        conditions = disks.turn(sda=disk("A1"), sdb=UNPLUGGED)
        assert "disk_failing" in conditions


def test_the_only_disk_that_cannot_be_opened_any_more_is_a_finding(smartctl: Disks) -> None:
    smartctl.turn(sda=disk("A1"))
    assert list(smartctl.turn(sda=OPEN_FAILED)) == ["channel_vanished"]
    assert smartctl.turn(sda=disk("A1")) == {}


def test_a_disk_whose_report_is_not_renewed_is_a_finding_after_two_hours(smartctl: Disks) -> None:
    smartctl.turn(sda=disk("A1"), sdb=disk("B2", name="sdb"))
    told = [list(smartctl.turn(sda=disk("A1"))) for _ in range(13)]
    assert told == [[]] * 12 + [["channel_vanished"]]


def test_a_sleeping_disk_is_no_finding_however_long_it_sleeps(smartctl: Disks) -> None:
    for hour in range(70):  # channel_health has learned that it never slept
        assert smartctl.turn(sda=disk("A1", hours=hour), sdb=disk("B2", name="sdb", hours=hour)) == {}
    for hour in range(70, 100):
        assert smartctl.turn(sda=STANDBY, sdb=disk("B2", name="sdb", hours=hour)) == {}
    assert smartctl.turn(sda=disk("A1", hours=100), sdb=disk("B2", name="sdb", hours=100)) == {}
