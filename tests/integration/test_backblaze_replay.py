"""A published quarter of drive statistics through the pipeline, with the shipped configuration."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.collectors.drive_statistics import drive, table
from tests.daemon.test_service import cli


def quarter(folder: Path, *, packed: bool) -> Path:
    """Five days of three drives: one collects pending sectors, fails on the fourth day and is gone on the fifth."""
    days = {}
    for day in range(1, 6):
        date = f"2024-01-{day:02}"
        rows = [drive("ZHZ1", date, smart_5=0, smart_197=0), drive("ZHZ2", date, smart_5=0, smart_188=51540393996, smart_197=0)]
        rows += [drive("ZHZ3", date, smart_5=0, smart_197=(0, 0, 16, 40)[day - 1], failure=int(day == 4))] if day < 5 else []
        days[f"{date}.csv"] = table([*rows, drive("OTHER", date, model="HGST HUH721212ALN604", smart_197=99)])
    if not packed:
        for name, text in days.items():
            (folder / name).write_text(text)
        return folder
    with zipfile.ZipFile(folder / "data_Q1_2024.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in reversed(days.items()):
            archive.writestr(f"data_Q1_2024/{name}", text)
    return folder / "data_Q1_2024.zip"


@pytest.mark.parametrize("packed", [True, False])
def test_a_drive_that_fails_is_found_before_and_the_others_are_not(tmp_path: Path, packed: bool) -> None:
    done = cli("replay", str(quarter(tmp_path, packed=packed)), "--json")
    assert done.returncode == 0, done.stderr
    (incident,) = map(json.loads, done.stdout.splitlines())
    assert (incident["condition"], incident["started"][:10]) == ("disk_failing", "2024-01-03"), "the day before it failed"
    assert incident["cause"]["place"] == "Backblaze/ST12000NM0008-ZHZ3"
    assert "failure of ST12000NM0008-ZHZ3 is FAILED" in incident["why"], "what came of it is told in the same incident"
