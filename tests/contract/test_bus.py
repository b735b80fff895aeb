"""The contract of the message bus (daemon/bus/bus.py), against memory and a real Kafka broker: publishing and reading."""

from __future__ import annotations

import threading
import time

import pytest

from daemon.bus.bus import Bus, BusError, Record, TooLarge, TopicPartition, read_existing
from tests.bus import FINDINGS, FRAMES, PATIENCE_S, Subscribe, publish, publish_frames, read, texts, until


def folded(records: list[Record]) -> dict[str, str]:
    """The state that a compacted topic stands for."""
    state: dict[str, str] = {}
    for record in records:
        if record.is_tombstone:
            state.pop(record.key, None)
        else:
            state[record.key] = record.value.decode()
    return state


class TestPublishAndRead:
    def test_order_holds_within_a_key_and_each_key_has_one_partition(self, bus: Bus, subscribe: Subscribe) -> None:
        keys = [f"CMS/ECAL/EB{number:+d}" for number in range(-3, 4)]
        for number in range(300):
            bus.publish("frames", keys[number % len(keys)], b"%d" % number)
        bus.flush(PATIENCE_S)
        records = read(subscribe("frames", group="detect"), 300)
        for first, key in enumerate(keys):
            of_key = [record for record in records if record.key == key]
            assert [int(record.value) for record in of_key] == list(range(first, 300, len(keys)))
            assert len({record.partition for record in of_key}) == 1
        assert len({record.partition for record in records}) > 1

    def test_order_holds_for_every_thread_that_publishes(self, bus: Bus, subscribe: Subscribe) -> None:
        def run(key: str) -> None:
            publish(bus, "frames", *map(str, range(100)), key=key)

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
            bus.publish("findings", "k", b"x" * 1_000_000)
        bus.publish("findings", "k", b"y" * 999_999)
        bus.flush(PATIENCE_S)
        assert [len(r.value) for r in read(subscribe("findings", group="g"), 1)] == [999_999]

    def test_what_makes_no_sense_is_refused(self, bus: Bus, subscribe: Subscribe) -> None:
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
        with pytest.raises(ValueError, match="max_records"):
            subscribe("findings", group="g").poll(0, 0)

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
        with pytest.raises(BusError, match="closed"):
            bus.subscribe(["findings"], "g")


class TestBroadcast:
    def test_every_reader_sees_everything_from_the_beginning(self, bus: Bus, subscribe: Subscribe) -> None:
        publish_frames(bus, 20)
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

    def test_what_exists_is_read_up_to_the_end_and_no_longer(self, bus: Bus, subscribe: Subscribe) -> None:
        reader = subscribe("findings", "frames", group=None)
        assert read_existing(reader, PATIENCE_S) == []
        publish_frames(bus, 30)
        assert len(read_existing(reader, PATIENCE_S)) == 30

    def test_it_takes_nothing_from_groups_and_has_nothing_to_commit(self, bus: Bus, subscribe: Subscribe) -> None:
        publish(bus, "findings", "a", "b")
        broadcast, group = subscribe("findings", group=None), subscribe("findings", group="g")
        assert texts(read(broadcast, 2)) == texts(read(group, 2)) == ["a", "b"]
        with pytest.raises(ValueError, match="no group"):
            broadcast.commit({FINDINGS: 2})
