"""The demo's two processes, the simulated experiment and the daemon: started, listened to line by line, ended."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

STOP_TIMEOUT_S = 20.0
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
_SHOWN_LOG_LINES = 12


class DemoError(Exception):
    """The demo cannot go on: one process did not start or has died; the message has the end of its log."""


class Child:
    """One process. What it prints goes to `lines` as (name, line), and (name, None) at its end; stderr goes to a file.

    It is in a session of its own, so that Ctrl-C reaches the demo alone, which then ends it in order.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: Path, lines: queue.Queue[tuple[str, str | None]]) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter with our own modules
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                text=True,
                env={**os.environ, **_ONE_THREAD},
            )
        self._reader = threading.Thread(target=self._read, args=(lines,), name=f"{name}-output", daemon=True)
        self._reader.start()

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def tell(self, line: str) -> None:
        """Writes a line to its standard input. Raises DemoError where it has gone."""
        stdin = _opened(self._process.stdin)
        try:
            stdin.write(line + "\n")
            stdin.flush()
        except BrokenPipeError:
            raise self.failure("has ended") from None

    def stop(self) -> None:
        """Asks it to end and waits; kills it where it does not. What it printed until then has been read."""
        if self.exit_code is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(STOP_TIMEOUT_S)
        _opened(self._process.stdin).close()
        _opened(self._process.stdout).close()

    def failure(self, what: str) -> DemoError:
        """An error that says what happened and shows the end of the process's log."""
        try:
            shown = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LOG_LINES:]
        except OSError:
            shown = []
        return DemoError("\n".join([f"the {self.name} {what}", *shown]))

    def _read(self, lines: queue.Queue[tuple[str, str | None]]) -> None:
        for line in _opened(self._process.stdout):
            lines.put((self.name, line.rstrip("\n")))
        lines.put((self.name, None))


def _opened(stream: IO[str] | None) -> IO[str]:
    assert stream is not None  # all streams of a Child are pipes
    return stream


def until(deadline_s: float, lines: queue.Queue[tuple[str, str | None]]) -> Iterator[tuple[str, str | None]]:
    """What the processes print until a moment (time.monotonic)."""
    while (left_s := deadline_s - time.monotonic()) > 0:
        try:
            yield lines.get(timeout=left_s)
        except queue.Empty:
            return
