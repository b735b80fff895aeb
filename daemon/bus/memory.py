"""The message bus within one process: the embedded default. Bounded, thread safe, gone when the process ends.

What all groups of a topic have committed is freed: a group that subscribes later begins with what is left, so stages
subscribe before anything is published. A topic that no group reads keeps its newest records up to the bounds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from collectors.collector import Options
from daemon.bus.bus import MAX_RECORD_BYTES, BusError, OnAssign, OnRevoke, TooLarge
from daemon.bus.memory_group import MemoryStore
from daemon.bus.memory_log import TopicLog, size_of
from daemon.bus.memory_subscription import MemorySubscription
from daemon.bus.topics import Topic, check_subscription, check_value, standard_topics, topic_named


class MemoryOptions(Options):
    """How much the memory bus holds, and what happens when that is not enough."""

    max_records: int = Field(default=20_000, ge=1)
    """Records that a topic holds until its groups have committed them."""
    max_bytes: int = Field(default=256 * 1024 * 1024, ge=1)
    """Bytes that a topic holds, likewise."""
    when_full: Literal["block", "drop_oldest"] = "block"
    """block: who publishes waits; drop_oldest: the oldest record is dropped and counted, and the groups never see it."""
    publish_timeout_s: float = Field(default=30.0, ge=0)
    """How long who publishes waits for room before it is an error."""
    max_record_bytes: int = Field(default=MAX_RECORD_BYTES, ge=1)
    """Largest record, key and value."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a topic of the memory bus holds now, and how many unread records it has dropped since the start."""

    records: int
    bytes: int
    dropped: int


class MemoryBus:
    """The bus of one process. See `bus.Bus` for the contract."""

    def __init__(self, options: MemoryOptions | None = None, topics: Mapping[str, Topic] | None = None) -> None:
        self._options = options or MemoryOptions()
        self._topics = topics or standard_topics()
        self._store = MemoryStore(self._topics, self._options.max_records, self._options.max_bytes)

    def publish(self, topic: str, key: str, value: bytes | None) -> None:
        """Adds one record; see `bus.Bus`. Waits where the topic is full and the policy says so."""
        check_value(topic_named(self._topics, topic), key, value)
        data = value or b""
        size = size_of(key, data)
        if size > self._options.max_record_bytes:
            raise TooLarge(f"{topic}: a record of {size} bytes with key {key[:80]!r}, more than {self._options.max_record_bytes}")
        with self._store.lock:
            self._store.require_open()
            log = self._store.logs[topic]
            if log.is_full(size):
                self._make_room(log, size)
            partition = log.append(key, data)
            if log.topic.compacted:
                self._store.forget(topic)
            self._store.wake_readers(partition)

    def flush(self, timeout_s: float) -> None:  # noqa: ARG002 - the contract's
        """Nothing to wait for: what was published is there."""
        with self._store.lock:
            self._store.require_open()

    def subscribe(
        self, topics: Sequence[str], group: str | None, *, on_assign: OnAssign | None = None, on_revoke: OnRevoke | None = None
    ) -> MemorySubscription:
        """Reads topics; see `bus.Bus`."""
        check_subscription(self._topics, topics, group, on_assign, on_revoke)
        return MemorySubscription(self._store, topics, group, on_assign, on_revoke)

    def usage(self) -> dict[str, Usage]:
        """What each topic holds: for metrics."""
        with self._store.lock:
            return {
                name: Usage(sum(len(p.records) for p in log.partitions), log.bounded_bytes + log.kept_bytes, log.dropped)
                for name, log in self._store.logs.items()
            }

    def close(self) -> None:
        """Ends the bus: whoever waits gets a BusError."""
        with self._store.lock:
            self._store.closed = True
            self._store.wake_all()

    def _make_room(self, log: TopicLog, size: int) -> None:
        deadline = time.monotonic() + self._options.publish_timeout_s
        name = log.topic.name
        while log.is_full(size):
            oldest = log.oldest()
            if oldest is not None and self._store.may_drop(oldest):
                log.drop(oldest)
            elif oldest is not None and self._options.when_full == "drop_oldest":
                log.drop(oldest)
                log.dropped += 1
            elif self._store.is_read_by_thread(name, threading.get_ident()):
                return  # waiting for itself would never end
            elif not self._store.room.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                held = f"{log.bounded_records} records, {log.bounded_bytes} bytes"
                raise BusError(
                    f"{name} is full ({held}): {self._store.laggards(name)} did not read on within {self._options.publish_timeout_s:g} s"
                )
            self._store.require_open()
