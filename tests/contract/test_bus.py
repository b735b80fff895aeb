"""The contract of the message bus (daemon/bus/bus.py), against memory and against a real Kafka broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from daemon.bus.bus import Bus, BusError, NotAssigned, Record, Subscription, TooLarge, TopicPartition, read_existing
from daemon.bus.memory import MemoryBus
from daemon.bus.topics import Topic

TOPICS = {t.name: t for t in (Topic("frames", partitions=4, partitions_fixed=False), Topic("findings"), Topic("incidents", compacted=True))}
FRAMES = frozenset(TopicPartition("frames", number) for number in range(4))
FINDINGS = TopicPartition("findings", 0)
PATIENCE_S = 20.0


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    """An empty bus of each kind."""
    if request.param == "memory":
        made: Bus = MemoryBus(topics=TOPICS)
    else:
        from daemon.bus.kafka import KafkaBus  # noqa: PLC0415 - only where it is asked for
        from tests.kafka_broker import fast_options  # noqa: PLC0415

        made = KafkaBus(fast_options(request.getfixturevalue("kafka")), TOPICS)
    yield made
    made.close()


@pytest.fixture
def subscribe(bus: Bus) -> Iterator[Callable[..., Subscription]]:
    """Subscriptions that are closed when the test ends."""
    made: list[Subscription] = []

    def subscribe_now(*topics: str, group: str | None, **callbacks: object) -> Subscription:
        made.append(bus.subscribe(topics, group, **callbacks))  # type: ignore[arg-type] # passed on as they are
        return made[-1]

    yield subscribe_now
    for subscription in made:
        subscription.close()


def publish(bus: Bus, topic: str, *values: str, key: str = "k") -> None:
    for value in values:
        bus.publish(topic, key, value.encode())
    bus.flush(PATIENCE_S)


def until(condition: Callable[[], object], what: str) -> None:
    """Calls until it is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"


def read(subscription: Subscription, number: int) -> list[Record]:
    """The next records, exactly as many."""
    records: list[Record] = []
    until(lambda: records.extend(subscription.poll(0.5, number - len(records))) or len(records) >= number, f"{number} records")
    return records


def texts(records: list[Record]) -> list[str]:
    return [record.value.decode() for record in records]


def folded(records: list[Record]) -> dict[str, str]:
    """State that a compacted topic stands for."""
    state: dict[str, str] = {}
    for record in records:
        if record.is_tombstone:
            state.pop(record.key, None)
        else:
            state[record.key] = record.value.decode()
    return state


def settle(*subscriptions: Subscription) -> list[Record]:
    """Polls in turn until every partition of frames belongs to one of them and each has some."""
    records: list[Record] = []

    def shared() -> bool:
        for subscription in subscriptions:
            records.extend(subscription.poll(0.05))
        held = [set(subscription.positions()) for subscription in subscriptions]
        return all(held) and sum(map(len, held)) == len(FRAMES) and set().union(*held) == FRAMES

    until(shared, "partitions shared out")
    return records


class Callbacks:
    """What on_assign and on_revoke were called with, and by which thread."""

    def __init__(self, offsets: dict[TopicPartition, int] | None = None) -> None:
        self.offsets = offsets or {}
        self.calls: list[tuple[str, frozenset[TopicPartition]]] = []
        self.threads: set[int] = set()

    def on_assign(self, partitions: frozenset[TopicPartition]) -> dict[TopicPartition, int]:
        self.calls.append(("assign", partitions))
        self.threads.add(threading.get_ident())
        return self.offsets

    def on_revoke(self, partitions: frozenset[TopicPartition]) -> None:
        self.calls.append(("revoke", partitions))
        self.threads.add(threading.get_ident())


Subscribe = Callable[..., Subscription]


class TestPublishAndRead:
    def test_order_holds_within_a_key_and_each_key_has_one_partition(self, bus: Bus, subscribe: Subscribe) -> None:
        keys = [f"CMS/ECAL/EB{number:+d}" for number in range(-3, 4)]
        for number in range(300):
            bus.publish("frames", keys[number % len(keys)], b"%d" % number)
        bus.flush(PATIENCE_S)
        records = read(subscribe("frames", group="detect"), 300)
        for place, key in enumerate(keys):
            of_key = [record for record in records if record.key == key]
            assert [int(record.value) for record in of_key] == list(range(place, 300, len(keys)))
            assert len({record.partition for record in of_key}) == 1
        assert len({record.partition for record in records}) > 1

    def test_order_holds_for_every_thread_that_publishes(self, bus: Bus, subscribe: Subscribe) -> None:
        def run(key: str) -> None:
            for number in range(100):
                bus.publish("frames", key, b"%d" % number)
            bus.flush(PATIENCE_S)

        threads = [threading.Thread(target=run, args=(f"source{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        records = read(subscribe("frames", group="detect"), 400)
        for number in range(4):
            assert [int(r.value) for r in records if r.key == f"source{number}"] == list(range(100))

    def test_topic_key_and_value_come_out_as_they_went_in(self, bus: Bus, subscribe: Subscribe) -> None:
        key, value = "LHCb/VELO/Halbschale-β/µ-Modul 7 😀", bytes(range(256)) * 100
        bus.publish("findings", key, value)
        bus.flush(PATIENCE_S)
        assert read(subscribe("findings", group="g"), 1) == [Record("findings", key, value, 0, 0)]

    def test_one_subscription_reads_several_topics(self, bus: Bus, subscribe: Subscribe) -> None:
        publish(bus, "findings", "a")
        publish(bus, "incidents", "b")
        records = read(subscribe("findings", "incidents", group="g"), 2)
        assert {(record.topic, record.value) for record in records} == {("findings", b"a"), ("incidents", b"b")}

    def test_a_poll_returns_no_more_than_asked_for_and_the_rest_later(self, bus: Bus, subscribe: Subscribe) -> None:
        publish(bus, "findings", *map(str, range(10)))
        subscription = subscribe("findings", group="g")
        assert texts(read(subscription, 1)) == ["0"]
        assert texts(subscription.poll(5.0, 3)) == ["1", "2", "3"]
        assert subscription.positions() == {FINDINGS: 4}

    def test_an_empty_poll_returns_after_its_time_out(self, bus: Bus, subscribe: Subscribe) -> None:
        publish(bus, "findings", "a")
        subscription = subscribe("findings", group="g")
        read(subscription, 1)
        start = time.monotonic()
        assert subscription.poll(0.3) == []
        assert time.monotonic() - start >= 0.29

    def test_a_waiting_poll_is_woken_by_a_record(self, bus: Bus, subscribe: Subscribe) -> None:
        subscription = subscribe("findings", group="g")
        until(lambda: subscription.poll(0.05) or subscription.positions(), "assignment")
        timer = threading.Timer(0.3, publish, (bus, "findings", "now"))
        timer.start()
        assert texts(subscription.poll(PATIENCE_S)) == ["now"]
        timer.join()

    def test_a_record_that_is_too_large_is_refused_at_once(self, bus: Bus, subscribe: Subscribe) -> None:
        with pytest.raises(TooLarge, match="findings"):
            bus.publish("findings", "k", b"x" * 1_000_001)
        bus.publish("findings", "k", b"y" * 999_999)
        bus.flush(PATIENCE_S)
        assert [len(r.value) for r in read(subscribe("findings", group="g"), 1)] == [999_999]

    def test_what_makes_no_sense_is_refused(self, bus: Bus) -> None:
        with pytest.raises(ValueError, match="no topic 'frame'"):
            bus.publish("frame", "k", b"x")
        with pytest.raises(ValueError, match="no topic 'finding'"):
            bus.subscribe(["finding"], "g")
        with pytest.raises(ValueError, match="sequence of names"):
            bus.subscribe("findings", "g")
        with pytest.raises(ValueError, match="empty value"):
            bus.publish("incidents", "k", b"")
        with pytest.raises(ValueError, match="not compacted"):
            bus.publish("findings", "k", None)
        with pytest.raises(ValueError, match="no callbacks"):
            bus.subscribe(["findings"], None, on_revoke=lambda _: None)

    def test_after_close_there_is_a_clear_error(self, bus: Bus) -> None:
        subscription = bus.subscribe(["findings"], "g")
        subscription.close()
        subscription.close()
        with pytest.raises(BusError, match="closed"):
            subscription.poll(0.1)
        bus.close()
        bus.close()
        with pytest.raises(BusError, match="closed"):
            bus.publish("findings", "k", b"x")
        with pytest.raises(BusError, match="closed"):
            bus.flush(1.0)


class TestGroups:
    def test_what_was_not_committed_is_read_again(self, bus: Bus, subscribe: Subscribe) -> None:
        publish(bus, "findings", *map(str, range(10)))
        first = subscribe("findings", group="correlate")
        assert len(read(first, 10)) == 10
        first.commit({FINDINGS: 4})
        first.close()
        assert texts(read(subscribe("findings", group="correlate"), 6)) == ["4", "5", "6", "7", "8", "9"]

    def test_positions_ends_and_lag(self, bus: Bus, subscribe: Subscribe) -> None:
        publish(bus, "findings", *"abcde")
        subscription = subscribe("findings", group="g")
        assert subscription.positions() == {}
        read(subscription, 2)
        assert subscription.positions() == {FINDINGS: 2}
        assert subscription.end_offsets() == {FINDINGS: 5}
        assert subscription.lag() == {FINDINGS: 3}
        publish(bus, "findings", "f")
        assert subscription.lag() == {FINDINGS: 4}

    def test_groups_are_independent(self, bus: Bus, subscribe: Subscribe) -> None:
        publish(bus, "findings", *"abc")
        correlate, history = subscribe("findings", group="correlate"), subscribe("findings", group="history")
        assert texts(read(correlate, 3)) == ["a", "b", "c"]
        correlate.commit({FINDINGS: 3})
        assert texts(read(history, 3)) == ["a", "b", "c"]
        assert correlate.poll(0.1) == []

    def test_members_share_partitions_and_each_record_is_read_once(self, bus: Bus, subscribe: Subscribe) -> None:
        first, second = subscribe("frames", group="detect"), subscribe("frames", group="detect")
        assert settle(first, second) == []
        assert {len(first.positions()), len(second.positions())} == {2}
        for number in range(100):
            bus.publish("frames", f"source{number}", b"%d" % number)
        bus.flush(PATIENCE_S)
        records: list[Record] = []
        until(lambda: records.extend(first.poll(0.05) + second.poll(0.05)) or len(records) >= 100, "100 records")
        assert sorted(int(record.value) for record in records) == list(range(100))

    def test_what_a_leaving_member_did_not_commit_goes_to_the_others(self, bus: Bus, subscribe: Subscribe) -> None:
        first, second = subscribe("frames", group="detect"), subscribe("frames", group="detect")
        settle(first, second)
        for number in range(40):
            bus.publish("frames", f"source{number}", b"%d" % number)
        bus.flush(PATIENCE_S)
        seen: list[Record] = []
        until(lambda: seen.extend(second.poll(0.1)) or not any(second.lag().values()), "second has read")
        done = seen[: len(seen) // 2]
        committed: dict[TopicPartition, int] = {}
        for record in done:
            committed[TopicPartition(record.topic, record.partition)] = record.offset + 1
        second.commit(committed)
        second.close()
        rest: list[Record] = []
        until(lambda: rest.extend(first.poll(0.1)) or len({r.value for r in rest + done}) == 40, "all 40 records")
        assert not {r.value for r in rest} & {r.value for r in done}

    def test_of_one_partition_the_oldest_member_is_active_and_the_next_takes_over(self, bus: Bus, subscribe: Subscribe) -> None:
        active = subscribe("findings", group="correlate")
        until(lambda: active.poll(0.05) or active.positions(), "assignment")
        standby = subscribe("findings", group="correlate")
        for _ in range(20):
            assert standby.poll(0.05) == []
            assert active.poll(0.05) == []
        until(lambda: active.poll(0.05) or active.positions(), "the same one active")
        assert standby.positions() == {}
        publish(bus, "findings", "a", "b")
        assert texts(read(active, 2)) == ["a", "b"]
        active.commit({FINDINGS: 1})
        active.close()
        assert texts(read(standby, 1)) == ["b"]

    def test_a_commit_needs_the_partition(self, bus: Bus, subscribe: Subscribe) -> None:
        publish(bus, "findings", "a")
        subscription = subscribe("findings", group="g")
        with pytest.raises(NotAssigned, match="findings"):
            subscription.commit({FINDINGS: 1})
        read(subscription, 1)
        with pytest.raises(NotAssigned, match="frames"):
            subscription.commit({FINDINGS: 1, TopicPartition("frames", 2): 1})
        subscription.commit({FINDINGS: 1})


class TestCallbacks:
    def test_on_assign_chooses_where_to_start(self, bus: Bus, subscribe: Subscribe) -> None:
        publish(bus, "findings", *"abcde")
        first = subscribe("findings", group="g")
        read(first, 2)
        first.commit({FINDINGS: 2})
        first.close()
        saved = Callbacks({FINDINGS: 3})  # state was saved here, and the commit did not happen
        second = subscribe("findings", group="g", on_assign=saved.on_assign)
        assert texts(read(second, 2)) == ["d", "e"]
        assert saved.calls == [("assign", frozenset({FINDINGS}))]
        assert saved.threads == {threading.get_ident()}

    def test_on_revoke_may_commit_when_the_subscription_closes(self, bus: Bus, subscribe: Subscribe) -> None:
        publish(bus, "findings", *"abc")
        revoked: list[frozenset[TopicPartition]] = []

        def on_revoke(partitions: frozenset[TopicPartition]) -> None:
            revoked.append(partitions)
            first.commit(first.positions())

        first = subscribe("findings", group="g", on_revoke=on_revoke)
        read(first, 2)
        first.close()
        assert revoked == [frozenset({FINDINGS})]
        assert texts(read(subscribe("findings", group="g"), 1)) == ["c"]

    def test_on_revoke_may_commit_when_a_member_joins(self, bus: Bus, subscribe: Subscribe) -> None:
        for number in range(40):
            bus.publish("frames", f"source{number}", b"%d" % number)
        bus.flush(PATIENCE_S)
        threads: set[int] = set()

        def on_revoke(partitions: frozenset[TopicPartition]) -> None:
            threads.add(threading.get_ident())
            assert partitions <= first.positions().keys()
            first.commit({partition: first.positions()[partition] for partition in partitions})

        first = subscribe("frames", group="detect", on_revoke=on_revoke)
        assert len(read(first, 40)) == 40
        second = subscribe("frames", group="detect")
        assert settle(first, second) == []  # nothing is read twice, as everything was committed on the way
        assert threads == {threading.get_ident()}

    def test_partitions_start_at_the_commit_after_a_rebalance(self, bus: Bus, subscribe: Subscribe) -> None:
        """Also those that come back to the member that had them: otherwise a stage that dropped its state loses records."""
        for number in range(40):
            bus.publish("frames", f"source{number}", b"%d" % number)
        bus.flush(PATIENCE_S)
        calls = Callbacks()
        first = subscribe("frames", group="detect", on_assign=calls.on_assign, on_revoke=calls.on_revoke)
        seen = read(first, 40)
        second = subscribe("frames", group="detect")
        again = settle(first, second)
        until(lambda: again.extend(first.poll(0.05) + second.poll(0.05)) or not any([*first.lag().values(), *second.lag().values()]), "end")
        revoked = frozenset().union(*(partitions for kind, partitions in calls.calls if kind == "revoke"))
        assert revoked
        assert sorted(r.value for r in again) == sorted(r.value for r in seen if TopicPartition(r.topic, r.partition) in revoked)

    def test_an_exception_of_a_callback_reaches_who_polls(self, subscribe: Subscribe) -> None:
        def on_assign(partitions: frozenset[TopicPartition]) -> dict[TopicPartition, int]:
            raise KeyError("no snapshot")

        subscription = subscribe("findings", group="g", on_assign=on_assign)
        with pytest.raises(KeyError, match="no snapshot"):
            until(lambda: subscription.poll(0.1), "assignment")


class TestBroadcast:
    def test_every_reader_sees_everything_from_the_beginning(self, bus: Bus, subscribe: Subscribe) -> None:
        names = count()
        for _ in range(20):
            bus.publish("frames", f"source{next(names)}", b"old")
        bus.flush(PATIENCE_S)
        early, late = subscribe("frames", group=None), subscribe("frames", group=None)
        assert set(early.positions()) == FRAMES
        assert sum(late.lag().values()) == 20
        for reader in (early, late):
            assert {record.key for record in read(reader, 20)} == {f"source{number}" for number in range(20)}
            assert not any(reader.lag().values())
        publish(bus, "frames", "new", key="another")
        assert texts(read(early, 1)) == texts(read(late, 1)) == ["new"]

    def test_a_late_reader_learns_the_state_of_a_compacted_topic(self, bus: Bus, subscribe: Subscribe) -> None:
        group = subscribe("incidents", group="notify")
        for revision in range(5):
            for key in ("i1", "i2"):
                bus.publish("incidents", key, f"{key} r{revision}".encode())
        bus.flush(PATIENCE_S)
        read(group, 10)
        group.commit({TopicPartition("incidents", 0): 10})
        assert folded(read_existing(subscribe("incidents", group=None), PATIENCE_S)) == {"i1": "i1 r4", "i2": "i2 r4"}

    def test_a_tombstone_takes_a_key_away(self, bus: Bus, subscribe: Subscribe) -> None:
        live = subscribe("incidents", group=None)
        publish(bus, "incidents", "one", key="i1")
        publish(bus, "incidents", "two", key="i2")
        bus.publish("incidents", "i1", None)
        bus.flush(PATIENCE_S)
        records = read(live, 3)
        assert [(r.key, r.is_tombstone) for r in records] == [("i1", False), ("i2", False), ("i1", True)]
        assert folded(read_existing(subscribe("incidents", group=None), PATIENCE_S)) == {"i2": "two"}

    def test_it_takes_nothing_from_groups_and_has_nothing_to_commit(self, bus: Bus, subscribe: Subscribe) -> None:
        publish(bus, "findings", "a", "b")
        broadcast, group = subscribe("findings", group=None), subscribe("findings", group="g")
        assert texts(read(broadcast, 2)) == texts(read(group, 2)) == ["a", "b"]
        with pytest.raises(ValueError, match="no group"):
            broadcast.commit({FINDINGS: 2})
