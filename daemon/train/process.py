"""The process that trains: low priority, one thread for linear algebra, and what it learned is a line each on its output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict

from daemon.settings import Settings
from daemon.train.outcome import Outcome, Request, read_outcome

NICENESS = 15
"""Watching comes first: a process with this gets a thirtieth of what the others leave it no more of."""
SAID_LINES = 20


class TrainingFailed(Exception):  # noqa: N818 - what happened
    """The process ended without having trained all; its last words."""


class TrainingProcess:
    """One training in a process of its own. It can be told to end at any time: models are put into use as a whole or not at all."""

    def __init__(self, settings: Settings, request: Request) -> None:
        """Starts it. Raises OSError."""
        environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "daemon.training"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._said: deque[str] = deque(maxlen=SAID_LINES)
        self._listener = threading.Thread(target=self._listen, name="training", daemon=True)
        self._listener.start()
        assert self._process.stdin is not None
        with self._process.stdin as pipe:
            json.dump({"settings": settings.model_dump(mode="json"), "request": asdict(request)}, pipe)

    def outcomes(self) -> Iterator[Outcome]:
        """One for each model, as they come. Raises TrainingFailed."""
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for line in pipe:
                yield read_outcome(line)
        code = self._process.wait()
        self._listener.join()
        if code:
            raise TrainingFailed(" ".join(self._said[-1].split()) if self._said else f"the training ended with status {code}")

    def end(self) -> None:
        """Ends it, now."""
        self._process.terminate()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listen(self) -> None:
        """What it says on stderr is passed on, and kept for the case that it fails."""
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            for line in pipe:
                self._said.append(line)
                sys.stderr.write(line)
