"""Third parties publish plain JSON to the `ingest` topic (daemon/ingest_message.py); it becomes frames like those of any collector.

What cannot be used goes to the dead letters with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from collectors.collector import Rejected
from collectors.frame import Channel
from collectors.snapshot import SnapshotFrames
from daemon import metrics
from daemon.bus.bus import Bus, Record, TopicPartition
from daemon.clock import Clock
from daemon.collect.publisher import Publisher
from daemon.ingest_message import IngestError, read_message

MOST_SOURCES = 1000
"""Sources whose layouts are kept; of those heard least recently all is forgotten, and made again when they are heard again.

Anybody who may publish can name as many sources as he likes: a script that puts the number of its job into the name does."""
INGEST_EPOCH = 1
"""The producer's epoch of all blocks that are numbered by the offset of their message."""


class Ingest:
    """Reads the ingest topic. A message is committed once its frame has been acknowledged by the bus.

    Each partition of the topic is a stream of its own ("weather#ingest3"), and the offset of a message is the sequence of
    its block: read twice after a crash, it is recognised. Publish with the source as key, so that its order holds.
    """

    def __init__(
        self, bus: Bus, publishers: Mapping[str, Publisher], places: Mapping[str, str], clock: Clock, *, epoch: int = INGEST_EPOCH
    ) -> None:
        """`publishers`: those of the configured sources, which are told that their source is alive; `places`: where they lie.

        A bus whose offsets begin anew with each process needs another `epoch` each time.
        """
        self._epoch = epoch
        self._bus = bus
        self._clock = clock
        self._configured = publishers
        self._places = places
        self._subscription = bus.subscribe(["ingest"], "collect", on_revoke=self._revoked)
        self._frames: dict[str, dict[int, SnapshotFrames]] = {}
        self._publishers: dict[str, Publisher] = {}
        self.heard: set[str] = set()

    def step(self, timeout_s: float) -> int:
        """Reads what has arrived; the number of messages."""
        records = self._subscription.poll(timeout_s)
        for record in records:
            self._take(record)
        if records:
            self._bus.flush(10.0)
            self._subscription.commit({TopicPartition(r.topic, r.partition): r.offset + 1 for r in records})
        return len(records)

    def close(self) -> None:
        """Leaves the topic."""
        self._subscription.close()

    def _take(self, record: Record) -> None:
        try:
            message = read_message(record.value)
            message.check_time(self._clock.now_ns())
        except IngestError as error:
            subject = f"ingest message {record.partition}/{record.offset}"
            self._publisher("ingest").rejected(Rejected(subject, str(error), record.value))
            return
        source, place, time_ns, values, units = message
        place = place or self._places.get(source, source)
        channels = [Channel(name, name, units.get(name, ""), place=place) for name in values]
        publisher = self._publisher(source)
        frames = self._frames[source].setdefault(record.partition, SnapshotFrames(source, f"ingest{record.partition}"))
        frame = frames.frame(time_ns, channels, values)
        publisher.numbered(frame, record.offset)
        if source in self._configured:
            self.heard.add(source)
            self._configured[source].note(time_ns)

    def _publisher(self, source: str) -> Publisher:
        publisher = self._publishers.pop(source, None) or Publisher(self._bus, source, "frames", self._epoch, self._clock.now_ns)
        self._publishers[source] = publisher  # the last one is the one heard last
        self._frames.setdefault(source, {})
        if len(self._publishers) > MOST_SOURCES:
            forgotten = next(iter(self._publishers))
            del self._publishers[forgotten], self._frames[forgotten]
            if forgotten not in self._configured:
                for metric in (metrics.ROWS, metrics.LAST_DATA):
                    with suppress(KeyError):
                        metric.remove(forgotten)
        return publisher

    def _revoked(self, _partitions: frozenset[TopicPartition]) -> None:
        self.heard.clear()  # whoever reads them now knows whether their sources are alive
