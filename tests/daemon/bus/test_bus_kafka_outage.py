"""What the Kafka bus does while its broker is away."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from daemon.bus.bus import BusError, Record
from daemon.bus.kafka_options import KafkaOptions
from deploy.kafka.broker import KafkaBroker
from tests.bus import PATIENCE_S, TOPICS, publish, read, read_until, until
from tests.kafka_broker import fast_options

pytestmark = pytest.mark.kafka


def make_bus(options: KafkaOptions) -> Any:
    from daemon.bus.kafka import KafkaBus  # noqa: PLC0415 - only where there is a broker

    return KafkaBus(options, TOPICS)


@pytest.fixture(autouse=True)
def _collect() -> Iterator[None]:
    """Sockets that kafka-python dropped are collected within the test that made them (see tests/kafka_broker.py)."""
    yield
    gc.collect()


def test_a_crash_in_mid_stream_loses_nothing_and_keeps_order(kafka: KafkaBroker) -> None:
    bus = make_bus(fast_options(kafka))
    group, broadcast = bus.subscribe(["frames"], "detect"), bus.subscribe(["frames"], None)
    stop = threading.Event()
    numbers = count()

    def run() -> None:
        while not stop.wait(0.002):
            number = next(numbers)
            bus.publish("frames", f"source{number % 5}", b"%d" % number)

    publisher = threading.Thread(target=run)
    publisher.start()
    by_group: list[Record] = []
    by_broadcast: list[Record] = []

    def read() -> int:
        by_group.extend(group.poll(0.05))
        by_broadcast.extend(broadcast.poll(0.05))
        return min(len(by_group), len(by_broadcast))

    until(lambda: read() > 100, "records before the crash")
    kafka.restart(crash=True)
    after = len(by_broadcast) + 100
    until(lambda: read() < 0 or len(by_broadcast) > after, "records after the crash")
    stop.set()
    publisher.join()
    bus.flush(PATIENCE_S)
    total = next(numbers)
    until(lambda: read() < 0 or len(by_broadcast) >= total, "the broadcast reader at the end")
    until(lambda: read() < 0 or len({r.value for r in by_group}) >= total, "the group at the end")
    assert sorted(int(record.value) for record in by_broadcast) == list(range(total))
    # The group was thrown out meanwhile and had committed nothing: it read some records twice, which the offsets tell.
    once = list({(record.partition, record.offset): record for record in by_group}.values())
    for records in (by_broadcast, once):
        for key in range(5):
            assert [int(r.value) for r in records if r.key == f"source{key}"] == list(range(key, total, 5))
    group.commit(group.positions())
    group.close()
    broadcast.close()
    bus.close()


def test_without_a_broker_publishers_wait_or_are_told_and_then_it_goes_on(kafka: KafkaBroker) -> None:
    impatient = fast_options(kafka, delivery_timeout_s=1.0, request_timeout_s=0.5)
    bus, closing, patient = make_bus(impatient), make_bus(impatient), make_bus(fast_options(kafka, buffer_bytes=1_000_000))
    subscription = bus.subscribe(["findings"], "g")
    for one in (bus, closing, patient):
        publish(one, "findings", "before")
    read(subscription, 2)
    kafka.stop()
    try:
        closing.publish("findings", "k", b"last words")
        for _ in range(2):
            patient.publish("findings", "k", b"x" * 450_000)
        third = threading.Thread(target=patient.publish, args=("findings", "k", b"x" * 450_000))
        third.start()
        publish_without_broker(bus, kafka)
        assert subscription.poll(0.1) == []
        with pytest.raises(BusError, match=rf"closing the connection to Kafka at {kafka.bootstrap}: .*findings"):
            closing.close()
        assert third.is_alive()  # the buffer is full
    finally:
        kafka.start()
    third.join(PATIENCE_S)
    assert not third.is_alive()
    patient.flush(PATIENCE_S)
    patient.close()
    until(lambda: goes_out(bus), "delivery after the outage")
    read_until(lambda records: records and records[-1].value == b"after", subscription)
    subscription.close()
    bus.close()


def goes_out(bus: Any) -> bool:
    """Whether a record is delivered: not at once, as the next attempt to connect may come later than a second."""
    try:
        publish(bus, "findings", "after")
    except BusError:
        return False
    return True


def publish_without_broker(bus: Any, kafka: KafkaBroker) -> None:
    """What this thread and another one are told of a record of each."""
    told: list[BusError] = []

    def publish_elsewhere() -> None:
        bus.publish("findings", "k", b"theirs")
        try:
            bus.flush(PATIENCE_S)
        except BusError as error:
            told.append(error)

    bus.publish("findings", "k", b"ours")
    with pytest.raises(BusError, match=rf"1 records not acknowledged by Kafka at {kafka.bootstrap} within 0.05 s"):
        bus.flush(0.05)
    with pytest.raises(BusError, match=rf"given up by Kafka at {kafka.bootstrap}: .*findings"):
        bus.flush(PATIENCE_S)
    bus.flush(PATIENCE_S)  # told once
    other = threading.Thread(target=publish_elsewhere)
    other.start()
    other.join()
    assert "given up" in str(told[0])
    with pytest.raises(BusError, match="given up"):
        bus.flush(PATIENCE_S)  # what one thread was told, the other is told too


def test_a_buffer_that_stays_full_is_an_error(kafka: KafkaBroker) -> None:
    bus = make_bus(fast_options(kafka, buffer_bytes=1_000_000, delivery_timeout_s=0.6, request_timeout_s=0.5))
    unacknowledged = bus._outbox._reserve("findings", 900_000)  # a record that no broker ever acknowledges
    with pytest.raises(BusError, match=rf"findings: 900000 bytes wait for Kafka at {kafka.bootstrap}, no room within 0.6 s"):
        bus.publish("findings", "k", b"x" * 200_000)
    bus._outbox._settle(unacknowledged, "")
    bus.publish("findings", "k", b"x" * 200_000)
    bus.close()
