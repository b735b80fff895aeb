"""A subscription of the memory bus."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from daemon.bus.bus import BusError, NotAssigned, OnAssign, OnRevoke, Record, TopicPartition
from daemon.bus.memory_group import MemoryStore


class MemorySubscription:
    """Reads topics of the memory bus, as a member of a group or all of them. See `bus.Subscription`."""

    def __init__(
        self, store: MemoryStore, topics: Sequence[str], group: str | None, on_assign: OnAssign | None, on_revoke: OnRevoke | None
    ) -> None:
        self.topics = frozenset(topics)
        self.positions_now: dict[TopicPartition, int] = {}
        self.wakeup = threading.Condition(store.lock)
        self.changed = False
        self.thread = threading.get_ident()
        self._store = store
        self._on_assign = on_assign
        self._on_revoke = on_revoke
        self._closed = False
        with store.lock:
            store.require_open()
            self.group = None if group is None else store.group(group)
            if self.group is None:
                names = [name for topic in sorted(self.topics) for name in store.logs[topic].names]
                self.positions_now = {p: store.logs[p.topic].partitions[p.partition].first_offset for p in names}
            store.add_reader(self)
            if self.group is not None:
                self.group.join(self, store.logs)

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Record]:
        """The next records; see `bus.Subscription`. Waits without using the processor."""
        if max_records < 1:
            raise ValueError(f"max_records is {max_records}")
        deadline = time.monotonic() + timeout_s
        self.thread = threading.get_ident()
        while True:
            if self.changed:
                self._follow_group()
            with self._store.lock:
                self._require_open()
                if self.changed:
                    continue
                records = self._read(max_records)
                remaining_s = deadline - time.monotonic()
                if records or remaining_s <= 0:
                    return records
                self.wakeup.wait(remaining_s)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Stores where the group reads on; see `bus.Subscription`."""
        with self._store.lock:
            self._require_open()
            if self.group is None:
                raise ValueError("a broadcast reader has no group to commit for")
            foreign = sorted(f"{p.topic}[{p.partition}]" for p in offsets.keys() - self.group.owned(self))
            if foreign:
                raise NotAssigned(f"group {self.group.name!r} has given {', '.join(foreign)} to another member")
            self.group.committed.update(offsets)
            for topic in {partition.topic for partition in offsets}:
                self._store.forget(topic)

    def positions(self) -> dict[TopicPartition, int]:
        """Next offset to read of every assigned partition."""
        with self._store.lock:
            self._require_open()
            return dict(self.positions_now)

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Offset that the next record of each assigned partition will get."""
        with self._store.lock:
            self._require_open()
            return {p: self._store.logs[p.topic].partitions[p.partition].end_offset for p in self.positions_now}

    def lag(self) -> dict[TopicPartition, int]:
        """How far each position is behind the end."""
        ends = self.end_offsets()
        return {partition: max(0, ends[partition] - position) for partition, position in self.positions().items() if partition in ends}

    def close(self) -> None:
        """Leaves the group, after `on_revoke`; commits nothing."""
        if self._closed:
            return
        with self._store.lock:
            owned = self.group.owned(self) if self.group is not None else frozenset()
        try:
            if owned and self._on_revoke is not None and not self._store.closed:
                self._on_revoke(owned)
        finally:
            with self._store.lock:
                self._closed = True
                if self.group is not None:
                    self.group.leave(self, self._store.logs)
                self._store.remove_reader(self)
                self.wakeup.notify_all()

    def _require_open(self) -> None:
        self._store.require_open()
        if self._closed:
            raise BusError(f"the subscription to {', '.join(sorted(self.topics))} is closed")

    def _follow_group(self) -> None:
        """Gives back and takes over what the group has decided; the callbacks run without the lock."""
        if self.group is None:
            return
        with self._store.lock:
            self._require_open()
            self.changed = False
            released = self.group.to_release(self)
        if released:
            if self._on_revoke is not None:
                self._on_revoke(released)
            with self._store.lock:
                self.group.release(self, released)
        with self._store.lock:
            taken = self.group.take(self, self._store.logs)
        if not taken or self._on_assign is None:
            return
        offsets = self._on_assign(taken) or {}
        with self._store.lock:
            for partition in taken & offsets.keys():
                self.positions_now[partition] = self._within(partition, offsets[partition])

    def _within(self, partition: TopicPartition, offset: int) -> int:
        """The offset, or the oldest one that is there where it is out of range: as Kafka does."""
        log = self._store.logs[partition.topic].partitions[partition.partition]
        return offset if log.first_offset <= offset <= log.end_offset else log.first_offset

    def _read(self, max_records: int) -> list[Record]:
        records: list[Record] = []
        for partition in list(self.positions_now):
            if len(records) == max_records:
                break
            position = self.positions_now.pop(partition)
            log = self._store.logs[partition.topic].partitions[partition.partition]
            found, position = log.read(position, max_records - len(records))
            self.positions_now[partition] = position  # back at the end: the other partitions come first next time
            records += found
        if records and self.group is None:
            for topic in {record.topic for record in records}:
                self._store.forget(topic)
        return records
