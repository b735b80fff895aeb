"""The collect stage: every source on its own schedule, and a heartbeat for each."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from daemon import metrics
from daemon.bus.bus import Bus
from daemon.clock import Clock
from daemon.collect.ingest import INGEST_EPOCH, Ingest
from daemon.collect.publisher import Publisher
from daemon.collect.source import Source, open_source
from daemon.settings import Settings

log = logging.getLogger(__name__)

UPKEEP = "upkeep"
"""What the framework itself watches, as its findings name it."""
HEARTBEAT_S = 1.0
"""Wall seconds between heartbeats."""
LAST_TURN_S = 8.0
"""How long sources that are being read when the stage ends may take; well below what the service gives a stage to stop."""
_BEAT, _RETRY = "/heartbeat", "/retry"
"""What the jobs of a source are called besides its turns; no name of a source has a slash."""


class CollectStage:
    """Runs the sources of a configuration. A slow source delays no other: each has a thread of its own."""

    name = "collect"

    def __init__(self, settings: Settings, bus: Bus, clock: Clock, *, judges: bool = False) -> None:
        """`judges`: an agent that judges its sources itself; its blocks say so."""
        self._bus = bus
        self._clock = clock
        self._sources: list[Source] = []
        self._started = False
        self._closing = False
        self._retrying = threading.Lock()  # a job that is added while the scheduler shuts down waits for it, and it for the job
        epoch = clock.now_ns()
        publishers: dict[str, Publisher] = {}
        self._heartbeat_s = settings.agent.heartbeat_s if settings.agent.enabled else HEARTBEAT_S
        with ExitStack() as opened:  # what was opened is closed where the rest cannot be
            for name, section in settings.source.items():
                topic = "conditions" if section.role == "conditions" else "frames"
                judged = (UPKEEP, *section.detectors) if judges else ()
                publishers[name] = Publisher(bus, name, topic, epoch, clock.now_ns, judged)
                source = open_source(name, settings, publishers[name], clock)
                opened.callback(source.close)
                self._sources.append(source)
                _announce(source, section.place or settings.experiment)
            places = {name: section.place or settings.experiment for name, section in settings.source.items()}
            self._ingest = Ingest(bus, publishers, places, clock, epoch=epoch if settings.bus.driver == "memory" else INGEST_EPOCH)
            opened.callback(self._ingest.close)
            self._scheduler = _scheduler(len(self._sources) + 2)
            self._opened = opened.pop_all()

    def step(self, timeout_s: float) -> int:
        """Starts the schedule at the first call; then reads what third parties published."""
        if not self._started:
            self._start()
        return self._ingest.step(timeout_s)

    def status(self) -> dict[str, Any]:
        """How each source is, for the page and `shiftwatch status`."""
        return {"sources": [source.status() for source in self._sources]}

    def close(self) -> None:
        """Ends the schedule, then the collectors; what they yielded is sent. One that hangs is left behind, and named."""
        hanging: list[str] = []
        if self._started:
            with self._retrying:
                self._closing = True
            self._scheduler.pause()
            deadline = time.monotonic() + LAST_TURN_S
            hanging = [source.name for source in self._sources if not source.wait_until_idle(max(deadline - time.monotonic(), 0.0))]
            self._scheduler.shutdown(wait=not hanging)
        for name in hanging:
            log.warning("source left behind source=%s reason='its last turn has not ended after %g s'", name, LAST_TURN_S)
        try:
            self._opened.close()  # all of them, also after one that fails
        finally:
            self._bus.flush(10.0)

    def _start(self) -> None:
        self._started = True
        for source in self._sources:
            self._schedule(source)
        self._scheduler.start()
        log.info("collecting sources=%d", len(self._sources))

    def _schedule(self, source: Source) -> None:
        period_s = source.settings.period_s / self._clock.speed
        beat = IntervalTrigger(seconds=min(self._heartbeat_s, max(period_s, 0.1)), timezone=UTC)
        if source.settings.collector == "pushed":
            self._scheduler.add_job(self._beat_if_heard, beat, args=[source], id=f"{source.name}{_BEAT}")
            return
        trigger = IntervalTrigger(seconds=period_s, jitter=source.settings.jitter_s / self._clock.speed or None, timezone=UTC)
        grace_s = max(1, int(period_s))
        self._scheduler.add_job(
            self._run, trigger, args=[source], id=source.name, next_run_time=datetime.now(UTC), misfire_grace_time=grace_s
        )
        self._scheduler.add_job(source.heartbeat, beat, id=f"{source.name}{_BEAT}")

    def _run(self, source: Source) -> None:
        """One turn, and another one soon where it failed and its next turn is far."""
        source.run()
        if (delay_s := source.retry_s) is None:
            return
        due = datetime.now(UTC) + timedelta(seconds=delay_s / self._clock.speed)
        retry = {"args": [source], "run_date": due, "id": f"{source.name}{_RETRY}", "replace_existing": True, "misfire_grace_time": None}
        with self._retrying:
            if not self._closing:
                self._scheduler.add_job(self._run, "date", **retry)

    def _beat_if_heard(self, source: Source) -> None:
        """Only the process that reads a pushed source's messages knows whether it is alive."""
        if source.name in self._ingest.heard:
            source.heartbeat()


def _announce(source: Source, place: str) -> None:
    """Shows a source in the metrics before its first turn: what never was is not the same as nothing."""
    settings = source.settings
    metrics.SOURCE.labels(source=source.name, collector=settings.collector, place=place).set(1)
    metrics.SILENT_AFTER.labels(source=source.name).set(settings.silence_s)
    for counter in (metrics.ROWS, metrics.COLLECT_FAILURES, metrics.COLLECT_MISSED):
        counter.labels(source=source.name)
    metrics.DEAD_LETTERS.labels(origin=source.name)


def _scheduler(threads: int) -> BackgroundScheduler:
    executors = {"default": ThreadPoolExecutor(2 * threads)}
    defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": 1}
    scheduler = BackgroundScheduler(executors=executors, job_defaults=defaults, timezone=UTC)
    scheduler.add_listener(_missed, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # misses are counted and reported by us, once
    return scheduler


def _missed(event: Any) -> None:  # noqa: ANN401 - APScheduler has no types
    name, _, job = str(event.job_id).partition("/")
    if not job:
        metrics.COLLECT_MISSED.labels(source=name).inc()
