"""Recorded tables through the pipeline."""

from __future__ import annotations

import json
from pathlib import Path

from tests.daemon.test_service import cli

CONFIG = """
experiment = "LAB"
[source.log]
collector = "table"
files = "{source}"
channel = "name"
period_s = 10
detectors = ["limits"]
[detector.limits]
raise_rows = 1
clear_rows = 1
[[detector.limits.rules]]
channel = "*"
high = 10
condition = "overvoltage"
"""


def test_a_log_of_single_readings_is_judged_to_its_end(tmp_path: Path) -> None:
    """One line a reading, each when it changed: aligned to ticks, the last one included."""
    lines = ["time,name,value"]
    for minute, (name, value) in enumerate([("a", 5), ("b", 6), ("a", 12), ("b", 6.5), ("a", 5.5), ("b", 6), ("b", 50)]):
        lines.append(f"2025-03-21T12:{minute:02d}:03Z,{name},{value}")
    log = tmp_path / "readings.csv"
    log.write_text("\n".join(lines) + "\n")
    config = tmp_path / "log.toml"
    config.write_text(CONFIG)

    done = cli("replay", str(log), "-c", str(config), "--json")

    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(i["cause"]["channel"], i["started"], i["resolved"]) for i in found] == [
        ("a", "2025-03-21T12:02:10.000Z", "2025-03-21T12:04:10.000Z"),
        ("b", "2025-03-21T12:06:10.000Z", None),
    ]
