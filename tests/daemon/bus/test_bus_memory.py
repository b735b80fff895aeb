"""What only the memory bus has: bounds, what happens when they are reached, and freeing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from daemon.bus.bus import BusError, TooLarge, read_existing
from daemon.bus.memory import MemoryBus, MemoryOptions
from daemon.bus.topics import Topic, standard_topics
from tests.bus import FINDINGS, PATIENCE_S, publish, texts, until


def make_bus(**options: Any) -> MemoryBus:
    return MemoryBus(MemoryOptions(**options), standard_topics(2))


def held(bus: MemoryBus, topic: str = "findings") -> int:
    return bus.usage()[topic].records


@pytest.fixture
def in_thread() -> Iterator[Any]:
    """Runs something in a thread of its own; whatever it raised is in `outcome`."""
    threads: list[threading.Thread] = []

    def start(target: Any, *args: Any) -> tuple[threading.Thread, list[BaseException | None]]:
        outcome: list[BaseException | None] = []

        def run() -> None:
            try:
                target(*args)
                outcome.append(None)
            except BusError as error:
                outcome.append(error)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return threads[-1], outcome

    yield start
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


class TestFreeing:
    def test_what_all_groups_have_committed_is_freed(self) -> None:
        bus = make_bus()
        correlate, history = bus.subscribe(["findings"], "correlate"), bus.subscribe(["findings"], "history")
        publish(bus, "findings", *"abcd")
        assert len(correlate.poll(1)) == len(history.poll(1)) == 4
        correlate.commit({FINDINGS: 4})
        assert held(bus) == 4
        history.commit({FINDINGS: 3})
        assert held(bus) == 1
        history.commit({FINDINGS: 4})
        assert bus.usage()["findings"].bytes == 0

    def test_a_group_whose_members_left_still_keeps_what_it_did_not_commit(self) -> None:
        bus = make_bus()
        bus.subscribe(["findings"], "correlate").close()
        publish(bus, "findings", "a", "b")
        other = bus.subscribe(["findings"], "history")
        other.poll(1)
        other.commit({FINDINGS: 2})
        assert texts(bus.subscribe(["findings"], "correlate").poll(1)) == ["a", "b"]

    def test_a_broadcast_reader_keeps_what_it_has_not_read(self) -> None:
        bus = make_bus()
        reader, group = bus.subscribe(["findings"], None), bus.subscribe(["findings"], "g")
        publish(bus, "findings", "a", "b")
        group.poll(1)
        group.commit({FINDINGS: 2})
        assert held(bus) == 2
        assert texts(reader.poll(1)) == ["a", "b"]
        assert held(bus) == 0

    def test_of_a_compacted_topic_the_last_record_of_each_key_stays(self) -> None:
        bus = make_bus(max_records=2)
        group = bus.subscribe(["incidents"], "notify")
        for revision in range(5):
            for key in "abcdef":
                bus.publish("incidents", key, b"%d" % revision)
        assert held(bus, "incidents") == 6 + 2
        read_to_end(group)
        group.commit(group.positions())
        assert held(bus, "incidents") == 6
        bus.publish("incidents", "a", None)
        read_to_end(group)
        group.commit(group.positions())
        late = read_existing(bus.subscribe(["incidents"], None), 1)
        assert [(record.key, record.value) for record in late] == [(key, b"4") for key in "bcdef"]

    def test_conditions_keep_their_history_up_to_the_bound(self) -> None:
        bus = make_bus(max_records=3)
        publish(bus, "conditions", *"abcdef", key="lhc")
        publish(bus, "conditions", "x", key="magnet")
        late = bus.subscribe(["conditions"], None)
        assert texts(read_existing(late, 1)) == ["c", "d", "e", "f", "x"]
        assert not any(late.lag().values())


def read_to_end(subscription: Any) -> None:
    while subscription.poll(0.01):
        pass


class TestBounds:
    def test_block_makes_the_publisher_wait_for_a_commit(self, in_thread: Any) -> None:
        bus = make_bus(max_records=2)
        group = bus.subscribe(["findings"], "g")
        thread, outcome = in_thread(publish, bus, "findings", "a", "b", "c")
        first = group.poll(PATIENCE_S, 1)
        thread.join(0.2)
        assert thread.is_alive()
        group.commit({FINDINGS: first[0].offset + 1})
        thread.join(PATIENCE_S)
        assert outcome == [None]
        assert texts(group.poll(1)) == ["b", "c"]
        assert bus.usage()["findings"].dropped == 0

    def test_a_publisher_that_waits_too_long_is_told_for_whom(self, in_thread: Any) -> None:
        bus = make_bus(max_records=2, publish_timeout_s=0.05)
        bus.subscribe(["findings"], "correlate")
        _, outcome = in_thread(publish, bus, "findings", "a", "b", "c")
        until(lambda: outcome, "the other thread")
        assert str(outcome[0]) == "findings is full (2 records, 4 bytes): group 'correlate' did not read on within 0.05 s"

    def test_the_bound_on_bytes_counts_keys_in_utf_8(self, in_thread: Any) -> None:
        bus = make_bus(max_bytes=10, publish_timeout_s=0.05)
        bus.subscribe(["findings"], "g")
        bus.publish("findings", "µ", b"12345678")
        _, outcome = in_thread(publish, bus, "findings", "x")
        until(lambda: outcome, "the other thread")
        assert "10 bytes" in str(outcome[0])
        with pytest.raises(TooLarge):
            make_bus(max_record_bytes=9).publish("findings", "µ", b"12345678")

    def test_drop_oldest_drops_over_all_partitions_and_counts(self) -> None:
        bus = make_bus(max_records=4, when_full="drop_oldest")
        group = bus.subscribe(["frames"], "detect")
        for number in range(10):
            bus.publish("frames", f"source{number}", b"%d" % number)
        assert sorted(int(record.value) for record in group.poll(1)) == [6, 7, 8, 9]
        assert bus.usage()["frames"].dropped == 6

    def test_what_nobody_reads_is_kept_up_to_the_bound_and_never_blocks(self) -> None:
        bus = make_bus(max_records=3)
        publish(bus, "dead-letters", *"abcdef")
        assert texts(read_existing(bus.subscribe(["dead-letters"], None), 1)) == ["d", "e", "f"]
        assert texts(bus.subscribe(["dead-letters"], "web").poll(1)) == ["d", "e", "f"]
        assert bus.usage()["dead-letters"].dropped == 0

    def test_a_thread_never_waits_for_itself(self) -> None:
        bus = make_bus(max_records=2, publish_timeout_s=0.0)
        group = bus.subscribe(["feedback"], "train")
        publish(bus, "feedback", *"abcde")
        assert texts(group.poll(1)) == list("abcde")

    def test_a_waiting_publisher_goes_on_when_the_reader_it_waits_for_leaves(self, in_thread: Any) -> None:
        bus = make_bus(max_records=2)
        reader = bus.subscribe(["findings"], None)
        thread, outcome = in_thread(publish, bus, "findings", "a", "b", "c")
        thread.join(0.1)
        assert thread.is_alive()
        reader.close()
        until(lambda: outcome, "the other thread")
        assert outcome == [None]

    def test_closing_the_bus_ends_every_wait(self, in_thread: Any) -> None:
        bus = make_bus(max_records=1)
        group = bus.subscribe(["findings"], "g")
        _, published = in_thread(publish, bus, "findings", "a", "b")
        other = bus.subscribe(["plans"], "g")
        _, polled = in_thread(other.poll, PATIENCE_S)
        group.poll(PATIENCE_S)
        bus.close()
        until(lambda: published, "the other thread")
        until(lambda: polled, "the other thread")
        assert str(published[0]) == str(polled[0]) == "the memory bus is closed"
        group.close()


class TestThreads:
    def test_a_waiting_poll_uses_no_processor_time(self) -> None:
        subscription = make_bus().subscribe(["findings"], "g")
        subscription.poll(0)
        before = time.thread_time()
        assert subscription.poll(0.5) == []
        assert time.thread_time() - before < 0.05

    def test_members_come_and_go_and_every_record_is_worked_on_once(self) -> None:
        """Each commits what it has worked on when its partitions go: nothing is lost, and nothing is done twice."""
        bus = MemoryBus(MemoryOptions(max_records=50), {"frames": Topic("frames", partitions=5)})
        total = 2000
        done: list[int] = []
        finished = threading.Event()

        def live(polls: int) -> None:
            subscription = bus.subscribe(["frames"], "detect", on_revoke=lambda _: subscription.commit(subscription.positions()))
            while polls and not finished.is_set():
                done.extend(int(record.value) for record in subscription.poll(0.002, 7))
                subscription.commit(subscription.positions())
                polls -= 1
                if len(done) >= total:
                    finished.set()
            subscription.close()

        def live_often(lives: int) -> None:
            for _ in range(lives):
                live(40)
            live(-1)

        workers = [threading.Thread(target=live_often, args=(lives,)) for lives in (0, 3, 5)]
        for worker in workers:
            worker.start()
        for number in range(total):
            bus.publish("frames", f"source{number % 11}", b"%d" % number)
        for worker in workers:
            worker.join(PATIENCE_S)
            assert not worker.is_alive()
        assert sorted(done) == list(range(total))
