"""`shiftwatch evaluate`: the table, the JSON that others read, and errors in one line."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
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


def test_the_gain_of_each_detector_is_told_not_only_that_of_the_default(tmp_path: Path) -> None:
    for number in (1, 2):
        made.write_npz(tmp_path, f"omi-{number}", number)
    done = evaluate("asd", "--data", str(tmp_path), "--detector", "kmeans", "--detector", "random")
    assert done.exit_code == 0, done.output
    (gains,) = (line for line in done.stdout.splitlines() if line.startswith("Gain in VUS-PR over the baseline robust_z_top5"))
    assert gains.index("kmeans +") < gains.index("random -")


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


INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # who started the tests may have it ignored
runpy.run_module("daemon", run_name="__main__")
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_no_process_is_left(how: signal.Signals, tmp_path: Path) -> None:
    for number in range(1, 5):
        made.write_npz(tmp_path, f"machine-1-{number}", number)
    words = ["evaluate", "smd", "--data", str(tmp_path), "--detector", "vae", "--processes", "2"]
    workers: list[int] = []
    with subprocess.Popen([sys.executable, "-c", INTERRUPTIBLE, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        try:
            until(lambda: sum(map(watches, children(running.pid))) == 2)
            workers = children(running.pid)  # these two, and the one that multiprocessing keeps its books in
            running.send_signal(how)
            assert running.wait(60) != 0
            until(lambda: not any(runs(worker) for worker in workers))
        finally:
            for process in (running.pid, *filter(runs, workers)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        assert running.stderr is not None
        assert b"Traceback" not in running.stderr.read()


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def watches(process: int) -> bool:
    """Whether it has a second thread, which sees to it that it ends."""
    return runs(process) and len(list(Path(f"/proc/{process}/task").iterdir())) > 1


def runs(process: int) -> bool:
    """Whether it is there and has not ended; one that has ended may wait for somebody to ask."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.05)
