"""The real daemon with compiled and learned detectors under the filters of its unit: what it needs is allowed."""

from __future__ import annotations

import math
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import urllib3

from tests.conftest import missing
from tests.daemon.modelling import Site, normal

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy" / "systemd" / "shiftwatch.service"
PATIENCE_S = 120.0
DETECTORS = ("isolation_forest", "autoencoder", "robust_z")
CONFIG = """
[http]
port = {port}
[web]
enabled = false
[learning]
rows = 40
[source.crate]
collector = "prometheus"
url = "file://{folder}/crate.txt"
period_s = 0.05
silent_after_s = 3600
detectors = {detectors}
"""


def metrics(port: int) -> str:
    try:
        return urllib3.request("GET", f"http://127.0.0.1:{port}/metrics", timeout=5.0, retries=False).data.decode()
    except urllib3.exceptions.HTTPError:
        return ""


def scored(text: str) -> list[str]:
    return [d for d in DETECTORS if f'shiftwatch_score{{detector="{d}",source="crate"}}' in text]


@pytest.mark.slow
def test_the_daemon_compiles_learns_and_serves_under_the_filters_of_its_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze: apt-get install systemd")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (tmp_path / "lab.toml").write_text(CONFIG.format(folder=tmp_path, port=port, detectors=list(DETECTORS)))
    command = [sys.executable, "-m", "tests.deploy.confined", str(UNIT), sys.executable, "-m", "daemon", "run", "-c", "lab.toml"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path / "numba"), "OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        deadline, turn = time.monotonic() + PATIENCE_S, 0
        while scored(text := metrics(port)) != list(DETECTORS):
            turn += 1
            lines = "".join(f'crate_volts{{channel="{c}"}} {5 + math.sin(turn * (c + 1))}\n' for c in range(4))
            (tmp_path / "new").write_text(lines)
            (tmp_path / "new").rename(tmp_path / "crate.txt")
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (scored(text), (tmp_path / "log").read_text())
            time.sleep(0.04)
        assert "process_resident_memory_bytes" in text, "/proc is not hidden from the metrics"
        assert "stage failed" not in (tmp_path / "log").read_text()
        assert list((tmp_path / "numba").rglob("*.nbi")), "compiled kernels are kept where the unit says"
    finally:
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.slow
def test_a_model_is_trained_with_low_priority_under_the_filters_of_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze: apt-get install systemd")
    site = Site(tmp_path)
    site.record(normal(1000))
    command = [sys.executable, "-m", "tests.deploy.confined", str(UNIT), sys.executable, "-m", "daemon", "train", "-c", str(site.config)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path / "numba"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "table/robust_z version 1: in use" in done.stdout
    assert "has the priority of the daemon" not in done.stderr


def test_a_training_that_runs_out_of_memory_does_not_stop_the_watch() -> None:
    """With OOMPolicy=stop systemd would end the whole unit with it."""
    for unit in (UNIT, UNIT.with_name("shiftwatch@.service")):
        assert "\nOOMPolicy=continue\n" in unit.read_text()
