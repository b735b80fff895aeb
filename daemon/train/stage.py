"""The train stage: trains all models anew at set times, in a process of its own, and says what came of it."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from daemon import metrics
from daemon.clock import Clock
from daemon.settings import Settings
from daemon.train.outcome import Outcome, Request
from daemon.train.process import TrainingFailed, TrainingProcess

log = logging.getLogger(__name__)

SCHEDULES = {"daily": "30 3 * * *", "weekly": "30 3 * * mon"}
"""At night, by the experiment's time."""
DAY_NS = 86_400_000_000_000
LATE_S = 3600
"""A time that was missed by less, because the host slept, say, is made up for."""


def trigger(settings: Settings) -> CronTrigger:
    """When models are trained."""
    text = settings.learning.retrain
    return CronTrigger.from_crontab(SCHEDULES.get(text, text), timezone=settings.zone)


class TrainStage:
    """Keeps the schedule. One training at a time; one that is due while another runs is left out."""

    name = "train"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._due = threading.Event()
        self._process: TrainingProcess | None = None
        self._worker: threading.Thread | None = None
        self._outcomes: list[Outcome] = []
        self._problem = ""
        self._leaving = False
        self._scheduler = BackgroundScheduler(timezone=settings.zone)
        self._job = self._scheduler.add_job(self._due.set, trigger(settings), misfire_grace_time=LATE_S, coalesce=True)
        self._scheduler.start()

    def step(self, timeout_s: float) -> int:
        """Starts a training where one is due; never waits for it. 1 where it did."""
        if not self._due.wait(timeout_s):
            return 0
        self._due.clear()
        if self._worker is not None and self._worker.is_alive():
            log.warning("training left out reason=%r", "the one before has not ended")
            return 0
        to_ns = self._clock.now_ns()
        request = Request(from_ns=to_ns - int(self._settings.learning.retrain_days * DAY_NS), to_ns=to_ns)
        self._process = TrainingProcess(self._settings, request)
        self._worker = threading.Thread(target=self._follow, args=(self._process,), name="retraining", daemon=True)
        self._worker.start()
        return 1

    def status(self) -> dict[str, Any]:
        """When it trains next and what came of the last time, for `shiftwatch status`."""
        return {
            "next": str(self._job.next_run_time or ""),
            "training": self._worker is not None and self._worker.is_alive(),
            "problem": self._problem,
            "outcomes": [f"{o.stream}/{o.detector}: {o.state}, {o.why}" for o in list(self._outcomes)],
        }

    def close(self) -> None:
        """Ends the schedule, and a training under way."""
        self._leaving = True
        self._scheduler.shutdown(wait=False)
        if self._process is not None:
            self._process.end()
        if self._worker is not None:
            self._worker.join(5.0)

    def _follow(self, process: TrainingProcess) -> None:
        started_s = time.monotonic()
        self._outcomes, self._problem = [], ""
        try:
            for outcome in process.outcomes():
                self._outcomes.append(outcome)
                metrics.TRAININGS.labels(outcome=outcome.state).inc()
                level = logging.WARNING if outcome.state == "failed" else logging.INFO
                model = f"{outcome.stream}/{outcome.detector}"
                log.log(level, "trained model=%s version=%d outcome=%s why=%r", model, outcome.version, outcome.state, outcome.why)
        except (TrainingFailed, ValueError) as error:
            if self._leaving:
                log.info("training given up models=%d reason=%r", len(self._outcomes), "the daemon ends")
                return
            self._problem = str(error)
            metrics.TRAININGS.labels(outcome="failed").inc()
            log.error("training failed reason=%r", self._problem)
        log.info("training ended models=%d seconds=%.1f", len(self._outcomes), time.monotonic() - started_s)
