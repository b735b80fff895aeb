"""Reads topics of a Kafka cluster from where the last turn ended. Every message is read at least once.

Partitions are assigned by hand and not shared out among the members of a group: one source is read by one process. The group only
stores the offsets. So nothing depends on rebalances, in which kafka-python 3.0.12 can stay out of its group without a word.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.net.compat import KafkaNetClient

from collectors.collector import CollectError, Rejected
from collectors.messages.kafka_security import security_of
from collectors.messages.kafka_source_options import KafkaSourceOptions
from collectors.patterns import matches

log = logging.getLogger(__name__)

RECONNECT_MAX_S = 2.0
"""Longest pause between attempts to reach a broker that went away; kafka-python's own 30 s outlast a restart."""
DISCOVERY_INTERVAL_S = 30.0
"""How soon partitions and topics are seen that are new."""
POLL_RECORDS = 500
POLL_S = 0.2


class _Reasons(logging.Handler):
    """Why a connection failed: kafka-python raises only that it timed out, and tells its log the reason."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.first: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the first exception that a message carries."""
        for argument in record.args if isinstance(record.args, tuple) else ():
            if isinstance(argument, KafkaError) and not isinstance(argument, KafkaTimeoutError):
                self.first = self.first or argument


class TopicReader:
    """Reads turn by turn: `begin`, all of `records`, then `end` when what was read is safe. A turn that did not end is read again."""

    def __init__(
        self,
        options: KafkaSourceOptions,
        topics: Sequence[str],
        group_id: str,
        start: Literal["latest", "earliest"],
        *,
        stores: bool = True,
    ) -> None:
        """`topics`: names or patterns. `start`: where partitions begin of which the group has stored no offset.

        Without `stores` nothing is stored of how far it read: the group goes on where it was.
        """
        self._stores = stores
        self._options = options
        self._topics = topics
        self._group_id = group_id
        self._start = start
        self._timeout_ms = int(options.request_timeout_s * 1000)
        self._consumer: Any = None
        self._discover_at_s = 0.0
        self._missing: list[str] = []
        self._has_begun = False
        self._behind = 0  # messages that the last turn left for the next ones
        self._is_told_behind = False
        self._done: dict[TopicPartition, int] = {}  # offsets up to which everything is safe
        self._stored: dict[TopicPartition, int] = {}  # what the group knows of that
        self._position: dict[TopicPartition, int] = {}  # where kafka-python reads on

    def begin(self) -> list[str]:
        """Stores how far the last turn came and finds the partitions; topics that are not there. Raises CollectError."""
        if self._consumer is None:
            self._consumer = self._asked(self._connect)
            self._discover_at_s, self._position = 0.0, {}
        self._asked(self._store)
        if time.monotonic() >= self._discover_at_s:
            self._missing = self._asked(self._discover)
        if not self._done:
            raise CollectError(f"Kafka at {self._options.servers}: no topic {', '.join(self._topics)}")
        return self._missing

    def records(self, max_records: int, max_bytes: int) -> Iterator[list[Any] | Rejected]:
        """What has come until now, each piece of one partition, and that messages were deleted unread. Raises CollectError."""
        ends, lost = self._asked(self._bounds)
        yield from lost
        timeout_s = self._options.request_timeout_s
        records, size, deadline_s = 0, 0, time.monotonic() + timeout_s
        while records < max_records and size < max_bytes and any(self._position[partition] < end for partition, end in ends.items()):
            before = dict(self._position)
            for batch in self._asked(lambda: self._poll(min(POLL_RECORDS, max_records - records), ends)):  # noqa: B023 - called at once
                yield batch
                records += len(batch)
                size += sum(len(record.value or b"") for record in batch)
            if self._position != before:
                deadline_s = time.monotonic() + timeout_s
            elif time.monotonic() > deadline_s:
                self._disconnect()
                raise CollectError(f"Kafka at {self._options.servers}: there are messages, and none came within {timeout_s:g} s")
        self._tell_behind(sum(max(0, end - self._position[partition]) for partition, end in ends.items()))

    def _tell_behind(self, messages: int) -> None:
        """Says that more comes than is read, before the broker deletes what was not read; once, until it has been caught up with."""
        if messages > self._behind and self._behind and not self._is_told_behind:
            self._is_told_behind = True
            log.warning(
                "topics come faster than they are read group=%s messages_behind=%d: raise max_messages and max_bytes, or shorten period_s",
                self._group_id,
                messages,
            )
        self._is_told_behind &= messages > 0
        self._behind = messages

    def end(self) -> None:
        """What was read in this turn is safe."""
        self._done |= self._position

    def close(self) -> None:
        """Stores how far the last turn came, as well as it can, and ends the connection."""
        if self._consumer is not None:
            try:
                self._store()
            except KafkaError as error:
                log.warning("offsets of group %s are not stored, messages will be read again: %s", self._group_id, _described(error))
            self._disconnect()

    def _poll(self, max_records: int, ends: Mapping[TopicPartition, int]) -> list[list[Any]]:
        batches: dict[TopicPartition, list[Any]] = self._consumer.poll(timeout_ms=int(POLL_S * 1000), max_records=max_records)
        for partition in ends:  # moves on over what transactions leave behind, too
            position = self._consumer.position(partition, timeout_ms=self._timeout_ms)
            if position is None:
                raise KafkaTimeoutError(f"no position of {_named(partition)}")
            self._position[partition] = position
        return list(batches.values())

    def _store(self) -> None:
        new = {partition: offset for partition, offset in self._done.items() if self._stored.get(partition) != offset}
        if new and self._stores:
            entries = {partition: OffsetAndMetadata(offset, "", -1) for partition, offset in new.items()}
            self._consumer.commit(entries, timeout_ms=self._timeout_ms)
            self._stored |= new

    def _discover(self) -> list[str]:
        """Takes over partitions that are new, gives up those that are gone; topics that are not there."""
        there = self._consumer.topics()
        found = sorted(topic for topic in there if any(matches(pattern, topic) for pattern in self._topics))
        partitions = {TopicPartition(topic, number) for topic in found for number in self._consumer.partitions_for_topic(topic) or ()}
        if partitions != self._consumer.assignment():
            self._consumer.assign(sorted(partitions))
            self._position = {}
        is_first, self._has_begun = not self._has_begun, True
        self._done = {partition: offset for partition, offset in self._done.items() if partition in partitions}
        self._begin_reading(partitions - self._done.keys(), is_first=is_first)
        self._discover_at_s = time.monotonic() + (DISCOVERY_INTERVAL_S if found else 0.0)
        return [pattern for pattern in self._topics if not any(matches(pattern, topic) for topic in found)]

    def _begin_reading(self, partitions: set[TopicPartition], *, is_first: bool) -> None:
        """Where to read partitions from: the stored offset, else as `start` says; those added later from their beginning."""
        stored = {partition: self._consumer.committed(partition, timeout_ms=self._timeout_ms) for partition in partitions}
        self._stored |= {partition: offset for partition, offset in stored.items() if offset is not None}
        fresh = [partition for partition, offset in stored.items() if offset is None]
        for partition in fresh:  # of a topic that was deleted and made anew
            self._stored.pop(partition, None)
        read_before = {partition.topic for partition, offset in stored.items() if offset is not None}
        is_at_end = self._start == "latest" and is_first
        ends = [partition for partition in fresh if is_at_end and partition.topic not in read_before]
        rest = [partition for partition in fresh if partition not in ends]  # also those that were added while we were away
        begins = self._consumer.end_offsets(ends, timeout_ms=self._timeout_ms) if ends else {}
        begins |= self._consumer.beginning_offsets(rest, timeout_ms=self._timeout_ms) if rest else {}
        self._done |= {partition: begins[partition] if offset is None else offset for partition, offset in stored.items()}
        self._store()  # or a restart before the first message would begin at a later one

    def _bounds(self) -> tuple[dict[TopicPartition, int], list[Rejected]]:
        """The offsets up to which this turn reads, and what cannot be read any more."""
        partitions = sorted(self._done)
        begins = self._consumer.beginning_offsets(partitions, timeout_ms=self._timeout_ms)
        ends: dict[TopicPartition, int] = self._consumer.end_offsets(partitions, timeout_ms=self._timeout_ms)
        lost = []
        for partition, offset in self._done.items():
            wanted = offset
            if offset < begins[partition]:
                wanted = begins[partition]
                reason = f"{wanted - offset} messages from offset {offset} on were deleted before they were read"
                lost.append(Rejected(_named(partition), reason))
            elif offset > ends[partition]:
                wanted = begins[partition]
                lost.append(Rejected(_named(partition), f"offset {offset} does not exist (any more): reads on from offset {wanted}"))
            if self._position.get(partition) != wanted:
                self._consumer.seek(partition, wanted)
                self._position[partition] = wanted
        return ends, lost

    def _asked(self, question: Callable[[], Any]) -> Any:  # noqa: ANN401 - kafka-python is untyped
        """The answer. Raises CollectError, with the connection ended: the next turn makes a new one."""
        try:
            return question()
        except (KafkaError, OSError, ValueError) as error:
            self._disconnect()
            reason = self._unreachable() or _described(error)
            raise CollectError(f"Kafka at {self._options.servers}: {reason}") from None

    def _connect(self) -> Any:  # noqa: ANN401 - kafka-python is untyped
        clients: list[Any] = []

        def make_client(**configuration: Any) -> Any:  # noqa: ANN401
            clients.append(KafkaNetClient(**configuration))
            return clients[-1]

        if reason := self._unreachable():
            raise OSError(reason)
        reasons, logger = _Reasons(), logging.getLogger("kafka.net.manager")
        logger.addHandler(reasons)
        try:
            return KafkaConsumer(
                kafka_client=make_client,
                group_id=self._group_id,
                client_id=self._group_id,
                enable_auto_commit=False,
                auto_offset_reset="earliest",  # never used, as every partition is told where to begin
                allow_auto_create_topics=False,
                metrics_enabled=False,
                reconnect_backoff_max_ms=int(RECONNECT_MAX_S * 1000),
                metadata_max_age_ms=int(DISCOVERY_INTERVAL_S * 1000),
                request_timeout_ms=self._timeout_ms,
                bootstrap_timeout_ms=self._timeout_ms,
                fetch_max_wait_ms=min(500, self._timeout_ms // 2),
                **security_of(self._options),
            )
        except (KafkaError, OSError, ValueError) as error:
            for client in clients:
                client.close()  # it would go on in its thread
            protocol = self._options.security_protocol
            raise ConnectionError(f"no session ({_described(reasons.first or error)}); check security_protocol {protocol}") from None
        finally:
            logger.removeHandler(reasons)

    def _unreachable(self) -> str:
        """Why none of the brokers accepts a connection; "" where one does."""
        reasons = []
        for server in self._options.bootstrap_servers:
            host, _, port = server.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=self._options.request_timeout_s).close()
            except OSError as error:
                reasons.append(f"{server}: {error.strerror or error}")
            else:
                return ""
        return "; ".join(reasons)

    def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                consumer.close(autocommit=False, timeout_ms=self._timeout_ms)
            except KafkaError as error:
                log.debug("closing: %s", error)


def _named(partition: TopicPartition) -> str:
    return f"{partition.topic}[{partition.partition}]"


def _described(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
