"""A user's own recorded rows: tables of a folder through the configured finite sources, or the Parquet history of a daemon."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path

from collectors.frame import Frame
from daemon import plugins
from daemon.bus.memory import MemoryBus, MemoryOptions
from daemon.clock import SystemClock
from daemon.collect.publisher import Publisher
from daemon.collect.source import open_source
from daemon.history.files import Run
from daemon.history.reader import EVER_NS, History
from daemon.settings import Settings

DAY_NS = 86_400_000_000_000
"""The history is read in pieces of this length: one of them is in memory."""


class TableSource:
    """What a finite source of the configuration holds between two event times."""

    def __init__(self, name: str, settings: Settings, from_ns: int | None, to_ns: int | None) -> None:
        clock = SystemClock()
        self.name = name
        self._between_ns = _interval(from_ns, to_ns)
        self._bus = MemoryBus(MemoryOptions())  # nobody reads it: what is rejected is said in the log
        self._source = open_source(name, settings, Publisher(self._bus, name, "frames", clock.now_ns(), clock.now_ns), clock)

    def frames(self) -> Iterator[Frame]:
        """The rows in order. Raises CollectError."""
        for frame in self._source.frames():
            kept = _between(frame, self._between_ns)
            if len(kept):
                yield kept

    def close(self) -> None:
        """Ends the collector."""
        self._source.close()
        self._bus.close()


class HistorySource:
    """What the history holds of a source between two event times."""

    def __init__(self, name: str, history: History, streams: list[str], from_ns: int | None, to_ns: int | None) -> None:
        self.name = name
        self._history = history
        self._streams = streams
        self._between_ns = _interval(from_ns, to_ns)

    def frames(self) -> Iterator[Frame]:
        """The rows in order, those of all parts of the source merged; one day is in memory."""
        yield from heapq.merge(*map(self._stream, self._streams), key=lambda frame: int(frame.time_ns[0]))

    def close(self) -> None:
        """Nothing stays open."""

    def _stream(self, stream: str) -> Iterator[Frame]:
        runs = [run for path in self._history.files(stream, *self._between_ns) if (run := Run.of(path)) is not None]
        if not runs:
            return
        at_ns = max(self._between_ns[0], min(run.first_ns for run in runs))
        end_ns = min(self._between_ns[1], max(run.last_ns for run in runs) + 1)
        while at_ns < end_ns:
            yield from self._history.read(stream, at_ns, min(at_ns + DAY_NS, end_ns))
            later = (run.first_ns for run in runs if run.last_ns >= at_ns + DAY_NS)
            at_ns = max(at_ns + DAY_NS, min(later, default=end_ns))  # days of which there is nothing are passed over


Source = TableSource | HistorySource


def open_recorded(settings: Settings, folder: Path, from_ns: int | None, to_ns: int | None) -> list[Source]:
    """All sources of the configuration of which anything was recorded.

    The history in `folder` comes first; a source that it has nothing of is read through its collector where that one is finite.
    """
    found: list[Source] = []
    for name, section in settings.source.items():
        topic = "conditions" if section.role == "conditions" else "frames"
        source = _of_history(name, topic, folder, from_ns, to_ns)
        if source is not None:
            found.append(source)
        elif plugins.load("collectors", section.collector).finite:
            found.append(TableSource(name, settings, from_ns, to_ns))
    return found


def _of_history(name: str, topic: str, folder: Path, from_ns: int | None, to_ns: int | None) -> Source | None:
    for root in (folder, folder / "history"):
        history = History(root, topic) if root.is_dir() else None
        streams = [s for s in history.streams() if s.split("#")[0] == name and history.files(s, from_ns, to_ns)] if history else []
        if history is not None and streams:
            return HistorySource(name, history, streams, from_ns, to_ns)
    return None


def _between(frame: Frame, between_ns: tuple[int, int]) -> Frame:
    inside = (frame.time_ns >= between_ns[0]) & (frame.time_ns < between_ns[1])
    return frame if inside.all() else frame.rows(inside)


def _interval(from_ns: int | None, to_ns: int | None) -> tuple[int, int]:
    return EVER_NS[0] if from_ns is None else from_ns, EVER_NS[1] if to_ns is None else to_ns
