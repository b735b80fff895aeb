"""The topics of the bus, with how they are divided and how long they keep what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon.bus.bus import OnAssign, OnRevoke

DAY_S = 86_400
FRAMES_PARTITIONS = 8


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    A topic that is not compacted forgets records after `retention_s` (Kafka), or when all groups have committed them
    (memory). A compacted one keeps the last record of every key for ever, and all records of the last `history_s`
    (Kafka) or as many as fit (memory, where `history_s` is not 0). `partitions_fixed` means that one partition is part of
    the meaning: one active reader, and order over all keys.
    """

    name: str
    partitions: int = 1
    compacted: bool = False
    retention_s: int = 7 * DAY_S
    history_s: int = 0
    expires: bool = False
    partitions_fixed: bool = True

    def kafka_settings(self, max_record_bytes: int) -> dict[str, str]:
        """Settings of the topic in Kafka, by Kafka's names."""
        settings = {"max.message.bytes": str(max_record_bytes + 48_576)}  # room for the record batch around it
        if not self.compacted:
            return settings | {"cleanup.policy": "delete", "retention.ms": str(self.retention_s * 1000)}
        forgets = {"cleanup.policy": "compact,delete", "retention.ms": str(self.retention_s * 1000)}
        return settings | {
            **(forgets if self.expires else {"cleanup.policy": "compact"}),
            "min.compaction.lag.ms": str(self.history_s * 1000),
            # Only closed segments are compacted: small ones, or a reader that starts late reads a gigabyte of old records.
            "segment.bytes": str(16 * 1024 * 1024),
            "segment.ms": "3600000",
            "min.cleanable.dirty.ratio": "0.1",
        }


def standard_topics(frames_partitions: int = FRAMES_PARTITIONS) -> Mapping[str, Topic]:
    """All topics by name. What is keyed by source can be spread over partitions: frames and ingest."""
    topics = (
        Topic("layouts", compacted=True),
        Topic("frames", partitions=frames_partitions, retention_s=3 * DAY_S, partitions_fixed=False),
        Topic("conditions", compacted=True, history_s=7 * DAY_S),
        Topic("findings", retention_s=14 * DAY_S),
        Topic("incidents", compacted=True),
        Topic("plans", compacted=True),
        Topic("state", compacted=True, retention_s=DAY_S, expires=True),
        Topic("feedback", retention_s=30 * DAY_S),
        Topic("ingest", partitions=frames_partitions, retention_s=DAY_S, partitions_fixed=False),
        Topic("dead-letters", retention_s=14 * DAY_S),
    )
    return {topic.name: topic for topic in topics}


def topic_named(topics: Mapping[str, Topic], name: str) -> Topic:
    """The topic of this name; ValueError where there is none."""
    if name not in topics:
        raise ValueError(f"no topic {name!r}: there are {', '.join(topics)}")
    return topics[name]


def check_value(topic: Topic, key: str, value: bytes | None) -> None:
    """ValueError or TypeError for what no topic, or not this one, can hold."""
    if not isinstance(value, bytes | None):
        raise TypeError(f"{topic.name}: a value must be bytes, not {type(value).__name__}")
    if value is None and not topic.compacted:
        raise ValueError(f"{topic.name}: a tombstone (key {key[:80]!r}) in a topic that is not compacted")
    if value is not None and not value:
        raise ValueError(f"{topic.name}: an empty value (key {key[:80]!r}); None is the tombstone")


def check_subscription(
    topics: Mapping[str, Topic], names: Sequence[str], group: str | None, on_assign: OnAssign | None, on_revoke: OnRevoke | None
) -> None:
    """ValueError for a subscription that makes no sense."""
    if isinstance(names, str) or not names:
        raise ValueError(f"topics must be a sequence of names, not {names!r}")
    for name in names:
        topic_named(topics, name)
    if group is not None and not group:
        raise ValueError("the name of a group is empty")
    if group is None and (on_assign or on_revoke):
        raise ValueError("a broadcast reader has all partitions from the beginning: it takes no callbacks")
