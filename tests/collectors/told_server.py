"""A server of slow control in a process of its own, which does what a test tells it and can be killed, paused and restarted."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self


def free_port() -> int:
    """A port of the loopback that nobody has at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class ToldServer:
    """Runs a script that says "ready", reads one order a line as JSON and answers each with "done"."""

    script = ""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self._script = folder / "server.py"
        self._script.write_text(self.script)
        self._arguments = arguments
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(self._script), *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # servers complain of lost clients, and that nobody wants their beacons
            text=True,
            env={**os.environ, **self._environment},
        )
        self._expect("ready")
        return self

    def tell(self, **order: Any) -> None:
        """Has the server do something, and waits until it is done."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        self._expect("done")

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def pause(self) -> None:
        """Makes it hang: it keeps its connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _expect(self, word: str) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == word
