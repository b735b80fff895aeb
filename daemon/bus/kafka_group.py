"""Reading from Kafka as a member of a group.

kafka-python 3 runs its rebalance listener in a thread of its own, where a commit is refused ("Cannot block on net.run()
from the IO thread itself"). Here the listener only raises an exception, which breaks off `KafkaConsumer.poll` in the
thread that called it. The callback runs there, and polling again continues the rebalance where it was: before the group
was joined anew (on_revoke), or after (on_assign), in both cases before any record of these partitions is fetched.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from kafka import ConsumerRebalanceListener, OffsetAndMetadata
from kafka import TopicPartition as KafkaPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from daemon.bus.bus import BusError, NotAssigned, OnAssign, OnRevoke, TopicPartition
from daemon.bus.kafka_connection import describe
from daemon.bus.kafka_options import KafkaOptions
from daemon.bus.kafka_subscription import KafkaSubscription
from daemon.bus.topics import Topic

_MOVED_ON = (CommitFailedError, FencedInstanceIdError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)


class _Handover(Exception):  # noqa: N818 - carries work to another thread; nothing is wrong
    """Breaks off `KafkaConsumer.poll` so that the thread which called it does what the rebalance asks for."""

    def __init__(self, assigned: bool, partitions: Collection[KafkaPartition]) -> None:
        super().__init__("handed to the polling thread")
        self.assigned = assigned
        self.partitions = frozenset(partitions)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc] # kafka-python is untyped
    """Hands what kafka-python's thread is told to the polling thread. `released`: on_revoke has been run already."""

    def __init__(self) -> None:
        self.released = False

    def on_partitions_revoked(self, revoked: Collection[KafkaPartition]) -> None:
        if revoked and not self.released:
            raise _Handover(False, revoked)

    def on_partitions_lost(self, lost: Collection[KafkaPartition]) -> None:
        if lost and not self.released:
            raise _Handover(False, lost)

    def on_partitions_assigned(self, assigned: Collection[KafkaPartition]) -> None:
        self.released = False
        if assigned:
            raise _Handover(True, assigned)


class _JoinAnswer:
    """The finished future of a join, for `wait_for` of kafka-python: it says that it is not done, and answers at once."""

    is_done = False

    def __init__(self, future: Any) -> None:  # noqa: ANN401 - kafka-python is untyped
        self.add_callback = future.add_callback
        self.add_errback = future.add_errback


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """kafka-python logs what a listener raises, with a traceback; a handover is no error."""
    return not (record.exc_info and isinstance(record.exc_info[1], _Handover))


logging.getLogger("kafka.coordinator.consumer").addFilter(_is_worth_logging)


class GroupSubscription(KafkaSubscription):
    """Shares the partitions of its topics with the other members of its group. See `bus.Subscription`."""

    def __init__(
        self, options: KafkaOptions, topics: Mapping[str, Topic], group: str, on_assign: OnAssign | None, on_revoke: OnRevoke | None
    ) -> None:
        super().__init__(
            options,
            topics,
            # The broker puts the client id in front of the member id, and ranges are given out in the order of member ids:
            # the member that came first keeps what it has when others join or leave.
            client_id=f"{options.prefix}-{time.time_ns():020d}-{os.getpid()}",
            group_id=options.group(group),
            partition_assignment_strategy=(RangePartitionAssignor,),  # partitions of the same number stay together over topics
            session_timeout_ms=int(options.session_timeout_s * 1000),
            heartbeat_interval_ms=int(options.heartbeat_interval_s * 1000),
            max_poll_interval_ms=int(options.max_poll_interval_s * 1000),
        )
        self._group = group
        self._on_assign = on_assign
        self._on_revoke = on_revoke
        self._listener = _Listener()
        self._held: frozenset[KafkaPartition] = frozenset()
        self._held_before: frozenset[KafkaPartition] = frozenset()
        self._asked(lambda: self._consumer.subscribe(list(self._topics), listener=self._listener))
        for topic in self._topics:  # a leader that does not know the partitions yet would first assign none to anybody
            self._asked(partial(self._consumer.partitions_for_topic, topic))

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Stores where the group reads on; see `bus.Subscription`."""
        self._require_open()
        wanted = {self._theirs(partition): offset for partition, offset in offsets.items()}
        foreign = wanted.keys() - self._held
        if foreign:
            raise NotAssigned(f"group {self._group!r} has given {', '.join(map(self._told, sorted(foreign)))} to another member")
        entries = {partition: OffsetAndMetadata(offset, "", -1) for partition, offset in wanted.items()}
        try:
            self._consumer.commit(entries, timeout_ms=self._timeout_ms)
        except _MOVED_ON as error:
            raise NotAssigned(f"group {self._group!r} has moved on ({type(error).__name__}): poll again") from None
        except KafkaError as error:
            raise BusError(f"commit of group {self._group!r} at {self._options.servers}: {describe(error)}") from None

    def close(self) -> None:
        """Leaves the group, after `on_revoke`; commits nothing."""
        if self._closed:
            return
        try:
            self._release()
        finally:
            super().close()

    def _fetch(self, timeout_s: float, max_records: int) -> dict[KafkaPartition, list[Any]]:
        deadline = time.monotonic() + timeout_s
        while True:
            self._continue_joining()
            try:
                batches: dict[KafkaPartition, list[Any]] = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
                return batches
            except KafkaError as error:
                handover = error.__cause__
                if not isinstance(handover, _Handover):
                    raise BusError(f"{', '.join(self._topics)} at {self._options.servers}: {describe(error)}") from None
            if handover.assigned:
                self._take_over(handover.partitions)
            else:
                self._release()
            timeout_s = max(0.0, deadline - time.monotonic())

    def _continue_joining(self) -> None:
        """Goes on with a group that is half joined because a poll timed out. kafka-python 3.0.12 has two faults here.

        Where a change of partitions was the cause, it does not see that it must go on, and stays out of the group for ever
        without a word. And where the answer came between two polls, it drops it and joins anew, which disturbs the others.
        """
        coordinator = self._consumer._coordinator
        if not coordinator.rejoining:
            return
        coordinator.request_rejoin()
        if coordinator._join_task is not None and coordinator._join_task.is_done:
            coordinator._join_task = _JoinAnswer(coordinator._join_task)

    def _assigned(self) -> list[KafkaPartition]:
        return sorted(self._held)

    def _release(self) -> None:
        if self._held and self._on_revoke is not None:
            self._on_revoke(frozenset(map(self._ours, self._held)))
        self._held_before, self._held = self._held, frozenset()
        self._listener.released = True

    def _take_over(self, partitions: frozenset[KafkaPartition]) -> None:
        self._held = partitions
        chosen: Mapping[TopicPartition, int] = {}
        if self._on_assign is not None:
            chosen = self._on_assign(frozenset(map(self._ours, partitions))) or {}
        self._next = {}
        for partition in partitions:
            offset = chosen.get(self._ours(partition))
            if offset is not None:
                self._consumer.seek(partition, offset)
            elif partition in self._held_before:
                self._seek_to_committed(partition)  # kafka-python leaves these where they were read to
            self._next[partition] = self._position(partition)

    def _seek_to_committed(self, partition: KafkaPartition) -> None:
        offset = self._asked(lambda: self._consumer.committed(partition, timeout_ms=self._timeout_ms))
        if offset is None:
            self._consumer.seek_to_beginning(partition)
        else:
            self._consumer.seek(partition, offset)
