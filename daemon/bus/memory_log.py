"""What the memory bus holds of a topic: a log for each partition, and what may be forgotten of it. Not thread safe."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from operator import attrgetter

from daemon.bus.bus import Record, TopicPartition
from daemon.bus.topics import Topic

_offset = attrgetter("offset")


class PartitionLog:
    """Records of one partition in the order of their offsets, with gaps where some were forgotten."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.arrivals: list[int] = []  # order of arrival over the whole topic, parallel to records
        self.end_offset = 0

    @property
    def first_offset(self) -> int:
        """Offset of the oldest record, or the end where there is none."""
        return self.records[0].offset if self.records else self.end_offset

    def append(self, record: Record, arrival: int) -> None:
        """Adds a record at the end; its offset is `end_offset`."""
        self.records.append(record)
        self.arrivals.append(arrival)
        self.end_offset += 1

    def read(self, position: int, limit: int) -> tuple[list[Record], int]:
        """At most `limit` records from an offset on, and the next position."""
        start = bisect_left(self.records, position, key=_offset)
        records = self.records[start : start + limit]
        if start + len(records) == len(self.records):
            return records, self.end_offset
        return records, records[-1].offset + 1 if records else position

    def remove_before(self, offset: int) -> list[Record]:
        """Forgets all records before an offset and returns them."""
        stop = bisect_left(self.records, offset, key=_offset)
        gone = self.records[:stop]
        del self.records[:stop]
        del self.arrivals[:stop]
        return gone

    def remove(self, offset: int) -> None:
        """Forgets the record at an offset that is there."""
        index = bisect_left(self.records, offset, key=_offset)
        del self.records[index]
        del self.arrivals[index]


class TopicLog:
    """All partitions of a topic, with its bounds: `max_records` and `max_bytes` of what may be forgotten or must be read.

    The last record of every key of a compacted topic is kept beyond the bounds: it is the topic's content.
    """

    def __init__(self, topic: Topic, max_records: int, max_bytes: int) -> None:
        self.topic = topic
        self.partitions = [PartitionLog() for _ in range(topic.partitions)]
        self.bounded_records = 0
        self.bounded_bytes = 0
        self.kept_bytes = 0
        self.dropped = 0  # records that a group had not committed yet
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._arrivals = 0
        self._latest: dict[str, Record] = {}
        self._superseded: deque[Record] = deque()

    @property
    def names(self) -> list[TopicPartition]:
        """The partitions by name."""
        return [TopicPartition(self.topic.name, number) for number in range(len(self.partitions))]

    def partition_of(self, key: str) -> int:
        """The partition that records of this key go to."""
        return zlib.crc32(key.encode()) % len(self.partitions) if len(self.partitions) > 1 else 0

    def is_full(self, size: int) -> bool:
        """Whether a record of this many bytes goes beyond a bound. An empty topic takes any record."""
        if self.topic.compacted or not self.bounded_records:
            return False
        return self.bounded_records >= self._max_records or self.bounded_bytes + size > self._max_bytes

    def append(self, key: str, value: bytes) -> TopicPartition:
        """Adds a record and returns its partition."""
        number = self.partition_of(key)
        log = self.partitions[number]
        record = Record(self.topic.name, key, value, number, log.end_offset)
        self._arrivals += 1
        log.append(record, self._arrivals)
        if self.topic.compacted:
            self._supersede(record)
        else:
            self._count(record)
        return TopicPartition(self.topic.name, number)

    def forget_read(self, floors: Mapping[int, int]) -> None:
        """Forgets what every reader is past; `floors` holds the lowest offset still to be read of each partition."""
        if self.topic.compacted:
            self._forget_superseded(floors)
            return
        for number, floor in floors.items():
            for record in self.partitions[number].remove_before(floor):
                self._discount(record)

    def oldest(self) -> Record | None:
        """The record that arrived first, None where there is none."""
        logs = [log for log in self.partitions if log.records]
        return min(logs, key=lambda log: log.arrivals[0]).records[0] if logs else None

    def drop(self, record: Record) -> None:
        """Forgets a record that counts against the bounds."""
        self.partitions[record.partition].remove(record.offset)
        self._discount(record)

    def _supersede(self, record: Record) -> None:
        previous = self._latest.pop(record.key, None)
        if previous is not None:
            self.kept_bytes -= size_of(previous.key, previous.value)
            self._superseded.append(previous)
            self._count(previous)
        if record.is_tombstone:
            self._superseded.append(record)
            self._count(record)
        else:
            self._latest[record.key] = record
            self.kept_bytes += size_of(record.key, record.value)
        while self.bounded_records > self._max_records or self.bounded_bytes > self._max_bytes:
            self.drop(self._superseded.popleft())

    def _forget_superseded(self, floors: Mapping[int, int]) -> None:
        if self.topic.history_s or not self._superseded:
            return
        unread = deque(record for record in self._superseded if record.offset >= floors.get(record.partition, record.offset + 1))
        for record in self._superseded:
            if record.offset < floors.get(record.partition, record.offset + 1):
                self.drop(record)
        self._superseded = unread

    def _count(self, record: Record) -> None:
        self.bounded_records += 1
        self.bounded_bytes += size_of(record.key, record.value)

    def _discount(self, record: Record) -> None:
        self.bounded_records -= 1
        self.bounded_bytes -= size_of(record.key, record.value)


def size_of(key: str, value: bytes) -> int:
    """Bytes that a record counts for: its key in UTF-8 and its value."""
    return (len(key) if key.isascii() else len(key.encode())) + len(value)
