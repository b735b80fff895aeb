"""The contract of the message bus (daemon/bus/bus.py), against memory and a real Kafka broker: groups and their callbacks."""

from __future__ import annotations

import threading

import pytest

from daemon.bus.bus import Bus, NotAssigned, TopicPartition
from tests.bus import FINDINGS, Callbacks, Subscribe, join, place, publish, publish_frames, read, read_until, texts, until


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
        assert join(first, second) == []
        assert {len(first.positions()), len(second.positions())} == {2}
        publish_frames(bus, 100)
        records = read_until(lambda records: len(records) >= 100, first, second)
        assert sorted(int(record.value) for record in records) == list(range(100))

    def test_what_a_leaving_member_did_not_commit_goes_to_the_others(self, bus: Bus, subscribe: Subscribe) -> None:
        first, second = subscribe("frames", group="detect"), subscribe("frames", group="detect")
        join(first, second)
        publish_frames(bus, 40)
        seen = read_until(lambda _: not any(second.lag().values()), second)
        done = seen[: len(seen) // 2]
        second.commit({place(record): record.offset + 1 for record in done})
        second.close()
        values_done = {record.value for record in done}
        rest = read_until(lambda records: len({r.value for r in records} | values_done) == 40, first)
        assert not {record.value for record in rest} & values_done

    def test_of_one_partition_the_oldest_member_is_active_and_the_next_takes_over(self, bus: Bus, subscribe: Subscribe) -> None:
        active = subscribe("findings", group="correlate")
        until(lambda: active.poll(0.05) or active.positions(), "assignment")
        standby = subscribe("findings", group="correlate")
        for _ in range(8):
            assert standby.poll(0.05) == active.poll(0.05) == []
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
        assert saved.assigned == [frozenset({FINDINGS})]
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
        publish_frames(bus, 40)
        threads: set[int] = set()

        def on_revoke(partitions: frozenset[TopicPartition]) -> None:
            threads.add(threading.get_ident())
            assert partitions <= first.positions().keys()
            first.commit({partition: first.positions()[partition] for partition in partitions})

        first = subscribe("frames", group="detect", on_revoke=on_revoke)
        assert len(read(first, 40)) == 40
        second = subscribe("frames", group="detect")
        assert join(first, second) == []  # nothing is read twice, as everything was committed on the way
        assert threads == {threading.get_ident()}

    def test_partitions_start_at_the_commit_after_a_rebalance(self, bus: Bus, subscribe: Subscribe) -> None:
        """Also those that come back to the member that had them: otherwise a stage that dropped its state loses records."""
        publish_frames(bus, 40)
        calls = Callbacks()
        first = subscribe("frames", group="detect", on_assign=calls.on_assign, on_revoke=calls.on_revoke)
        seen = read(first, 40)
        second = subscribe("frames", group="detect")
        again = join(first, second)
        again += read_until(lambda _: not any([*first.lag().values(), *second.lag().values()]), first, second)
        revoked = frozenset().union(*calls.revoked)
        assert revoked
        assert sorted(r.value for r in again) == sorted(r.value for r in seen if place(r) in revoked)

    def test_what_is_revoked_and_assigned_adds_up(self, subscribe: Subscribe) -> None:
        calls = [Callbacks(), Callbacks()]
        first, second = (subscribe("frames", group="detect", on_assign=c.on_assign, on_revoke=c.on_revoke) for c in calls)
        join(first, second)
        second.close()
        join(first)
        first.close()
        for each in calls:
            assert sorted(map(str, frozenset.union(*each.assigned))) == sorted(map(str, frozenset.union(*each.revoked)))
            assert sum(map(len, each.assigned)) == sum(map(len, each.revoked))

    def test_an_exception_of_a_callback_reaches_who_polls(self, subscribe: Subscribe) -> None:
        def on_assign(partitions: frozenset[TopicPartition]) -> dict[TopicPartition, int]:
            raise KeyError(f"no snapshot of {len(partitions)} partition")

        subscription = subscribe("findings", group="g", on_assign=on_assign)
        with pytest.raises(KeyError, match="no snapshot of 1 partition"):
            until(lambda: subscription.poll(0.1), "assignment")
