"""The privileged helper: which disks it asks, how, and what it leaves for the daemon."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from collectors.frame import Frame
from tests.collectors.smartctl_reports import ata, collector
from tests.deploy.configurations import DEPLOY

SCRIPT = DEPLOY / "systemd" / "smartctl-reports"
SCAN = """\
/dev/sda -d scsi # /dev/sda, SCSI device
/dev/bus/0 -d megaraid,4 # /dev/bus/0 [megaraid_disk_04], SCSI device
/dev/nvme0 -d nvme # /dev/nvme0, NVMe device
/dev/sdb -d scsi # /dev/sdb, SCSI device
# /dev/sdc -d scsi # not understood
"""
FAKE = """#!/bin/sh
if [ "$1" = --scan ]; then cat "$FAKE/scan"; exit 0; fi
for last; do :; done
echo "$*" >>"$FAKE/asked"
cat "$FAKE/$(basename "$last").json" 2>/dev/null
exit 64
"""


class Host:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports = folder / "reports"
        self.reports.mkdir()
        (folder / "scan").write_text(SCAN)
        for device, serial in (("sda", "A1"), ("0", "M4"), ("nvme0", "N0")):
            (folder / f"{device}.json").write_text(json.dumps(ata(serial)))
        (folder / "smartctl").write_text(FAKE)
        (folder / "smartctl").chmod(0o755)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.folder}:{os.environ['PATH']}", "FAKE": str(self.folder)}
        return subprocess.run([str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_each_disk_that_answers_has_a_report_that_the_daemon_reads(host: Host) -> None:
    done = host.run(str(host.reports))
    assert done.returncode == 0
    assert done.stderr == "smartctl-reports: /dev/sdb (auto): no answer\n"
    assert {path.name for path in host.reports.iterdir()} == {"sda@auto.json", "bus_0@megaraid,4.json", "nvme0@nvme.json"}
    assert {path.stat().st_mode & 0o777 for path in host.reports.iterdir()} == {0o644}

    (frame,) = [block for block in collector(files=f"{host.reports}/*.json").collect() if isinstance(block, Frame)]
    assert {channel.name.split("/")[0] for channel in frame.layout.channels} == {"A1", "M4", "N0"}


def test_the_arguments_are_fixed_and_sleeping_disks_are_left_asleep(host: Host) -> None:
    host.run(str(host.reports))
    asked = (host.folder / "asked").read_text().splitlines()
    assert asked[:2] == [
        "--json --all --nocheck=standby -d auto /dev/sda",
        "--json --all --nocheck=standby -d megaraid,4 /dev/bus/0",
    ]
    assert len(asked) == 4


def test_a_disk_that_no_longer_answers_keeps_its_last_report(host: Host) -> None:
    host.run(str(host.reports))
    before = (host.reports / "sda@auto.json").stat().st_mtime_ns
    (host.folder / "sda.json").unlink()
    host.run(str(host.reports))
    assert (host.reports / "sda@auto.json").stat().st_mtime_ns == before, "so that the daemon sees its age"


def test_a_disk_that_the_system_does_not_know_any_more_has_no_report(host: Host) -> None:
    host.run(str(host.reports))
    source = collector(files=f"{host.reports}/*.json")
    (before,) = [block for block in source.collect() if isinstance(block, Frame)]
    (host.folder / "scan").write_text(SCAN.replace("/dev/bus/0 -d megaraid,4", "# gone"))
    assert host.run(str(host.reports)).returncode == 0
    assert {path.name for path in host.reports.iterdir()} == {"sda@auto.json", "nvme0@nvme.json"}
    (after,) = [block for block in source.collect() if isinstance(block, Frame)]
    assert {c.name for c in before.layout.columns} - {c.name for c in after.layout.columns} == {"M4/presence"}


def test_a_scan_that_finds_nothing_takes_no_report_away(host: Host) -> None:
    host.run(str(host.reports))
    (host.folder / "scan").write_text("")
    host.run(str(host.reports))
    assert len(list(host.reports.glob("*.json"))) == 3


def test_without_a_folder_it_says_how_it_is_used(host: Host) -> None:
    done = host.run()
    assert done.returncode != 0
    assert "usage: smartctl-reports FOLDER" in done.stderr
