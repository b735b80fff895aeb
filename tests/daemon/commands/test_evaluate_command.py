"""`shiftwatch evaluate`: the table, the JSON that others read, and errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from daemon.__main__ import cli
from tests.detectors import evaluation_data as made


def evaluate(*words: str) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *words, "--processes", "1"])


def test_json_has_items_means_and_the_default(tmp_path: Path) -> None:
    made.write_npz(tmp_path, "machine-1-1", 1)
    made.write_npz(tmp_path, "machine-2-1", 2)
    done = evaluate("smd", "--data", str(tmp_path), "--detector", "windowed_pca", "--detector", "random", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["suite"] == "smd"
    assert said["default"] == "ensemble"
    assert set(said["detectors"]) == {"windowed_pca", "random"}
    found = said["detectors"]["windowed_pca"]
    assert set(found["items"]) == {"machine-1-1", "machine-2-1"}
    assert {"vus_pr", "event_recall", "false_per_day", "median_delay_s", "top1", "hit_rate_100", "auc"} <= set(found["mean"])
    assert found["mean"]["vus_pr"] == sum(item["vus_pr"] for item in found["items"].values()) / 2
    assert said["gains"]["windowed_pca"]["mean"] > 0


def test_the_table_has_a_line_for_each_detector_and_the_published_figures(tmp_path: Path) -> None:
    made.write_series(tmp_path)
    done = evaluate("nab", "--data", str(tmp_path))
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert "2 items" in lines[0]
    assert lines[2].split()[:2] == ["detector", "NAB"]
    assert sorted(line.split()[0] for line in lines[3:7]) == ["ewma", "novelty", "random", "robust_z"]
    assert sum("novelty *" in line for line in lines) == 1
    assert any("ARTime nab 67.9" in line for line in lines)
    assert "Cite: S. Ahmad" in lines[-1]


def test_a_broken_item_is_one_line(tmp_path: Path) -> None:
    made.write_npz(tmp_path, "machine-1-1", 1)
    (tmp_path / "machine-1-1.interp.txt").unlink()
    done = evaluate("smd", "--data", str(tmp_path))
    assert done.exit_code == 1
    assert done.stderr.strip().count("\n") == 0
    assert "machine-1-1.interp.txt: missing" in done.stderr


def test_an_unknown_suite_is_wrong_usage(tmp_path: Path) -> None:
    done = evaluate("sdm", "--data", str(tmp_path))
    assert done.exit_code == 2
    assert "asd" in done.stderr
