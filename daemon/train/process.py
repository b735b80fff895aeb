"""The process that trains: low priority, one thread for linear algebra, and what it learned is a line each on its output.

Where memory runs out, the kernel ends this one first.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from daemon.settings import Settings
from daemon.train.outcome import Outcome, Request, read_outcome

log = logging.getLogger(__name__)

NICENESS = 15
"""Watching comes first: a process with this gets a thirtieth of what the others leave it no more of."""
OOM_SCORE_ADJ = 1000
"""The most there is (proc(5)): of all processes this is the one that the kernel ends where memory runs out."""


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
        _put_last(self._process.pid)
        self._last = ""
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
        if code <= 0 and self._last:
            sys.stderr.write(self._last)
        if code < 0:
            raise TrainingFailed(f"the training was ended by {_signal(-code)}{MEMORY if -code == signal.SIGKILL else ''}")
        if code:
            raise TrainingFailed(" ".join(self._last.split()) if self._last else f"the training ended with status {code}")

    def end(self) -> None:
        """Ends it, now."""
        self._process.terminate()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listen(self) -> None:
        """What it says on stderr is passed on, and kept for the case that it fails: the last line is the reason then, said by who asked."""
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            for line in pipe:
                sys.stderr.write(self._last)
                self._last = line


MEMORY = ": memory ran out, or somebody ended it; learning.retrain_days or --from takes fewer rows"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _put_last(pid: int) -> None:
    """Everything else comes first, for the processor and for memory, from the first import on; where that is refused it trains anyway."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, max(NICENESS, os.getpriority(os.PRIO_PROCESS, pid)))
        Path(f"/proc/{pid}/oom_score_adj").write_text(f"{OOM_SCORE_ADJ}\n", encoding="ascii")
    except OSError as error:
        log.warning("training has the priority of the daemon reason=%r", error.strerror or str(error))
