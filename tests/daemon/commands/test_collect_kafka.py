"""Looking at somebody else's topic takes nothing away from the daemon that reads it."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence

import pytest
from click.testing import CliRunner

from daemon.__main__ import cli
from deploy.kafka.broker import KafkaBroker


@pytest.fixture(autouse=True)
def _collect() -> Iterator[None]:
    """Sockets that kafka-python dropped are collected within the test that made them (see tests/kafka_broker.py)."""
    yield
    gc.collect()


def look(broker: KafkaBroker, topic: str) -> Sequence[float]:
    options = [f"bootstrap_servers={broker.bootstrap}", f"topics={topic}", "flatten=true", "start=earliest", "group_id=the-daemons"]
    done = CliRunner().invoke(cli, ["collect", "--once", "--wait-s", "20", "--json", "--with", "kafka_topic", *options])
    assert done.exit_code == 0, done.output
    return [json.loads(line)["value"] for line in done.stdout.splitlines()]


@pytest.mark.kafka
def test_a_look_stores_no_offset(kafka: KafkaBroker) -> None:
    from tests.collectors.kafka_topics import new_topic, publish, stored_offset  # noqa: PLC0415 - only where there is a broker

    topic = new_topic(kafka)
    publish(kafka, topic, [b'{"throughput": 12.5}'])
    assert look(kafka, topic) == [12.5]
    assert look(kafka, topic) == [12.5]
    assert stored_offset(kafka, "the-daemons", topic) is None
