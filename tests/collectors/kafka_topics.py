"""Topics of a real broker for the tests of kafka_topic: made, written to, deleted, and looked at."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from collectors.collector import Collected, Origin, Rejected
from collectors.frame import Frame, Updates
from collectors.kafka_topic import KafkaTopicCollector, KafkaTopicOptions
from deploy.kafka.broker import KafkaBroker

NOW_NS = 1_800_000_000_000_000_000
ORIGIN = Origin("links", "WLCG", lambda: NOW_NS)
TIMEOUT_MS = 20_000


def new_topic(broker: KafkaBroker, *, name: str = "", partitions: int = 1) -> str:
    """Makes an empty topic and returns its name."""
    topic = name or f"third-party-{uuid.uuid4().hex[:12]}"
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        admin.close()
    return topic


def add_partitions(broker: KafkaBroker, topic: str, partitions: int) -> None:
    """Gives a topic as many partitions as this in all."""
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        admin.create_partitions({topic: partitions})
    finally:
        admin.close()


def delete_topic(broker: KafkaBroker, topic: str) -> None:
    """Deletes a topic with all that is in it."""
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        admin.delete_topics([topic])
    finally:
        admin.close()


def delete_before(broker: KafkaBroker, topic: str, offset: int) -> None:
    """Deletes the messages of partition 0 before an offset, as retention does."""
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        admin.delete_records({TopicPartition(topic, 0): offset})
    finally:
        admin.close()


def publish(broker: KafkaBroker, topic: str, values: Iterable[bytes | None], **message: Any) -> None:
    """Publishes messages in their order to partition 0, or to what `message` says (key, timestamp_ms, partition)."""
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=0)
    try:
        for value in values:
            producer.send(topic, value, **{"partition": 0, **message})
        producer.flush(TIMEOUT_MS / 1000)
    finally:
        producer.close()


def stored_offset(broker: KafkaBroker, group: str, topic: str) -> int | None:
    """What a group has stored of partition 0."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=group, enable_auto_commit=False)
    try:
        found: int | None = consumer.committed(TopicPartition(topic, 0), timeout_ms=TIMEOUT_MS)
    finally:
        consumer.close(autocommit=False)
    return found


class Topic:
    """A topic of its own and collectors that read it."""

    def __init__(self, broker: KafkaBroker, partitions: int = 1) -> None:
        self.broker = broker
        self.name = new_topic(broker, partitions=partitions)
        self.built: list[KafkaTopicCollector] = []

    def build(self, **options: Any) -> KafkaTopicCollector:
        settings = {
            "bootstrap_servers": self.broker.bootstrap,
            "topics": [self.name],
            "group_id": f"group-of-{self.name}",
            "start": "earliest",
            "request_timeout_s": 5,
            **({} if {"values", "tables", "flatten"} & options.keys() or options.get("format") == "arrow" else {"values": {"n": "n"}}),
            **options,
        }
        self.built.append(KafkaTopicCollector(ORIGIN, KafkaTopicOptions.model_validate(settings)))
        return self.built[-1]

    def publish(self, *documents: Any, **message: Any) -> None:
        values = [each if isinstance(each, bytes | None) else json.dumps(each).encode() for each in documents]
        publish(self.broker, self.name, values, **message)

    def numbers(self, *numbers: int) -> None:
        self.publish(*({"n": number} for number in numbers))

    def stored(self) -> int | None:
        return stored_offset(self.broker, f"group-of-{self.name}", self.name)


def turn(collector: KafkaTopicCollector) -> tuple[list[Frame | Updates], list[Rejected]]:
    collected: list[Collected] = list(collector.collect())
    return [item for item in collected if not isinstance(item, Rejected)], [item for item in collected if isinstance(item, Rejected)]


def numbers(collector: KafkaTopicCollector) -> list[float]:
    """What one turn reads of a channel, in order."""
    blocks, rejected = turn(collector)
    assert rejected == []
    return [value for block in blocks if isinstance(block, Updates) for value in block.value.tolist()]
