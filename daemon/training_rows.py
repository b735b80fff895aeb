"""The rows that models are trained from: of the history or of recorded sources, without incidents and muted times."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from collectors.conditions import ConditionHistory
from collectors.frame import Frame, Layout, Quality, concatenate, is_within
from collectors.split import Splitter
from daemon import plugins
from daemon.bus.memory import MemoryBus
from daemon.clock import SystemClock
from daemon.collect.publisher import Publisher
from daemon.collect.source import open_source
from daemon.conditions import muted_rows
from daemon.history.reader import History, in_order
from daemon.records import Incident, LabelKind
from daemon.settings import Settings
from daemon.store.store import Store

Flags = NDArray[np.bool_]

INCIDENTS_MOST = 100_000
MAX_READ_BYTES = 250_000_000
"""Values that are read of a stream, the newest; training takes a few times as much memory."""
CONDITIONS_BEFORE_NS = 7 * 86_400_000_000_000
"""Conditions are read from so much earlier on: what held when the interval began was said before it."""


@dataclass(frozen=True, eq=False)
class Rows:
    """All rows of a stream in an interval, of its newest layout. normal, real: shape (n,).

    normal: neither in an incident nor muted; real: in an incident that somebody called real.
    """

    frame: Frame
    normal: Flags
    real: Flags
    muted: Flags
    conditions: ConditionHistory

    @cached_property
    def sample(self) -> Frame:
        """The rows to learn from."""
        return self.frame.rows(self.normal)


class TrainingRows:
    """Reads rows of a configuration's sources between two event times."""

    def __init__(self, settings: Settings, from_ns: int | None, to_ns: int | None) -> None:
        """Raises StoreError where the incidents cannot be read."""
        self._settings = settings
        self._from_ns, self._to_ns = from_ns, to_ns
        store = Store(settings.store.resolve())
        try:
            self._incidents = store.incidents(limit=INCIDENTS_MOST)
            kinds = {i.id: [label.kind for label in store.labels(i.id)] for i in self._incidents}
        finally:
            store.close()
        self._nothing = {i for i, said in kinds.items() if LabelKind.NOT_A_PROBLEM in said and LabelKind.REAL not in said}
        self._real = {i for i, said in kinds.items() if LabelKind.REAL in said}
        self._conditions: ConditionHistory | None = None

    def of(self, source: str) -> Iterator[Rows]:
        """One for each stream of a source that has any rows. Raises CollectError where a recorded source cannot be read."""
        section = self._settings.source[source]
        place = section.place or self._settings.experiment
        for frames in self._streams(source, "frames"):
            frame = joined(frames)
            muted = muted_rows(section.mute, frame.time_ns, self._known_conditions())
            covered = self._covered(frame.time_ns, place, [i for i in self._incidents if i.id not in self._nothing])
            real = self._covered(frame.time_ns, place, [i for i in self._incidents if i.id in self._real])
            yield Rows(frame, ~muted & ~covered, real, muted, self._known_conditions())

    def _streams(self, source: str, topic: str) -> Iterator[Sequence[Frame]]:
        """The frames of each stream of a source, of the history if it has any."""
        path = self._settings.history.path
        found = False
        if path is not None:
            history = History(path, topic)
            for stream in history.streams():
                if stream.split("#")[0] != source:
                    continue
                frames = history.read(stream, self._since_ns(topic), self._to_ns, MAX_READ_BYTES)
                if frames:
                    found = True
                    yield frames
        if not found and plugins.load("collectors", self._settings.source[source].collector).finite:
            yield from self._recorded(source, self._since_ns(topic)).values()

    def _since_ns(self, topic: str) -> int | None:
        return self._from_ns - CONDITIONS_BEFORE_NS if self._from_ns is not None and topic == "conditions" else self._from_ns

    def _recorded(self, source: str, from_ns: int | None) -> dict[str, list[Frame]]:
        """What a finite source holds, by stream, as it would be published."""
        clock = SystemClock()
        bus = MemoryBus()  # nobody reads it: what is rejected is said in the log
        opened = open_source(source, self._settings, Publisher(bus, source, "frames", clock.now_ns(), clock.now_ns), clock)
        splitter = Splitter()
        found: dict[str, list[Frame]] = {}
        try:
            for frame in opened.frames():
                for part in splitter.split(frame):
                    kept = part.rows(self._between(part.time_ns, from_ns))
                    if len(kept):
                        found.setdefault(part.layout.stream, []).append(kept)
        finally:
            opened.close()
            bus.close()
        return found

    def _between(self, time_ns: NDArray[np.int64], from_ns: int | None) -> Flags:
        kept = np.ones(len(time_ns), dtype=bool)
        if from_ns is not None:
            kept &= time_ns >= from_ns
        if self._to_ns is not None:
            kept &= time_ns < self._to_ns
        return kept

    def _known_conditions(self) -> ConditionHistory:
        if self._conditions is None:
            self._conditions = ConditionHistory()
            for name, section in self._settings.source.items():
                for frames in self._streams(name, "conditions") if section.role == "conditions" else ():
                    for frame in frames:
                        self._conditions.add(frame)
        return self._conditions

    def _covered(self, time_ns: NDArray[np.int64], place: str, incidents: Sequence[Incident]) -> Flags:
        """Rows within incidents that touch a place; shape (n,). One that lasts reaches up to now."""
        covered = np.zeros(len(time_ns), dtype=bool)
        for incident in incidents:
            places = [*incident.places, incident.cause_place]
            if any(is_within(place, other) or is_within(other, place) for other in places if other):
                end_ns = time.time_ns() if incident.resolved_ns is None else incident.resolved_ns
                covered |= (time_ns >= incident.started_ns) & (time_ns <= end_ns)
        return covered


def joined(frames: Sequence[Frame]) -> Frame:
    """Frames of several layouts as one of the newest layout, in order of time; columns are matched by key, NaN where one was not there."""
    newest = max(frames, key=lambda frame: int(frame.time_ns[-1])).layout
    return in_order(concatenate([projected(frame, newest) for frame in frames]))


def projected(frame: Frame, layout: Layout) -> Frame:
    """The columns of a layout from a frame of another one of the same source."""
    if frame.layout.digest == layout.digest:
        return frame
    positions = dict(zip(frame.layout.keys, frame.layout.starts[:-1], strict=True))
    values = np.full((len(frame), layout.width), np.nan, dtype=frame.values.dtype)
    quality = np.full(values.shape, np.uint8(Quality.GOOD))
    for key, column, start in zip(layout.keys, layout.columns, layout.starts[:-1], strict=True):
        at = positions.get(key)
        if at is not None:
            values[:, start : start + column.width] = frame.values[:, at : at + column.width]
            if frame.quality is not None:
                quality[:, start : start + column.width] = frame.quality[:, at : at + column.width]
    return Frame(layout, frame.time_ns, values, quality if frame.quality is not None else None)
