"""Makes sure that the topics are there in Kafka, and are what they must be."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from daemon.bus.bus import BusError
from daemon.bus.kafka_connection import connect, describe
from daemon.bus.kafka_options import KafkaOptions
from daemon.bus.topics import Topic

log = logging.getLogger(__name__)


def ensure_topics(options: KafkaOptions, topics: Mapping[str, Topic]) -> None:
    """Creates the topics that are missing and checks those that exist. Raises BusError naming the topic."""
    admin = connect(KafkaAdminClient, options)
    try:
        names = {options.topic(topic.name): topic for topic in topics.values()}
        existing = _partition_counts(admin, names)
        _create(admin, options, {name: topic for name, topic in names.items() if name not in existing})
        for name in existing:
            _check_partitions(options, name, names[name], existing[name])
        _check_policies(admin, options, {name: names[name] for name in existing})
    except (KafkaError, RuntimeError) as error:  # kafka-python raises RuntimeError where no controller is elected
        raise BusError(f"topics {options.prefix}.* at {options.servers}: {describe(error)}") from None
    finally:
        admin.close()


def _partition_counts(admin: Any, names: Mapping[str, Topic]) -> dict[str, int]:  # noqa: ANN401 - kafka-python is untyped
    described = admin.describe_topics(list(names))
    return {entry["name"]: len(entry["partitions"]) for entry in described if for_code(entry["error_code"]) is NoError}


def _create(admin: Any, options: KafkaOptions, missing: Mapping[str, Topic]) -> None:  # noqa: ANN401
    if not missing:
        return
    wanted = {
        name: {
            "num_partitions": topic.partitions,
            "replication_factor": options.replication_factor,
            "configs": topic.kafka_settings(options.max_record_bytes),
        }
        for name, topic in missing.items()
    }
    response = admin.create_topics(wanted, raise_errors=False)
    for entry in response["topics"]:
        outcome = for_code(entry["error_code"])
        if outcome not in (NoError, TopicAlreadyExistsError):  # another process may have been first
            reason = entry.get("error_message") or outcome.__name__
            raise BusError(f"topic {entry['name']} could not be created at {options.servers}: {reason}")
    admin.wait_for_topics(list(wanted))
    for name, count in _partition_counts(admin, missing).items():
        _check_partitions(options, name, missing[name], count)


def _check_partitions(options: KafkaOptions, name: str, topic: Topic, count: int) -> None:
    if count == topic.partitions:
        return
    if topic.partitions_fixed:
        raise BusError(
            f"topic {name} at {options.servers} has {count} partitions and must have {topic.partitions}: one stage reads it in order. "
            "Delete it, or choose another prefix"
        )
    log.warning("topic %s has %d partitions, configured are %d: what it has is used", name, count, topic.partitions)


def _check_policies(admin: Any, options: KafkaOptions, existing: Mapping[str, Topic]) -> None:  # noqa: ANN401
    """A compacted topic that forgets by age would lose its state without a word."""
    compacted = [name for name, topic in existing.items() if topic.compacted and not topic.expires]
    if not compacted:
        return
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, ["cleanup.policy"]) for name in compacted]
    described = admin.describe_configs(resources, config_filter="all").get("topic", {})
    for name in compacted:
        policy = str(described.get(name, {}).get("cleanup.policy", {}).get("value", "compact"))
        if policy != "compact":
            raise BusError(
                f"topic {name} at {options.servers} has cleanup.policy={policy} and must be compacted: "
                f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config cleanup.policy=compact"
            )
