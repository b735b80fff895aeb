"""The message bus over Apache Kafka, for any number of processes. See `bus.Bus` for the contract.

What a stage published is on all in-sync replicas when `flush` returns, and a repeated request adds nothing twice
(idempotent producer). While brokers restart, records wait in a bounded buffer and readers see no records; both go on by
themselves. What could not be delivered within `delivery_timeout_s` is reported by `flush`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.bus.bus import BusError, OnAssign, OnRevoke, TooLarge
from daemon.bus.kafka_connection import wait_for_broker
from daemon.bus.kafka_group import GroupSubscription
from daemon.bus.kafka_options import KafkaOptions
from daemon.bus.kafka_producer import Outbox
from daemon.bus.kafka_subscription import BroadcastSubscription
from daemon.bus.kafka_topics import ensure_topics
from daemon.bus.topics import Topic, check_subscription, check_value, standard_topics, topic_named

__all__ = ["KafkaBus", "KafkaOptions"]


class KafkaBus:
    """The bus of a Kafka cluster. Making it creates the topics that are missing, and raises BusError where it cannot."""

    def __init__(self, options: KafkaOptions | None = None, topics: Mapping[str, Topic] | None = None) -> None:
        self._options = options or KafkaOptions()
        self._topics = topics or standard_topics(self._options.frames_partitions)
        self._closed = False
        wait_for_broker(self._options)
        ensure_topics(self._options, self._topics)
        self._outbox = Outbox(self._options)
        self._names = {name: self._options.topic(name) for name in self._topics}

    def publish(self, topic: str, key: str, value: bytes | None) -> None:
        """Hands over one record; see `bus.Bus`. Waits while `buffer_bytes` are not acknowledged."""
        check_value(topic_named(self._topics, topic), key, value)
        key_bytes = key.encode()
        size = len(key_bytes) + len(value or b"")
        if size > self._options.max_record_bytes:
            raise TooLarge(f"{topic}: a record of {size} bytes with key {key[:80]!r}, more than {self._options.max_record_bytes}")
        self._outbox.send(self._names[topic], key_bytes, value)

    def flush(self, timeout_s: float) -> None:
        """Returns when all that was published so far is on the brokers; see `bus.Bus`."""
        self._outbox.flush(timeout_s)

    def subscribe(
        self, topics: Sequence[str], group: str | None, *, on_assign: OnAssign | None = None, on_revoke: OnRevoke | None = None
    ) -> GroupSubscription | BroadcastSubscription:
        """Reads topics; see `bus.Bus`."""
        check_subscription(self._topics, topics, group, on_assign, on_revoke)
        if self._closed:
            raise BusError(f"the bus to Kafka at {self._options.servers} is closed")
        chosen = {name: self._topics[name] for name in topics}
        if group is None:
            return BroadcastSubscription(self._options, chosen)
        return GroupSubscription(self._options, chosen, group, on_assign, on_revoke)

    def close(self) -> None:
        """Delivers what is buffered and ends; subscriptions are closed by those who poll them."""
        if not self._closed:
            self._closed = True
            self._outbox.close()

    def abandon(self) -> None:
        """Ends at once, without delivering what is buffered: for one who keeps it and sends it again."""
        self._closed = True
        self._outbox.abandon()
