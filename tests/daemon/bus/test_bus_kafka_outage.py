"""What the Kafka bus does while its broker is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from daemon.bus.bus import BusError, Record, TopicPartition
from daemon.bus.kafka_options import KafkaOptions
from daemon.bus.topics import Topic
from deploy.kafka.broker import KafkaBroker
from tests.kafka_broker import fast_options

pytestmark = pytest.mark.kafka

TOPICS = {topic.name: topic for topic in (Topic("findings"), Topic("frames", partitions=2, partitions_fixed=False))}
PATIENCE_S = 40.0


def make_bus(options: KafkaOptions) -> Any:
    from daemon.bus.kafka import KafkaBus  # noqa: PLC0415 - only where there is a broker

    return KafkaBus(options, TOPICS)


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"


def test_a_crash_in_mid_stream_loses_nothing_and_keeps_order(kafka: KafkaBroker) -> None:
    bus = make_bus(fast_options(kafka))
    group, broadcast = bus.subscribe(["frames"], "detect"), bus.subscribe(["frames"], None)
    stop = threading.Event()
    published = count()

    def run() -> None:
        while not stop.wait(0.002):
            number = next(published)
            bus.publish("frames", f"source{number % 5}", b"%d" % number)

    publisher = threading.Thread(target=run)
    publisher.start()
    seen: dict[str, list[Record]] = {"group": [], "broadcast": []}

    def read() -> int:
        seen["group"] += group.poll(0.05)
        seen["broadcast"] += broadcast.poll(0.05)
        return min(map(len, seen.values()))

    until(lambda: read() > 100, "records before the crash")
    kafka.restart(crash=True)
    before = next(published)  # leaves a number out
    until(lambda: max((int(r.value) for r in seen["group"]), default=0) > before + 100 or read() < 0, "records after the crash")
    stop.set()
    publisher.join()
    bus.flush(PATIENCE_S)
    total = next(published)
    expected = [number for number in range(total) if number != before]
    until(lambda: read() >= len(expected), "all records")
    for records in seen.values():
        assert sorted(int(r.value) for r in records) == expected
        for key in range(5):
            numbers = [int(r.value) for r in records if r.key == f"source{key}"]
            assert numbers == sorted(numbers)
    group.commit(group.positions())
    group.close()
    broadcast.close()
    bus.close()


def test_what_cannot_be_delivered_in_time_is_told_to_every_thread_and_then_it_goes_on(kafka: KafkaBroker) -> None:
    bus = make_bus(fast_options(kafka, delivery_timeout_s=1.0, request_timeout_s=0.5, buffer_bytes=1_000_000))
    subscription = bus.subscribe(["findings"], "g")
    bus.publish("findings", "k", b"before")
    bus.flush(PATIENCE_S)
    until(lambda: subscription.poll(0.2), "a record")
    kafka.stop()
    try:
        bus.publish("findings", "k", b"x" * 600_000)
        with pytest.raises(BusError, match=rf"1 records not acknowledged by Kafka at {kafka.bootstrap} within 0.1 s"):
            bus.flush(0.1)
        assert subscription.poll(0.1) == []
        with pytest.raises(BusError, match=rf"given up by Kafka at {kafka.bootstrap}: .*findings"):
            bus.flush(PATIENCE_S)
        bus.flush(PATIENCE_S)  # told once
        told: list[BusError] = []

        def flush_elsewhere() -> None:
            bus.publish("findings", "k", b"y" * 600_000)
            with pytest.raises(BusError) as raised:
                bus.flush(PATIENCE_S)
            told.append(raised.value)

        other = threading.Thread(target=flush_elsewhere)
        other.start()
        other.join()
        assert told
        with pytest.raises(BusError, match="given up"):
            bus.flush(PATIENCE_S)  # the failure is not the other thread's alone
    finally:
        kafka.start()
    bus.publish("findings", "k", b"after")
    bus.flush(PATIENCE_S)
    records: list[Record] = []
    until(lambda: records.extend(subscription.poll(0.2)) or records, "a record after the outage")
    assert records[-1].value == b"after"
    subscription.commit({TopicPartition("findings", 0): records[-1].offset + 1})
    subscription.close()
    bus.close()


def test_a_full_buffer_makes_the_publisher_wait_and_then_says_so(kafka: KafkaBroker) -> None:
    bus = make_bus(fast_options(kafka, delivery_timeout_s=2.0, request_timeout_s=0.5, buffer_bytes=1_000_000))
    bus.publish("findings", "k", b"before")
    bus.flush(PATIENCE_S)
    kafka.stop()
    try:
        for _ in range(2):
            bus.publish("findings", "k", b"x" * 450_000)
        waited: list[float] = []

        def publish_more() -> None:
            start = time.monotonic()
            bus.publish("findings", "k", b"x" * 450_000)  # finds room when the first ones are given up
            waited.append(time.monotonic() - start)

        thread = threading.Thread(target=publish_more)
        thread.start()
        thread.join()
        assert waited
        assert waited[0] > 0.5
        with pytest.raises(BusError, match="closing the connection to Kafka"):
            bus.close()
    finally:
        kafka.start()
