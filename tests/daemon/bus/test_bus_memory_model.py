"""The memory bus against a plain model of it: any order of publishing, joining, reading, committing and leaving."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from daemon.bus.bus import Record, TopicPartition, read_existing
from daemon.bus.memory import MemoryBus
from daemon.bus.memory_subscription import MemorySubscription
from daemon.bus.topics import Topic
from tests.bus import place

PARTITIONS = 3
TOPICS = {topic.name: topic for topic in (Topic("frames", partitions=PARTITIONS), Topic("incidents", compacted=True))}
keys = st.sampled_from(["a", "b", "ECAL/EB+", "µ", "e", "f"])


class Member:
    """A subscription and where the model says that it reads on."""

    def __init__(self, model: BusModel, group: str) -> None:
        self.group = group
        self.cursors: dict[TopicPartition, int] = {}
        self._committed = model.committed[group]
        self.subscription = model.bus.subscribe(["frames"], group, on_assign=self._assigned, on_revoke=self._revoked)

    def _assigned(self, partitions: frozenset[TopicPartition]) -> dict[TopicPartition, int]:
        assert not partitions & self.cursors.keys()
        self.cursors |= {partition: self._committed[partition] for partition in partitions}
        return {}

    def _revoked(self, partitions: frozenset[TopicPartition]) -> None:
        for partition in partitions:
            del self.cursors[partition]


class BusModel(RuleBasedStateMachine):
    """Keeps every record of frames, what each group committed, and the state that incidents stand for."""

    members = Bundle("members")
    readers = Bundle("readers")

    @initialize()
    def start(self) -> None:
        self.bus = MemoryBus(topics=TOPICS)
        self.logs: dict[TopicPartition, list[Record]] = {TopicPartition("frames", number): [] for number in range(PARTITIONS)}
        self.committed: dict[str, dict[TopicPartition, int]] = {}
        self.alive: list[Member] = []
        self.freed: dict[TopicPartition, int] = dict.fromkeys(self.logs, 0)
        self.broadcasts: list[MemorySubscription] = []
        self.state: dict[str, bytes] = {}
        self.partition_of: dict[str, int] = {}

    @rule(key=keys, value=st.binary(min_size=1, max_size=8))
    def publish_frame(self, key: str, value: bytes) -> None:
        self.bus.publish("frames", key, value)
        reader = self.bus.subscribe(["frames"], None)
        records = [record for record in read_existing(reader, 1) if record.offset >= len(self.logs[place(record)])]
        reader.close()
        assert [(record.key, record.value) for record in records] == [(key, value)]
        assert self.partition_of.setdefault(key, records[0].partition) == records[0].partition
        self.logs[place(records[0])].append(records[0])

    @rule(key=keys, value=st.none() | st.binary(min_size=1, max_size=8))
    def publish_incident(self, key: str, value: bytes | None) -> None:
        self.bus.publish("incidents", key, value)
        self.state.pop(key, None)
        if value is not None:
            self.state[key] = value

    @rule(target=members, group=st.sampled_from(["detect", "history"]))
    def join(self, group: str) -> Member:
        """A group that is new has all that the others have left."""
        self.committed.setdefault(group, dict(self.freed))
        member = Member(self, group)
        self.alive.append(member)
        return member

    @rule(member=members, number=st.integers(1, 4))
    def read(self, member: Member, number: int) -> None:
        records = member.subscription.poll(0, number)
        assert len(records) <= number
        for record in records:
            assert record == self.logs[place(record)][member.cursors[place(record)]]
            member.cursors[place(record)] += 1
        if not records:
            assert all(cursor == len(self.logs[partition]) for partition, cursor in member.cursors.items())
        assert member.subscription.positions() == member.cursors

    @rule(member=members, back=st.integers(0, 2))
    def commit(self, member: Member, back: int) -> None:
        """Never less than was committed before: what lies before it is free to go."""
        floors = self.committed[member.group]
        offsets = {partition: max(cursor - back, floors[partition]) for partition, cursor in member.cursors.items()}
        member.subscription.commit(offsets)
        floors.update(offsets)
        self.freed = {partition: min(floors[partition] for floors in self.committed.values()) for partition in self.logs}

    @rule(member=consumes(members))
    def leave(self, member: Member) -> None:
        member.subscription.close()
        assert member.cursors == {}
        self.alive.remove(member)

    @rule(target=readers)
    def listen(self) -> object:
        reader = self.bus.subscribe(["incidents"], None)
        self.broadcasts.append(reader)
        return multiple(reader)

    @rule(reader=readers)
    def catch_up(self, reader: MemorySubscription) -> None:
        read_existing(reader, 1)
        assert not any(reader.lag().values())

    @invariant()
    def a_late_reader_learns_the_state(self) -> None:
        reader = self.bus.subscribe(["incidents"], None)
        state: dict[str, bytes] = {}
        for record in read_existing(reader, 1):
            state.pop(record.key, None)
            if not record.is_tombstone:
                state[record.key] = record.value
        reader.close()
        assert state == self.state

    @invariant()
    def no_partition_has_two_owners(self) -> None:
        for group in self.committed:
            held = [partition for member in self.alive if member.group == group for partition in member.cursors]
            assert len(held) == len(set(held))

    @invariant()
    def exactly_what_groups_still_need_is_held(self) -> None:
        assert self.bus.usage()["frames"].records == sum(len(log) - self.freed[partition] for partition, log in self.logs.items())

    def teardown(self) -> None:
        """Every partition of a group with members has an owner once all have polled."""
        if not hasattr(self, "bus"):
            return
        for _ in range(2):
            for member in self.alive:
                member.subscription.poll(0, 1)
        for group in {member.group for member in self.alive}:
            shares = [len(member.cursors) for member in self.alive if member.group == group]
            assert sum(shares) == PARTITIONS
            assert max(shares) - min(shares) <= 1


TestMemoryBusModel = BusModel.TestCase
TestMemoryBusModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
