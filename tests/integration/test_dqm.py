"""Histograms and lumisection tables through the pipeline, with conditions that mute and say in which run it was."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import uproot

from daemon.examples import example_text
from tests.daemon.test_service import cli
from tests.integration.embedded import Embedded

REPLAY = """
experiment = "CMS"

[source.luminosity]
collector = "lumisections"
role = "conditions"
files = "{source}/oms.json"
runs = { file = "{source}/runs.csv" }

[source.rates]
collector = "lumisections"
files = "{source}/rates.csv"
runs = { file = "{source}/runs.csv" }
place = "CMS/L1"
detectors = ["limits"]
mute = [{ condition = "beams_stable", unless = ["true"] }]

[detector.limits]
raise_rows = 2
clear_rows = 2
[[detector.limits.rules]]
channel = "rate"
high = 50
condition = "rate_high"
"""


def test_recorded_lumisections_mute_what_is_not_in_stable_beams_and_name_run_and_lumisection(tmp_path: Path) -> None:
    """The same excursion twice: while the beams are not stable it is nothing, in stable beams it is an incident."""
    (tmp_path / "runs.csv").write_text("run_number,start_time\n381594,2024-06-06 10:00:00\n381595,2024-06-06 12:00:00\n")
    rows = [(run, ls) for run in (381594, 381595) for ls in range(1, 61)]
    columns = {
        "run_number": [run for run, _ in rows],
        "lumisection_number": [ls for _, ls in rows],
        "beams_stable": [run == 381595 for run, _ in rows],
    }
    (tmp_path / "oms.json").write_text(json.dumps(columns))
    lines = ["run,ls,rate", *(f"{run},{ls},{99 if 20 <= ls < 26 else 10}" for run, ls in rows)]
    (tmp_path / "rates.csv").write_text("\n".join(lines) + "\n")
    config = tmp_path / "replay.toml"
    config.write_text(REPLAY)

    done = cli("replay", str(tmp_path), "-c", str(config), "--json")

    assert done.returncode == 0, done.stderr
    (incident,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (incident["condition"], incident["conditions"]) == ("rate_high", "run 381595, LS 21")
    assert incident["started"] == "2024-06-06T12:07:22.890Z"  # lumisection 20: 19 × 23.31 s after the start of the run


def root_file(path: Path, total: np.ndarray, time_ns: int) -> None:
    with uproot.recreate(path) as file:
        file["DQMData/Run 382711/Ecal/Run summary/EBOccupancyTask/occupancy"] = total, np.arange(len(total) + 1.0)
    os.utime(path, ns=(time_ns, time_ns))


@pytest.fixture
def embedded(tmp_path: Path) -> Embedded:
    """The shipped configuration for data-quality monitoring with its paths below tmp_path."""
    text = example_text("dqm").replace("/data/", f"{tmp_path}/").replace("rows = 400", "rows = 30")
    (tmp_path / "dqm").mkdir()
    (tmp_path / "oms").mkdir()
    return Embedded(text, tmp_path)


def test_shipped_configuration_judges_root_files_in_stable_beams_only(embedded: Embedded, tmp_path: Path) -> None:
    """A cell that gets no entries any more: said in stable beams, not before."""
    random = np.random.default_rng(3)
    expected = np.full(50, 400.0)
    total = np.zeros(50)
    table = tmp_path / "oms" / "lumisections.csv"
    lines = ["run,ls,start_time,beams_stable,ecal_ready,delivered_lumi,recorded_lumi"]
    seen: dict[str, set[str]] = {"unstable": set(), "stable": set()}
    for ls in range(1, 71):
        phase = "unstable" if 45 <= ls < 55 else "stable"
        has_hole = ls >= 50
        start = datetime.fromtimestamp(embedded.clock.time_ns // 10**9, UTC)
        lines.append(f"382711,{ls},{start.isoformat()},{phase == 'stable'},1,0.2,0.198")
        table.write_text("\n".join(lines) + "\n")
        embedded.run("luminosity", pass_s=11.0)
        counts = random.poisson(expected).astype(np.float64)
        counts[17] *= not has_hole
        total += counts
        root_file(tmp_path / "dqm" / "DQM_V0001_Ecal_R000382711.root", total, embedded.clock.time_ns)
        embedded.run("ecal-dqm", pass_s=1.0)
        embedded.run("dead-time", pass_s=1.0)
        seen[phase] |= {i.condition for i in embedded.incidents() if i.resolved_ns is None and "ECAL" in " ".join(i.places)}
    assert not embedded.dead_letters()
    assert seen["unstable"] == set()
    assert seen["stable"]
    (incident,) = [i for i in embedded.incidents() if "ECAL" in " ".join(i.places)]
    assert incident.conditions.startswith("run 382711, LS 5")
    embedded.close()
