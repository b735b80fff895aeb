"""One source: a collector with all that the framework does for it."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from collectors.align import Aligner
from collectors.collector import Collected, CollectError, Collector, Origin, Rejected
from collectors.difference import Differencer
from collectors.frame import Frame, Updates
from collectors.ramping import Ramping
from collectors.wire import CLOCK_PROBLEM
from daemon import metrics, plugins
from daemon.clock import Clock
from daemon.collect.publisher import Publisher
from daemon.collect.reread import Reread
from daemon.sections import SourceSettings
from daemon.settings import Settings

log = logging.getLogger(__name__)

FIRST_RETRY_S = 5.0
"""After a first failure; sources that are read more often than twice this are simply read in their turn."""


class Source:
    """Runs a collector and turns what it yields into intervals at regular times. One run at a time."""

    def __init__(self, name: str, settings: SourceSettings, collector: Collector, publisher: Publisher, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        self._collector = collector
        self._publisher = publisher
        self._clock = clock
        self._ramping = Ramping(settings.ramping)
        self._reread = Reread()
        self._differencers: dict[str, Differencer] = {}
        self._aligner = Aligner(
            int(settings.period_s * 1e9),
            stale_after_ns=int(settings.stale_after_s * 1e9),
            extremes=settings.extremes,
            start_ns=0 if collector.finite else clock.now_ns(),
        )
        self._running_since_ns: int | None = None
        self._problem = ""
        self._failures = 0
        self._failing_since_ns = 0
        self._clock_problem = ""
        self._newest_ns: dict[str, int] = {}
        self._last_run_ns = 0
        self._rows = 0
        self._lock = threading.Lock()
        self._start_lock = threading.Lock()  # the start of a run and what a heartbeat says of it

    def run(self) -> None:
        """One scheduled run: collects, publishes, judges. Whatever a collector does wrong ends here and is reported."""
        if not self._lock.acquire(blocking=False):
            return  # the run before has not ended; the scheduler has counted the miss
        try:
            with self._start_lock:
                self._running_since_ns = self._clock.now_ns()
            self._timed_run()
        finally:
            self._running_since_ns = None
            self._lock.release()

    def heartbeat(self) -> None:
        """Says how far the source is complete: up to now, or up to the start of a run that has not ended."""
        with self._start_lock:
            since_ns, now_ns = self._running_since_ns, self._clock.now_ns()
        complete_ns = now_ns if since_ns is None else min(since_ns, now_ns)
        problem = self._problem or self._clock_problem
        if since_ns is not None and now_ns - since_ns > self.settings.timeout_s * 1e9:
            problem = f"a run has taken more than {self.settings.timeout_s:g} s"
        self._publisher.heartbeat(complete_ns, problem)

    @property
    def retry_s(self) -> float | None:
        """How long to wait before it is tried again, out of turn, after a failure; None where its next turn is soon enough.

        Doubled with each failure, and scattered, so that many sources do not all come at once to a server that has just started.
        """
        if not self._failures:
            return None
        delay_s = FIRST_RETRY_S * 2.0 ** min(self._failures - 1, 20) * random.uniform(0.8, 1.2)  # noqa: S311 - scatter, no secret
        return delay_s if delay_s < self.settings.period_s / 2 else None

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Waits for the end of a turn under way; False where it did not come in time. No turn begins after this."""
        return self._lock.acquire(timeout=timeout_s)

    def status(self) -> dict[str, Any]:
        """A line of `shiftwatch status` and of the page: how its last run went."""
        problem = self._problem or self._clock_problem
        return {"source": self.name, "ok": not problem, "problem": problem, "last_run_ns": self._last_run_ns, "rows": self._rows}

    def frames(self) -> Iterator[Frame]:
        """All that a finite collector yields, as intervals; what is rejected goes to the dead letters. Raises CollectError."""
        newest_ns = 0
        for item in self._collector.collect():
            yield from self._prepared(item)
            if isinstance(item, Updates) and len(item):
                newest_ns = max(newest_ns, int(item.time_ns.max()))
                yield from self._aligned(newest_ns)
        if newest_ns:  # the last readings stand at the tick after them
            yield from self._aligned(newest_ns + int(self.settings.period_s * 1e9) - 1)

    def _aligned(self, until_ns: int) -> Iterator[Frame]:
        for frame in self._aligner.until(until_ns):
            yield self._differenced(frame)

    def close(self) -> None:
        """Ends the collector."""
        self._collector.close()

    def _timed_run(self) -> None:
        started = time.perf_counter()
        try:
            worst_s = self._publish_all()
            if worst_s is not None:
                self._judge_clock(worst_s)
            self._judge("")
        except CollectError as error:
            self._judge(str(error))
        except Exception as error:
            log.debug("collector failed", exc_info=True)
            self._judge(f"{type(error).__name__}: {error}")
        finally:
            seconds = time.perf_counter() - started
            self._last_run_ns = self._clock.now_ns()
            metrics.COLLECT_SECONDS.labels(source=self.name).observe(seconds)
            if seconds * self._clock.speed > self.settings.timeout_s:
                log.warning("slow source source=%s seconds=%.1f timeout_s=%g", self.name, seconds, self.settings.timeout_s)

    def _publish_all(self) -> float | None:
        """Publishes what the collector yields; by how much its worst time was off, None where it yielded no times at all."""
        offsets_s: list[float] = []
        collected_now = self._collector.collect()
        for collected in self._reread.unread(collected_now) if self._collector.finite else collected_now:
            item, ahead_s = self._not_ahead(collected) if isinstance(collected, Updates) else (collected, None)
            offsets_s += [] if ahead_s is None else [ahead_s]
            for frame in self._prepared(item):
                believable, off_s = self._with_believable_time(frame)
                offsets_s.append(off_s)
                self._publish(believable)
        for frame in self._aligner.until(self._clock.now_ns()):
            self._publish(self._differenced(frame))
        return max(offsets_s, key=abs, default=None)

    def _publish(self, frame: Frame) -> None:
        self._publisher.frame(frame)
        self._rows += len(frame)

    def _judge_clock(self, worst_s: float) -> None:
        metrics.CLOCK_SKEW.labels(source=self.name).set(worst_s)
        if not worst_s:
            self._clock_problem = ""
            return
        log.warning("clock skew source=%s skew_s=%.0f", self.name, worst_s)
        self._clock_problem = f"{CLOCK_PROBLEM} is {abs(worst_s):.0f} s {'ahead' if worst_s > 0 else 'behind'}, taken at arrival"

    def _judge(self, problem: str) -> None:
        problem = " ".join(problem.split())
        metrics.COLLECT_SUCCESS.labels(source=self.name).set(not problem)
        if problem:
            metrics.COLLECT_FAILURES.labels(source=self.name).inc()
            self._failing_since_ns = self._failing_since_ns or self._clock.now_ns()
        if problem and problem != self._problem:
            log.warning("source failed source=%s problem=%r", self.name, problem)
        if self._problem and not problem:
            gone_s = (self._clock.now_ns() - self._failing_since_ns) / 1e9
            log.info("source recovered source=%s failed_runs=%d failed_for_s=%.0f", self.name, self._failures, gone_s)
            self._failing_since_ns = 0
        self._failures = self._failures + 1 if problem else 0
        self._problem = problem

    def _prepared(self, item: Collected) -> list[Frame]:
        if isinstance(item, Rejected):
            self._reject(item)
            return []
        marked = self._ramping.mark(item)
        for problem in self._ramping.take_problems():
            self._reject(problem)
        if isinstance(marked, Updates):
            return [self._differenced(frame) for frame in self._aligner.add(marked)]
        return [self._differenced(marked)]

    def _reject(self, item: Rejected) -> None:
        log.warning("input rejected source=%s subject=%r reason=%r", self.name, item.subject, item.reason)
        self._publisher.rejected(item)

    def _differenced(self, frame: Frame) -> Frame:
        since_start = self.settings.accumulation == "since_start"
        differencer = self._differencers.setdefault(frame.layout.part, Differencer(histograms=since_start))
        return differencer.difference(frame)

    def _with_believable_time(self, frame: Frame) -> tuple[Frame, float]:
        """Moves source times that lie ahead of the clock, or go far back, to the time of arrival; by how much they were off, in s.

        Their distances from one another stay. Times that are merely old are believed: a file may have been written an hour
        ago, and silence is judged elsewhere.
        """
        if not len(frame):
            return frame, 0.0
        now_ns = self._clock.now_ns()
        skew_ns = int(self.settings.max_clock_skew_s * 1e9)
        newest_ns = self._newest_ns.get(frame.layout.part, 0)
        time_ns, worst_ns = frame.time_ns, 0
        for off in (frame.time_ns > now_ns + skew_ns, frame.time_ns < newest_ns - skew_ns):
            if off.any():
                off_ns = int(frame.time_ns[off].max()) - now_ns
                time_ns = np.where(off, frame.time_ns - off_ns, time_ns)
                worst_ns = max(worst_ns, off_ns, key=abs)
        self._newest_ns[frame.layout.part] = max(newest_ns, int(time_ns.max()))
        return (Frame(frame.layout, time_ns, frame.values, frame.quality) if worst_ns else frame), worst_ns / 1e9

    def _not_ahead(self, updates: Updates) -> tuple[Updates, float | None]:
        """Moves updates that lie ahead of the clock to the time of arrival, or they would wait for it; how far ahead they were, in s.

        None where there was none to look at, and 0 where it was no more than clocks may differ. One that is old is believed: a
        monitor tells when its value last changed.
        """
        if not len(updates):
            return updates, None
        now_ns = self._clock.now_ns()
        ahead_ns = int(updates.time_ns.max()) - now_ns
        if ahead_ns <= 0:
            return updates, 0.0
        time_ns = np.minimum(updates.time_ns, now_ns)  # what was later stays later: they are in order of arrival
        is_too_far = ahead_ns > int(self.settings.max_clock_skew_s * 1e9)
        return Updates(updates.layout, time_ns, updates.column, updates.value, updates.quality), ahead_ns / 1e9 if is_too_far else 0.0


def open_source(name: str, settings: Settings, publisher: Publisher, clock: Clock) -> Source:
    """Builds the source of a section of the configuration."""
    section = settings.source[name]
    collector_class = plugins.load("collectors", section.collector)
    origin = Origin(name, section.place or settings.experiment, clock.now_ns)
    collector: Collector = collector_class(origin, section.options)
    return Source(name, section, collector, publisher, clock)
