"""What the simulated experiment shows over its protocols, and that its faults do what they say."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from daemon.demo import geometry
from daemon.demo.experiment import Experiment
from daemon.demo.faults import BusyFrontEnd, CurrentDrift, DeadRegion, FailingDisk, HotModule, HotTower, MovedPeak, SupermoduleTrip
from tests.daemon.demo.conftest import START_NS, Stepped

RNG = np.random.default_rng(3)


def occupancy(path: Path) -> NDArray[np.float64]:
    with uproot.open(path) as file:
        return np.asarray(file["ECAL/occupancy_EB"].values())


def metrics(stepped: Stepped, page: str) -> dict[tuple[str, str], tuple[float, float]]:
    """(name, value of the last label) → value, timestamp in s."""
    with urllib.request.urlopen(f"http://127.0.0.1:{stepped.simulation.exporter.port}{page}") as answer:
        text = answer.read().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.timestamp is not None
            found[sample.name, next(reversed(sample.labels.values()), "")] = (sample.value, float(sample.timestamp))
    return found


def test_histograms_are_totals_since_the_start_of_the_run(stepped: Stepped) -> None:
    (path,) = stepped.root_files
    before = occupancy(path)
    for _ in range(4):
        stepped.simulation.step()
    after = occupancy(path)
    assert path.stat().st_mtime_ns == stepped.simulation.time_ns
    assert (after >= before).all()
    expected = 5 * before.sum()
    assert after.sum() == pytest.approx(expected, rel=0.02)
    with uproot.open(path) as file:
        histogram = file["ECAL/occupancy_EB"]
        assert histogram.member("fEntries") == after.sum()
        assert file["ECAL/energy"].axis().member("fTitle") == "pair mass [GeV]"
        mean_time_ns = file["ECAL/timing_vs_eta"].values()
        assert np.abs(mean_time_ns).max() < 0.5
        moments = file["ECAL/energy"]
        assert not moments.weighted  # plain counts
        assert 85 < moments.member("fTsumwx") / moments.member("fTsumw") < 95


def test_dead_towers_are_dead_and_the_map_keeps_eta_and_phi_apart(stepped: Stepped) -> None:
    counts = occupancy(stepped.root_files[0])
    assert counts.shape == (geometry.TOWERS_ETA, geometry.TOWERS_PHI)
    assert {(int(eta), int(phi)) for eta, phi in np.argwhere(counts == 0)} == set(geometry.DEAD_TOWERS)


@pytest.mark.parametrize("stepped", [((), (2,))], indirect=True)
def test_a_new_run_has_a_file_of_its_own_and_totals_from_zero(stepped: Stepped) -> None:
    for _ in range(4):
        stepped.simulation.step()
    first, second = stepped.root_files
    assert [path.stem[-6:] for path in (first, second)] == ["382711", "382712"]
    assert occupancy(first).sum() == pytest.approx(4 * occupancy(second).sum(), rel=0.02)
    assert metrics(stepped, "/conditions")["conditions_run_number", ""][0] == 382_712
    assert metrics(stepped, "/conditions")["conditions_lumisection", ""][0] == 1
    assert stepped.events("run")[0]["run"] == 382_712


def test_exporter_text_carries_the_time_of_the_data(stepped: Stepped) -> None:
    stepped.simulation.step()
    found = metrics(stepped, "/metrics")
    assert {timestamp for _, timestamp in found.values()} == {stepped.simulation.time_ns // 1_000_000 / 1_000}
    assert 85_000 < found["daq_trigger_rate_hertz", ""][0] < 95_000
    assert 0 < found["daq_deadtime_ratio", "total"][0] < 0.05
    assert sum(name == "daq_fed_busy_ratio" for name, _ in found) == 16
    assert found["daq_events_total", ""][0] > 2e6 * 2 * 0.9
    assert abs(stepped.simulation.time_ns - START_NS) < 4 * geometry.LUMISECTION_NS


def test_an_unknown_page_is_not_found(stepped: Stepped) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        metrics(stepped, "/other")


def test_smartctl_files_show_all_disks_with_the_time_of_the_data(stepped: Stepped) -> None:
    shown = {path.stem: json.loads(path.read_text()) for path in (stepped.folder / "smart").glob("*.json")}
    assert set(shown) == {disk.name for disk in geometry.DISKS}
    for said in shown.values():
        assert said["local_time"]["time_t"] == stepped.simulation.time_ns // 1_000_000_000
        assert said["smart_status"]["passed"]
    assert shown["node03-nvme0"]["nvme_smart_health_information_log"]["media_errors"] == 0
    assert len({said["serial_number"] for said in shown.values()}) == len(shown)


@pytest.mark.parametrize("stepped", [(((SupermoduleTrip(RNG), 1, 6),), ())], indirect=True)
def test_a_trip_kills_its_supermodule_and_makes_its_front_end_busy(stepped: Stepped) -> None:
    stepped.simulation.step()
    stepped.simulation.step()
    before = occupancy(stepped.root_files[0])
    (fault,) = stepped.events("injected")
    channel = next(c for c in geometry.CHANNELS if c.place == fault["cause"])
    assert channel.supermodule is not None
    assert channel.fed is not None
    assert set(fault["places"]) == {channel.place, channel.supermodule.place, channel.fed.place}
    stepped.simulation.step()
    gained = occupancy(stepped.root_files[0]) - before
    assert gained[channel.supermodule.towers].sum() == 0
    assert gained.sum() == pytest.approx(before.sum() / 3 * 35 / 36, rel=0.02)
    found = metrics(stepped, "/metrics")
    assert found["daq_fed_busy_ratio", str(channel.fed.number)][0] > 0.08
    assert found["daq_partition_deadtime_ratio", channel.fed.partition][0] > 0.08
    assert found["daq_deadtime_ratio", "tts"][0] > 0.08
    assert found["daq_trigger_rate_hertz", ""][0] < 84_000
    for _ in range(10):
        stepped.simulation.step()
    assert [event["id"] for event in stepped.events("repaired")] == [fault["id"]]
    assert metrics(stepped, "/metrics")["daq_deadtime_ratio", "tts"][0] < 0.02
    assert stepped.simulation.experiment.crate.powered.tolist() == [1.0] * 12


@pytest.mark.parametrize("stepped", [(((DeadRegion(RNG), 0, 3),), ())], indirect=True)
def test_a_dead_region_lies_where_it_says(stepped: Stepped) -> None:
    stepped.simulation.step()
    before = occupancy(stepped.root_files[0])
    stepped.simulation.step()
    silent = np.argwhere((occupancy(stepped.root_files[0]) - before == 0) & (before > 0))
    assert 18 <= len(silent) <= 20
    places = {geometry.supermodule_of(int(eta), int(phi)).place for eta, phi in silent}
    assert places == set(stepped.events("injected")[0]["places"])


@pytest.mark.parametrize(
    ("stepped", "path", "factor"),
    [
        ((((HotTower(RNG), 0, 3),), ()), "ECAL/occupancy_EB", 8.0),
        ((((HotModule(RNG), 0, 3),), ()), "TRACKER/occupancy", 3.0),
    ],
    indirect=["stepped"],
)
def test_one_channel_becomes_hot(stepped: Stepped, path: str, factor: float) -> None:
    def contents() -> NDArray[np.float64]:
        with uproot.open(stepped.root_files[0]) as file:
            return np.asarray(file[path].values()).ravel()

    stepped.simulation.step()
    before = contents()
    stepped.simulation.step()
    gained = contents() - before
    ratio = gained / np.maximum(before / 2, 1.0)
    assert ratio.max() == pytest.approx(factor, rel=0.35)
    assert (ratio > 0.7 * factor).sum() == 1


@pytest.mark.parametrize("stepped", [(((MovedPeak(RNG), 0, 3),), ())], indirect=True)
def test_the_peak_moves(stepped: Stepped) -> None:
    def contents() -> NDArray[np.float64]:
        with uproot.open(stepped.root_files[0]) as file:
            return np.asarray(file["ECAL/energy"].values())

    stepped.simulation.step()
    before = contents()
    stepped.simulation.step()
    after = contents() - before
    centres = np.linspace(60.3, 119.7, 100)
    near = (centres > 80) & (centres < 100)
    means = [float(c[near] @ centres[near] / c[near].sum()) for c in (before, after)]
    assert means[1] - means[0] == pytest.approx(-1.5, abs=0.4)


@pytest.mark.parametrize(
    "stepped", [(((BusyFrontEnd(RNG), 0, 3), (CurrentDrift(RNG), 0, 10), (FailingDisk(RNG), 0, 10)), ())], indirect=True
)
def test_faults_of_front_end_crate_and_disk(stepped: Stepped) -> None:
    readings: list[float] = []
    drifting = int(stepped.simulation._schedule.faults[1].fault.places[0][-2:])
    for _ in range(8):
        stepped.simulation.step()
        readings.append(float(stepped.simulation.ioc._variables[f"crate1:ch{drifting:02d}:IMon"].value))
        if len(readings) == 2:
            busy = metrics(stepped, "/metrics")
    assert max(value for (name, _), (value, _) in busy.items() if name == "daq_fed_busy_ratio") == pytest.approx(0.3, abs=0.05)
    assert busy["daq_deadtime_ratio", "total"][0] > 0.25
    assert readings[-1] > 1.25 * readings[0]
    shown: list[dict[str, Any]] = [json.loads(path.read_text()) for path in (stepped.folder / "smart").glob("*.json")]
    raw = {
        said["serial_number"]: {row["id"]: row["raw"]["value"] for row in said["ata_smart_attributes"]["table"]}
        for said in shown
        if "ata_smart_attributes" in said
    }
    failing = [attributes for attributes in raw.values() if attributes[5]]
    assert len(failing) == 1
    assert all(failing[0][attribute] > 0 for attribute in (5, 187, 197, 198))


@pytest.mark.parametrize("stepped", [(((HotModule(RNG), 90, 95),), ())], indirect=True)
def test_faults_come_soon_after_all_has_been_learned(stepped: Stepped) -> None:
    stepped.simulation.release(learned=True)
    for _ in range(12):
        stepped.simulation.step()
    assert [event["done"] for event in stepped.events("progress")] == list(range(85, 97))
    injected, repaired = stepped.events("injected")[0], stepped.events("repaired")[0]
    assert repaired["time_ns"] - injected["time_ns"] == 5 * geometry.LUMISECTION_NS


def test_the_same_seed_gives_the_same_data() -> None:
    sums = []
    for _ in range(2):
        experiment = Experiment(5, START_NS)
        shown = [experiment.advance(START_NS + i * geometry.LUMISECTION_NS) for i in range(3)]
        sums.append((experiment.calorimeter.occupancy.counts.tolist(), [s.high_voltage for s in shown], [s.conditions for s in shown]))
    assert sums[0] == sums[1]


def test_the_process_prints_the_truth_and_ends_when_nobody_listens(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "daemon.demo.simulation", "--folder", str(tmp_path), "--duration-s", "30", "--hold"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ready = json.loads(process.stdout.readline())
        assert ready["event"] == "ready"
        assert Path(ready["dqm"]).is_dir()
        process.stdout.close()
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.wait(60) == 1
        assert process.stderr.read() == ""


def test_the_process_says_when_the_time_is_too_short(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "daemon.demo.simulation", "--folder", str(tmp_path), "--duration-s", "10"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["simulated experiment: 50 lumisections are too few: 135 are needed for one fault"]
