"""Reading from Kafka: what both kinds of subscription share, and the broadcast reader. Not thread safe, as kafka-python."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaPartition
from kafka.errors import KafkaError

from daemon.bus.bus import BusError, Record, TopicPartition
from daemon.bus.kafka_connection import connect, describe
from daemon.bus.kafka_options import KafkaOptions
from daemon.bus.topics import Topic

log = logging.getLogger(__name__)

# Blocks are 20 to 500 kB. kafka-python's own 1 MB for a partition holds two of the large ones, and 4 MB gives 1.4 times
# the bytes per second; from 8 MB on it gets slower again, as what is copied while parsing outgrows the processor's caches.
PARTITION_FETCH_BYTES = 4 * 1024 * 1024
FETCH_BYTES = 8 * 1024 * 1024
SOCKET_BYTES = 1024 * 1024
KEYS_REMEMBERED = 10_000


class _Keys(dict[bytes | None, str]):
    """Keys as text, decoded once. Keys from third parties need not be UTF-8, or there at all."""

    def __missing__(self, raw: bytes | None) -> str:
        if len(self) >= KEYS_REMEMBERED:
            self.clear()
        key = "" if raw is None else raw.decode("utf-8", errors="backslashreplace")
        self[raw] = key
        return key


class KafkaSubscription:
    """A consumer of kafka-python with the names of the bus. The two kinds below it differ in how they get partitions."""

    def __init__(self, options: KafkaOptions, topics: Mapping[str, Topic], **settings: object) -> None:
        self._options = options
        self._topics = {options.topic(topic.name): topic for topic in topics.values()}  # by Kafka's name
        self._keys = _Keys()
        self._next: dict[KafkaPartition, int] = {}
        self._timeout_ms = int(options.request_timeout_s * 1000)
        self._closed = False
        self._consumer: Any = connect(
            KafkaConsumer,
            options,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=max(PARTITION_FETCH_BYTES, 2 * options.max_record_bytes),
            fetch_max_bytes=max(FETCH_BYTES, 2 * options.max_record_bytes),
            fetch_max_wait_ms=min(500, self._timeout_ms // 2),
            receive_buffer_bytes=SOCKET_BYTES,
            metrics_enabled=False,
            **settings,
        )

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Record]:
        """The next records; see `bus.Subscription`."""
        self._require_open()
        return self._records(self._fetch(timeout_s, max_records))

    def positions(self) -> dict[TopicPartition, int]:
        """Next offset to read of every assigned partition."""
        self._require_open()
        return {self._ours(p): self._position(p) for p in self._assigned()}

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Offset that the next record of each assigned partition will get: asks the brokers."""
        self._require_open()
        assigned = self._assigned()
        if not assigned:
            return {}
        ends = self._asked(lambda: self._consumer.end_offsets(assigned, timeout_ms=self._timeout_ms))
        return {self._ours(partition): offset for partition, offset in ends.items()}

    def lag(self) -> dict[TopicPartition, int]:
        """How far each position is behind the end."""
        ends = self.end_offsets()
        return {partition: max(0, ends[partition] - position) for partition, position in self.positions().items() if partition in ends}

    def close(self) -> None:
        """Ends the consumer; commits nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            self._consumer.close(autocommit=False, timeout_ms=self._timeout_ms)
        except KafkaError as error:  # the group notices by itself, after the session time-out
            log.warning("leaving %s: %s", ", ".join(self._topics), describe(error))

    def _assigned(self) -> list[KafkaPartition]:
        return sorted(self._consumer.assignment())

    def _fetch(self, timeout_s: float, max_records: int) -> dict[KafkaPartition, list[Any]]:
        batches: dict[KafkaPartition, list[Any]] = self._asked(
            lambda: self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        )
        return batches

    def _records(self, batches: Mapping[KafkaPartition, list[Any]]) -> list[Record]:
        records: list[Record] = []
        keys = self._keys
        for partition, batch in batches.items():
            topic, number = self._topics[partition.topic], partition.partition
            self._note_gap(partition, topic, batch[0].offset)
            self._next[partition] = batch[-1].offset + 1
            name = topic.name
            records += [Record(name, keys[r.key], r.value or b"", number, r.offset) for r in batch]
        return records

    def _note_gap(self, partition: KafkaPartition, topic: Topic, offset: int) -> None:
        """Records that Kafka deleted by age before they were read are lost: never silently."""
        expected = self._next.get(partition, offset)
        if offset > expected and not topic.compacted:
            log.error(
                "topic %s, partition %d: %d records from offset %d on were deleted before they were read",
                partition.topic, partition.partition, offset - expected, expected,
            )  # fmt: skip

    def _position(self, partition: KafkaPartition) -> int:
        position: int | None = self._asked(lambda: self._consumer.position(partition, timeout_ms=self._timeout_ms))
        if position is None:
            raise BusError(f"{self._told(partition)}: Kafka at {self._options.servers} did not say where to read on")
        return position

    def _asked(self, question: Callable[[], Any]) -> Any:  # noqa: ANN401 - kafka-python is untyped
        try:
            return question()
        except KafkaError as error:
            raise BusError(f"{', '.join(self._topics)} at {self._options.servers}: {describe(error)}") from None

    def _require_open(self) -> None:
        if self._closed:
            raise BusError(f"the subscription to {', '.join(self._topics)} is closed")

    def _ours(self, partition: KafkaPartition) -> TopicPartition:
        return TopicPartition(self._topics[partition.topic].name, partition.partition)

    def _theirs(self, partition: TopicPartition) -> KafkaPartition:
        return KafkaPartition(self._options.topic(partition.topic), partition.partition)

    @staticmethod
    def _told(partition: KafkaPartition) -> str:
        return f"{partition.topic}[{partition.partition}]"


class BroadcastSubscription(KafkaSubscription):
    """Reads every partition of its topics from the beginning. See `bus.Subscription`.

    All partitions are there when it is made, so that `lag` says at once how much there is to read.
    """

    def __init__(self, options: KafkaOptions, topics: Mapping[str, Topic]) -> None:
        super().__init__(options, topics, client_id=f"{options.prefix}-reader", group_id=None)
        try:
            self._discover()
        except BaseException:
            self.close()
            raise

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """A ValueError: there is no group to commit for."""
        raise ValueError(f"a broadcast reader has no group to commit {len(offsets)} offsets for")

    def _fetch(self, timeout_s: float, max_records: int) -> dict[KafkaPartition, list[Any]]:
        if time.monotonic() >= self._discover_at:
            try:
                self._discover()
            except BusError as error:  # no broker to ask just now
                log.debug("looking for new partitions: %s", error)
        return super()._fetch(timeout_s, max_records)

    def _discover(self) -> None:
        """Takes over partitions that were added; those it has go on where they are."""
        self._discover_at = time.monotonic() + self._options.discovery_interval_s
        wanted = self._asked(lambda: {KafkaPartition(t, n) for t in self._topics for n in self._consumer.partitions_for_topic(t)})
        assigned = self._consumer.assignment()
        if wanted - assigned:
            self._asked(lambda: self._consumer.assign(sorted(wanted | assigned)))
