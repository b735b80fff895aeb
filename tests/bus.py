"""Buses for tests: the fixture `bus` is each kind of bus in turn, and helpers to read from one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.bus.bus import Bus, Record, Subscription, TopicPartition
from daemon.bus.memory import MemoryBus
from daemon.bus.spool import SpoolBus
from daemon.bus.spool_options import SpoolOptions
from daemon.bus.topics import Topic
from tests.kafka_broker import fast_options

TOPICS = {t.name: t for t in (Topic("frames", partitions=4, partitions_fixed=False), Topic("findings"), Topic("incidents", compacted=True))}
FRAMES = frozenset(TopicPartition("frames", number) for number in range(4))
FINDINGS = TopicPartition("findings", 0)
PATIENCE_S = 90.0

Subscribe = Callable[..., Subscription]


class DeliveringSpoolBus(SpoolBus):
    """An agent's bus whose `flush` waits for the broker and not only for the disk, as the contract's readers expect."""

    def flush(self, timeout_s: float) -> None:
        """Waits until all is delivered."""
        super().flush(timeout_s)
        assert self.wait_until_delivered(timeout_s)


KINDS = ["memory", "spool-memory", pytest.param("kafka", marks=pytest.mark.kafka), pytest.param("spool-kafka", marks=pytest.mark.kafka)]


@pytest.fixture(params=KINDS)
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bus]:
    """An empty bus of each kind, with the topics of TOPICS."""

    options = fast_options(request.getfixturevalue("kafka")) if request.param.endswith("kafka") else None

    def direct() -> Bus:
        if options is None:
            return MemoryBus(topics=TOPICS)
        from daemon.bus.kafka import KafkaBus  # noqa: PLC0415 - only where it is asked for

        return KafkaBus(options, TOPICS)

    spooled = request.param.startswith("spool")
    made = DeliveringSpoolBus(SpoolOptions(folder=tmp_path / "spool", linger_s=0.01), direct, TOPICS) if spooled else direct()
    yield made
    made.close()


@pytest.fixture
def subscribe(bus: Bus) -> Iterator[Subscribe]:
    """Subscriptions that are closed when the test ends."""
    made: list[Subscription] = []

    def subscribe_now(*topics: str, group: str | None, **callbacks: object) -> Subscription:
        made.append(bus.subscribe(topics, group, **callbacks))  # type: ignore[arg-type] # passed on as they are
        return made[-1]

    yield subscribe_now
    for subscription in made:
        subscription.close()


def until(condition: Callable[[], object], what: str) -> None:
    """Asks again until it is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"


def read_until(done: Callable[[list[Record]], object], *subscriptions: Subscription) -> list[Record]:
    """What the subscriptions yield, polled in turn, until `done` is content with it."""
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    while not done(records):
        assert time.monotonic() < deadline, f"waited in vain after {len(records)} records"
        for subscription in subscriptions:
            records += subscription.poll(0.05)
    return records


def read(subscription: Subscription, number: int) -> list[Record]:
    """The next records, exactly as many."""
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(records) < number:
        assert time.monotonic() < deadline, f"waited in vain after {len(records)} of {number} records"
        records += subscription.poll(0.5, number - len(records))
    return records


def join(*subscriptions: Subscription) -> list[Record]:
    """Polls members of a group in turn until the partitions of frames are shared out; what they read meanwhile."""

    def shared_out(_: list[Record]) -> bool:
        held = [set(subscription.positions()) for subscription in subscriptions]
        return all(held) and sum(map(len, held)) == len(FRAMES) and set().union(*held) == FRAMES

    return read_until(shared_out, *subscriptions)


def publish(bus: Bus, topic: str, *values: str, key: str = "k") -> None:
    """Publishes texts under one key."""
    for value in values:
        bus.publish(topic, key, value.encode())
    bus.flush(PATIENCE_S)


def publish_frames(bus: Bus, number: int) -> None:
    """Publishes as many numbered frames, each under a key of its own."""
    for each in range(number):
        bus.publish("frames", f"source{each}", b"%d" % each)
    bus.flush(PATIENCE_S)


def texts(records: list[Record]) -> list[str]:
    """Their values."""
    return [record.value.decode() for record in records]


def place(record: Record) -> TopicPartition:
    """The partition it came from."""
    return TopicPartition(record.topic, record.partition)


class Callbacks:
    """What on_assign and on_revoke were called with, and by which threads."""

    def __init__(self, offsets: dict[TopicPartition, int] | None = None) -> None:
        self.offsets = offsets or {}
        self.assigned: list[frozenset[TopicPartition]] = []
        self.revoked: list[frozenset[TopicPartition]] = []
        self.threads: set[int] = set()

    def on_assign(self, partitions: frozenset[TopicPartition]) -> dict[TopicPartition, int]:
        """Remembers, and returns the offsets that it was made with."""
        self.assigned.append(partitions)
        self.threads.add(threading.get_ident())
        return self.offsets

    def on_revoke(self, partitions: frozenset[TopicPartition]) -> None:
        """Remembers."""
        self.revoked.append(partitions)
        self.threads.add(threading.get_ident())
