"""Runs a stage in a thread: over and over, and anew from its saved state after a failure."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from daemon import metrics

log = logging.getLogger(__name__)

POLL_S, AGENT_POLL_S = 0.2, 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""How long a stage that failed is left alone: twice as long after each further failure without a step between."""
STUCK_AFTER_S = 60.0
"""A stage that has not come round for this long is not alive."""


class Stage(Protocol):
    """One stage of the pipeline. All calls come from one thread."""

    name: str

    def step(self, timeout_s: float) -> int:
        """Does what there is to do, waits for at most `timeout_s` where there is nothing; the number of records read."""

    def close(self) -> None:
        """Saves what is to be saved and lets go."""


class StageRunner:
    """Keeps one stage running until it is told to stop.

    After an error the stage is thrown away and built again from what it saved: half a step is never continued.
    """

    def __init__(self, name: str, build: Callable[[], Stage], poll_s: float = POLL_S) -> None:
        """`poll_s`: how long a step waits where there is nothing to do; records that come wake it."""
        self.name = name
        self._build = build
        self._poll_s = poll_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._progress_s = time.monotonic()
        self.stage: Stage | None = None
        self.error = ""
        self.failures = 0

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 20.0) -> bool:
        """Lets the stage finish its step, saves, and ends the thread; False where it did not end in time."""
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def stuck_s(self) -> float:
        """Seconds since it last came round."""
        return time.monotonic() - self._progress_s

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                self.stage = self._build()
                while not self._stop.is_set():
                    self._step(self.stage)
                    pause_s, self.error = FIRST_PAUSE_S, ""
            except Exception as error:
                self.failures += 1
                self.error = " ".join(f"{type(error).__name__}: {error}".split())
                metrics.STAGE_ERRORS.labels(stage=self.name).inc()
                log.error("stage failed stage=%s retry_s=%.1f", self.name, pause_s, exc_info=True)
                self._abandon()
                self._progress_s = time.monotonic()
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self._finish()

    def _step(self, stage: Stage) -> None:
        started = time.perf_counter()
        records = stage.step(self._poll_s)
        if records:
            metrics.STAGE_SECONDS.labels(stage=self.name).observe(time.perf_counter() - started)
            metrics.STAGE_RECORDS.labels(stage=self.name).inc(records)
        self._progress_s = time.monotonic()
        metrics.STAGE_PROGRESS.labels(stage=self.name).set(time.time())

    def _abandon(self) -> None:
        """Lets go of a stage that failed; a second failure while doing so adds nothing."""
        stage, self.stage = self.stage, None
        if stage is None:
            return
        try:
            abandon = getattr(stage, "abandon", stage.close)
            abandon()
        except Exception as error:  # noqa: BLE001 - it is being thrown away
            log.debug("stage let go stage=%s reason=%r", self.name, str(error))

    def _finish(self) -> None:
        if self.stage is None:
            return
        try:
            self.stage.close()
            log.info("stage stopped stage=%s", self.name)
        except Exception:
            log.error("stage did not stop cleanly stage=%s", self.name, exc_info=True)
