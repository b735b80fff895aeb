"""The contract of the message bus. Both implementations, `memory` and `kafka`, pass tests/contract/test_bus.py.

Records of one key keep their order. Delivery is at least once: a group reads on from what it committed, so whatever was
read and not committed is read again after a crash. A stage therefore works in this order, which can be read off its code:
poll, work, publish, `flush`, save state, and only then `commit`.

Threads. A `Bus` may be used by any number of threads. A `Subscription` belongs to one thread at a time: kafka-python
consumers are not thread safe. Close the subscriptions, each in its own thread, before the bus.

Rebalancing. The partitions of a topic are shared out over the subscriptions of a group, in ranges and in the order in
which they joined: of a topic with one partition the oldest subscription is the active one and the others stand by. When
a subscription joins, leaves or dies, partitions move. `on_revoke` and `on_assign` run inside `poll` (`on_revoke` also
inside `close`), in the thread that calls it, so they may use the subscription: commit in `on_revoke`, for instance. A
rebalance may revoke partitions and assign the same ones again at once; they then start where the group committed.

`on_revoke` is called *before* partitions are taken away, while a commit is still accepted, with one exception: where the
group has already given them to another member (no heartbeat within the session time-out, or no `poll` within the longest
poll interval; Kafka only), it is called afterwards, and `commit` raises `NotAssigned`. What was not committed is then read
by the new owner: drop the state of these partitions. An exception raised by a callback passes out of `poll`; close the
subscription then.

Blocking. With the memory bus and its policy `block`, `publish` waits while the topic is full, until the groups that read it
have committed. A thread never waits for itself: where it holds a subscription on that topic, its record is taken
beyond the bound. Two threads that each publish to a full topic that only the other one can empty wait until the
time-out and get a BusError: let records flow one way, and give the topics of a loop room for what it can hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

MAX_RECORD_BYTES = 1_000_000
"""Largest record (key and value) that a bus takes unless it is configured otherwise: what Kafka's defaults let through."""


@dataclass(frozen=True, slots=True)
class TopicPartition:
    """One partition of a topic; `topic` is the logical name without prefix ("frames")."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was published. `topic` is the logical name; a tombstone has an empty value."""

    topic: str
    key: str
    value: bytes
    partition: int
    offset: int

    @property
    def is_tombstone(self) -> bool:
        """Whether it says that its key is gone from a compacted topic."""
        return not self.value


class BusError(Exception):
    """Something that the bus could not do: one line that names the broker or the topic, and no secret."""


class TooLarge(BusError):  # noqa: N818 - reads as what it is where it is caught
    """A record beyond the limit. Nothing was published."""


class Unacknowledged(BusError):  # noqa: N818
    """What was published is on its way and not acknowledged in time. It may still be: flush again before publishing it again."""


class NotAssigned(BusError):  # noqa: N818
    """A commit for partitions that the group has given to another member, or that were never assigned. Poll again."""


OnAssign = Callable[[frozenset[TopicPartition]], Mapping[TopicPartition, int] | None]
OnRevoke = Callable[[frozenset[TopicPartition]], None]


@runtime_checkable
class Subscription(Protocol):
    """What one thread reads from some topics."""

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Record]:
        """The next records in the order of each partition; waits for some, and is empty after `timeout_s` without any.

        Raises BusError where the broker refuses. While a broker is unreachable it is empty, and goes on where it was later.
        """

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Makes these the offsets at which the group reads on: the *next* offset to read of each partition.

        Returns when they are stored. Nothing is ever committed but by this call. Raises NotAssigned, BusError, and
        ValueError for a broadcast reader, which has no group to commit for.
        """

    def positions(self) -> dict[TopicPartition, int]:
        """Next offset to read of every assigned partition. Before the first poll a group has none."""

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Offset that the next record published to each assigned partition will get."""

    def lag(self) -> dict[TopicPartition, int]:
        """How far each position is behind the end, in offsets; in compacted topics not all of them hold a record."""

    def close(self) -> None:
        """Leaves the group, after `on_revoke` for what it held. Commits nothing. Does nothing when called twice."""


@runtime_checkable
class Bus(Protocol):
    """Topics that stages publish to and subscribe to; which there are is in topics.py."""

    def publish(self, topic: str, key: str, value: bytes | None) -> None:
        """Hands over one record; it is buffered until the next `flush` at the latest.

        None is a tombstone: the key is gone from its compacted topic. Raises TooLarge at once, BusError where there is no
        room for it within the time-out or the bus is closed, ValueError for an unknown topic, an empty value or a
        tombstone in a topic that is not compacted.
        """

    def flush(self, timeout_s: float) -> None:
        """Returns when all that was published so far is acknowledged.

        Raises Unacknowledged after `timeout_s`, and BusError where a record was given up since this thread flushed last: everything since
        then is in doubt and must be made again, from the committed offsets.
        """

    def subscribe(
        self, topics: Sequence[str], group: str | None, *, on_assign: OnAssign | None = None, on_revoke: OnRevoke | None = None
    ) -> Subscription:
        """Reads topics as a member of a group, or all of their records where `group` is None.

        With a group, partitions are shared out with its other members and reading starts at what the group has committed,
        or at the beginning. `on_assign` gets the newly assigned partitions and may return offsets to start at instead (a
        snapshot of state carries its own; what lies before the commit may be gone, so state is saved before the commit);
        `on_revoke` gets those that go. See the text at the top for when.

        Without a group it is a broadcast reader: every partition of the topics from the beginning, also such as are added
        later; it commits nothing and takes no callbacks (ValueError).
        """

    def close(self) -> None:
        """Flushes and ends the bus. Raises BusError where records could not be delivered. Idempotent."""


def read_existing(subscription: Subscription, timeout_s: float) -> list[Record]:
    """Reads up to where the topics end when it is called: how a broadcast reader learns the present state.

    A compacted topic may hold older records of a key too: the last one counts. Raises BusError after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    ends = subscription.end_offsets()
    records: list[Record] = []
    while any(position < ends.get(partition, 0) for partition, position in subscription.positions().items()):
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            topics = ", ".join(sorted({partition.topic for partition in ends}))
            raise BusError(f"{topics}: the end was not reached within {timeout_s:g} s")
        records += subscription.poll(min(remaining_s, 0.2))
    return records
