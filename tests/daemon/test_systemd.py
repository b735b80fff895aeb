"""The real daemon as systemd's Type=notify sees it: what arrives at the notification socket, and when nothing does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

WATCHDOG_S = 0.9
PATIENCE_S = 60.0
CONFIG = """
[http]
port = 0
[web]
enabled = false
[source.hv]
collector = "prometheus"
url = "file://{folder}/hv.txt"
period_s = 0.1
silent_after_s = 3600
detectors = ["{detector}"]
[detector.limits]
rules = [{{ channel = "*_volts", high = {limit} }}]
"""
HANGING = """
from pathlib import Path
import time
from typing import ClassVar
from collectors.collector import Options

class HangingOptions(Options):
    file: Path

class HangingRule:
    options_model: ClassVar[type[Options]] = HangingOptions
    def __init__(self, name, options):
        self.name, self._file = name, options.file
    def judge(self, frame):
        self._file.touch()
        while True:
            time.sleep(1)
    def explain(self, frame, row, unit):
        raise AssertionError
"""


class Systemd:
    """A service manager of one service: the socket, the watchdog's environment, signals."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self.configure("10")
        (folder / "hv.txt").write_text("crate_volts 5\n")
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, limit: str, detector: str = "limits", extra: str = "") -> None:
        (self.folder / "lab.toml").write_text(CONFIG.format(folder=self.folder, limit=limit, detector=detector) + extra)

    def start(self, *, stuck_after_s: float = 60.0, socket_name: str = "") -> None:
        program = f"import daemon.service as service; service.STUCK_AFTER_S = {stuck_after_s}; from daemon.__main__ import main; main()"
        environment = os.environ | {
            "NOTIFY_SOCKET": socket_name or str(self.folder / "notify"),
            "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
            "PYTHONPATH": f"{Path(__file__).resolve().parents[2]}:{self.folder}",
        }
        command = [sys.executable, "-c", program, "run", "-c", str(self.folder / "lab.toml")]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> int:
        self.send(signal.SIGTERM)
        assert self.process is not None
        return self.process.wait(PATIENCE_S)

    def heard(self) -> str:
        """The next message."""
        self._socket.settimeout(PATIENCE_S)
        try:
            return self._socket.recv(4096).decode()
        except TimeoutError:
            raise AssertionError(f"systemd heard nothing; {(self.folder / 'log').read_text()}") from None

    def wait_for(self, word: str) -> str:
        """The next message that begins so; the others are dropped."""
        while not (message := self.heard()).startswith(word):
            pass
        return message

    def drain(self, seconds: float) -> list[str]:
        """Everything that arrives within this time."""
        deadline, messages = time.monotonic() + seconds, []
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                messages.append(self._socket.recv(4096).decode())
            except TimeoutError:
                break
        return messages

    def close(self) -> None:
        self._socket.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path)
    yield made
    made.close()


def test_ready_fed_reloaded_refused_and_stopped(systemd: Systemd) -> None:
    systemd.start()
    assert "STATUS=running collect" in systemd.wait_for("READY=1")
    for _ in range(3):
        systemd.wait_for("WATCHDOG=1")

    systemd.configure("100")
    before_us = time.monotonic() * 1e6
    systemd.send(signal.SIGHUP)
    began = systemd.wait_for("RELOADING=1").splitlines()[1]
    assert began.startswith("MONOTONIC_USEC=")
    assert before_us <= int(began.partition("=")[2]) <= time.monotonic() * 1e6
    systemd.wait_for("READY=1")
    systemd.wait_for("WATCHDOG=1")

    systemd.configure('"many"')
    systemd.send(signal.SIGHUP)
    systemd.wait_for("RELOADING=1")
    systemd.wait_for("READY=1")  # who asked gets an answer, and the old configuration goes on
    systemd.wait_for("WATCHDOG=1")
    assert "reload refused" in (systemd.folder / "log").read_text()

    systemd.send(signal.SIGTERM)
    systemd.wait_for("STOPPING=1")
    assert systemd.end() == 0


def test_a_stage_that_hangs_is_not_fed_for(systemd: Systemd) -> None:
    (systemd.folder / "hanging.py").write_text(HANGING)
    package = systemd.folder / "hanging-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: hanging\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[shiftwatch.detectors]\nhanging = hanging:HangingRule\n")
    systemd.configure("10", "hanging", textwrap.dedent(f'[detector.hanging]\nfile = "{systemd.folder}/reached"\n'))
    systemd.start(stuck_after_s=2.0)
    systemd.wait_for("READY=1")
    systemd.wait_for("WATCHDOG=1")
    assert "detect: no progress" in systemd.wait_for("STATUS=detect")
    assert (systemd.folder / "reached").exists()

    messages = systemd.drain(3 * WATCHDOG_S)
    assert messages
    assert not [m for m in messages if m.startswith("WATCHDOG")], "systemd ends it now"


def test_a_socket_that_is_gone_does_no_harm(systemd: Systemd) -> None:
    systemd.start(socket_name=str(systemd.folder / "nobody"))
    deadline = time.monotonic() + PATIENCE_S
    while "started version=" not in (systemd.folder / "log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert systemd.end() == 0
