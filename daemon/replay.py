"""Recorded data through the same pipeline, at any speed, with the same incidents as the live run would have given."""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from collectors.frame import Frame
from collectors.wire import END_OF_STREAM_NS
from daemon.bus.bus import Bus
from daemon.clock import SystemClock
from daemon.collect.publisher import Publisher
from daemon.collect.source import open_source
from daemon.correlate.stage import CorrelateStage
from daemon.detect.stage import DetectStage
from daemon.notify.receiver import Receiver
from daemon.notify.stage import NotifyStage
from daemon.pipeline import knowledge_of
from daemon.runner import Stage
from daemon.settings import Settings
from daemon.store.store import Store

log = logging.getLogger(__name__)

BLOCKS_AHEAD = 50
"""Frames published before the other stages get their turn: bounds what is in memory."""
DRAIN_TIMEOUT_S = 120.0
LONGEST_GAP_S = 60.0
"""A longer gap in recorded data is not waited for."""


class ReplayError(Exception):
    """A replay that did not come to its end; says where it stopped."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What went through."""

    rows: int
    first_ns: int
    last_ns: int
    seconds: float


class Recorded(Protocol):
    """A source whose rows are all there already."""

    name: str

    def frames(self) -> Iterator[Frame]:
        """All of them, in order of time. Raises CollectError."""

    def close(self) -> None:
        """Ends it."""


class Replay:
    """Feeds the finite sources of a configuration through detect, correlate and notify, in one thread.

    A replay that is started again on the same bus and store sends all of it once more; what had been judged is recognised by its
    time, and it ends with the same incidents.
    """

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        store: Store,
        receivers: Sequence[Receiver],
        speed: float | None,
        recorded: Sequence[Recorded] | None = None,
    ) -> None:
        """`recorded`: rows of the sources of these names, instead of what the configuration says that is read."""
        self._bus = bus
        self._speed = speed
        self._paced_ns, self._due_s = 0, time.monotonic()
        clock = SystemClock()
        self._publishers: dict[str, Publisher] = {}
        self._sources: list[Recorded] = list(recorded or ())
        for name, section in settings.source.items():
            topic = "conditions" if section.role == "conditions" else "frames"
            self._publishers[name] = Publisher(bus, name, topic, clock.now_ns(), clock.now_ns)
            if recorded is None:
                self._sources.append(open_source(name, settings, self._publishers[name], clock))
        self._detect = DetectStage(settings, bus, store, wait_for_conditions=True)
        self._correlate = CorrelateStage(settings, bus, store, knowledge_of(settings), wait_for_all=True)
        self._stages: list[Stage] = [self._detect, self._correlate, NotifyStage(bus, store, receivers)]

    def run(self, progress: Callable[[int, int], None]) -> Replayed:
        """Runs to the end of the data. `progress` is called with rows done and the event time reached. Raises ReplayError, CollectError."""
        started = time.monotonic()
        rows, first_ns, last_ns, published = 0, 0, 0, 0
        for publisher in self._publishers.values():
            publisher.heartbeat(0)
        for name, frame in merged(self._sources):
            first_ns = first_ns or int(frame.time_ns[0])
            last_ns = max(last_ns, int(frame.time_ns[-1]))
            self._others(int(frame.time_ns[0]), name)
            for part in self._paced(frame):
                self._publishers[name].frame(part)
                published += 1
                if published % BLOCKS_AHEAD == 0 or self._speed is not None:
                    self._advance()
            rows += len(frame)
            progress(rows, last_ns)
        for publisher in self._publishers.values():
            publisher.heartbeat(END_OF_STREAM_NS)
        self._bus.flush(60.0)
        self._drain()
        return Replayed(rows, first_ns, last_ns, time.monotonic() - started)

    def streams(self) -> list[dict[str, Any]]:
        """What each stream is at: lines of `shiftwatch status`."""
        streams: list[dict[str, Any]] = self._detect.status()["streams"]
        return streams

    def close(self) -> None:
        """Ends stages and sources."""
        for stage in self._stages:
            stage.close()
        for source in self._sources:
            source.close()

    def _paced(self, frame: Frame) -> Iterator[Frame]:
        """The frame's rows when their time has come; all at once without a speed."""
        if self._speed is None:
            yield frame
            return
        for row in range(len(frame)):
            at_ns = int(frame.time_ns[row])
            step_s = min(max(0.0, (at_ns - self._paced_ns) / 1e9), LONGEST_GAP_S) if self._paced_ns else 0.0
            self._due_s = max(self._due_s + step_s / self._speed, time.monotonic() - 1.0)
            self._paced_ns = max(at_ns, self._paced_ns)
            while (wait_s := self._due_s - time.monotonic()) > 0:
                self._advance(min(0.05, wait_s))
            yield frame.rows(slice(row, row + 1))

    def _others(self, at_ns: int, name: str) -> None:
        """Frames are merged in order of their first row: nothing older than that is still to come from any source."""
        for other, publisher in self._publishers.items():
            if other != name:
                publisher.heartbeat(at_ns - 1)

    def _advance(self, timeout_s: float = 0.0) -> int:
        return sum(stage.step(timeout_s) for stage in self._stages)

    def _drain(self) -> None:
        """Until everything has been judged, correlated and told."""
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        quiet = 0
        while quiet < 2:
            if self._advance(0.05):
                deadline = time.monotonic() + DRAIN_TIMEOUT_S
            reached_ns = self._correlate.watermark_ns
            quiet = quiet + 1 if reached_ns is not None and reached_ns >= END_OF_STREAM_NS and not self._advance(0.05) else 0
            if time.monotonic() > deadline:
                raise ReplayError(f"no progress for {DRAIN_TIMEOUT_S:.0f} s; correlated up to {reached_ns}")


def merged(sources: Sequence[Recorded]) -> Iterator[tuple[str, Frame]]:
    """The frames of all sources in order of their first row. Raises CollectError."""

    def keyed(number: int, source: Recorded) -> Iterator[tuple[int, int, str, Frame]]:
        for frame in source.frames():
            if len(frame):
                yield int(frame.time_ns[0]), number, source.name, frame

    for _, _, name, frame in heapq.merge(*(keyed(i, s) for i, s in enumerate(sources)), key=lambda item: item[:2]):
        yield name, frame
