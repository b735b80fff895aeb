"""Who reads what of the memory bus: groups with their commits, and what no reader needs any more.

Everything here is called with the store's lock held.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

from daemon.bus.bus import BusError, Record, TopicPartition
from daemon.bus.memory_log import TopicLog
from daemon.bus.topics import Topic


class Reader(Protocol):
    """A subscription, as far as groups and the store deal with it."""

    topics: frozenset[str]
    group: Group | None
    positions_now: dict[TopicPartition, int]
    wakeup: threading.Condition
    changed: bool  # its share may have changed: it looks at the next poll
    thread: int  # that polled it last


class Group:
    """Subscriptions that share partitions out, and the offsets they committed. It is remembered when all have left."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.topics: set[str] = set()
        self.committed: dict[TopicPartition, int] = {}
        self._members: list[Reader] = []
        self._shares: dict[TopicPartition, Reader] = {}
        self._owners: dict[TopicPartition, Reader] = {}

    def join(self, member: Reader, logs: Mapping[str, TopicLog]) -> None:
        """Adds a member; the partitions of its topics are shared out again."""
        self.topics |= member.topics
        self._members.append(member)
        self._share_out(logs)

    def leave(self, member: Reader, logs: Mapping[str, TopicLog]) -> None:
        """Removes a member and gives what it had to the others."""
        self._members.remove(member)
        self._owners = {partition: owner for partition, owner in self._owners.items() if owner is not member}
        self._share_out(logs)

    def to_release(self, member: Reader) -> frozenset[TopicPartition]:
        """What the member has and is no longer meant to have."""
        return frozenset(p for p, owner in self._owners.items() if owner is member and self._shares.get(p) is not member)

    def release(self, member: Reader, partitions: frozenset[TopicPartition]) -> None:
        """The member is done with these."""
        for partition in partitions:
            del self._owners[partition]
            del member.positions_now[partition]
        self._tell_members()

    def take(self, member: Reader, logs: Mapping[str, TopicLog]) -> frozenset[TopicPartition]:
        """What the member is meant to have and nobody has: it has it from now on, from the committed offset or the beginning."""
        taken = frozenset(p for p, share in self._shares.items() if share is member and p not in self._owners)
        for partition in taken:
            self._owners[partition] = member
            member.positions_now[partition] = self.committed.get(
                partition, logs[partition.topic].partitions[partition.partition].first_offset
            )
        return taken

    def owned(self, member: Reader) -> frozenset[TopicPartition]:
        """What the member has."""
        return frozenset(p for p, owner in self._owners.items() if owner is member)

    def _share_out(self, logs: Mapping[str, TopicLog]) -> None:
        self._shares = {}
        for topic in {topic for member in self._members for topic in member.topics}:
            members = [member for member in self._members if topic in member.topics]
            self._shares |= in_ranges(logs[topic].names, members)
        self._tell_members()

    def _tell_members(self) -> None:
        for member in self._members:
            member.changed = True
            member.wakeup.notify_all()


def in_ranges(partitions: Sequence[TopicPartition], members: Sequence[Reader]) -> dict[TopicPartition, Reader]:
    """Neighbouring partitions for each member, the first ones one more where it does not divide: as Kafka's range assignor."""
    size, larger = divmod(len(partitions), len(members))
    shares: dict[TopicPartition, Reader] = {}
    start = 0
    for number, member in enumerate(members):
        stop = start + size + (number < larger)
        shares |= dict.fromkeys(partitions[start:stop], member)
        start = stop
    return shares


class MemoryStore:
    """The logs, the groups and the readers, with the one lock that guards all of it."""

    def __init__(self, topics: Mapping[str, Topic], max_records: int, max_bytes: int) -> None:
        self.lock = threading.Lock()
        self.room = threading.Condition(self.lock)  # something was freed
        self.logs = {name: TopicLog(topic, max_records, max_bytes) for name, topic in topics.items()}
        self.closed = False
        self._groups: dict[str, Group] = {}
        self._readers: dict[str, list[Reader]] = {name: [] for name in topics}

    def group(self, name: str) -> Group:
        """The group of this name, new where there was none."""
        return self._groups.setdefault(name, Group(name))

    def require_open(self) -> None:
        """BusError after the bus was closed."""
        if self.closed:
            raise BusError("the memory bus is closed")

    def add_reader(self, reader: Reader) -> None:
        """A subscription begins."""
        for topic in reader.topics:
            self._readers[topic].append(reader)

    def remove_reader(self, reader: Reader) -> None:
        """A subscription ends: what only it held up is freed."""
        for topic in reader.topics:
            self._readers[topic].remove(reader)
            self.forget(topic)

    def wake_readers(self, partition: TopicPartition) -> None:
        """Something was added to a partition."""
        for reader in self._readers[partition.topic]:
            if partition in reader.positions_now:
                reader.wakeup.notify()

    def wake_all(self) -> None:
        """Everybody who waits looks again."""
        self.room.notify_all()
        for reader in {id(r): r for readers in self._readers.values() for r in readers}.values():
            reader.wakeup.notify_all()

    def forget(self, topic: str) -> None:
        """Frees what no reader needs. Without a group a topic keeps what it has for those who come, up to its bounds."""
        groups = [group for group in self._groups.values() if topic in group.topics]
        log = self.logs[topic]
        if groups or log.topic.compacted:
            log.forget_read(self._floors(topic, groups))
        self.room.notify_all()

    def may_drop(self, record: Record) -> bool:
        """Whether nobody waits for the record: its topic has no group, and every broadcast reader is past it."""
        if any(record.topic in group.topics for group in self._groups.values()):
            return False
        partition = TopicPartition(record.topic, record.partition)
        return all(reader.positions_now[partition] > record.offset for reader in self._broadcast_readers(record.topic))

    def is_read_by_thread(self, topic: str, thread: int) -> bool:
        """Whether this thread holds a subscription on the topic."""
        return any(reader.thread == thread for reader in self._readers[topic])

    def laggards(self, topic: str) -> str:
        """Who the topic waits for, in words."""
        behind = [f"group {g.name!r}" for g in self._groups.values() if topic in g.topics and self._is_behind(g, topic)]
        behind += ["a broadcast reader"] * any(self._is_behind_broadcast(reader, topic) for reader in self._broadcast_readers(topic))
        return " and ".join(behind) or "nobody"

    def _is_behind(self, group: Group, topic: str) -> bool:
        return any(group.committed.get(p, 0) < self.logs[topic].partitions[p.partition].end_offset for p in self.logs[topic].names)

    def _is_behind_broadcast(self, reader: Reader, topic: str) -> bool:
        return any(reader.positions_now[p] < self.logs[topic].partitions[p.partition].end_offset for p in self.logs[topic].names)

    def _broadcast_readers(self, topic: str) -> list[Reader]:
        return [reader for reader in self._readers[topic] if reader.group is None]

    def _floors(self, topic: str, groups: Sequence[Group]) -> dict[int, int]:
        floors: dict[int, int] = {}
        for partition in self.logs[topic].names:
            needed = [group.committed.get(partition, 0) for group in groups]
            needed += [reader.positions_now[partition] for reader in self._broadcast_readers(topic)]
            if needed:
                floors[partition.partition] = min(needed)
        return floors
