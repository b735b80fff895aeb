"""Topics of a third party, on a real broker: nothing is lost, whatever happens to it or to us."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from collectors.collector import CollectError
from collectors.frame import Updates
from collectors.kafka_topic import KafkaTopicOptions
from deploy.kafka.broker import KafkaBroker
from tests.collectors.kafka_topics import Topic, add_partitions, delete_before, delete_topic, new_topic, numbers, publish, turn
from tests.kafka_broker import SASL_PASSWORD, SASL_USER

PATIENCE_S = 30


@pytest.fixture(autouse=True)
def _collect() -> Iterator[None]:
    """Sockets that kafka-python dropped are collected within the test that made them (see tests/kafka_broker.py)."""
    yield
    gc.collect()


@pytest.fixture
def topic(kafka: KafkaBroker) -> Iterator[Topic]:
    kafka.start()
    made = Topic(kafka)
    yield made
    for collector in made.built:
        collector.close()
    kafka.start()


@pytest.mark.kafka
class TestDelivery:
    def test_offsets_are_stored_only_when_blocks_are_safe(self, topic: Topic) -> None:
        collector = topic.build()
        topic.numbers(1, 2, 3)
        assert numbers(collector) == [1, 2, 3]
        assert topic.stored() == 0  # the framework may not have written them yet
        assert numbers(collector) == []
        assert topic.stored() == 3

    def test_what_was_not_taken_comes_again(self, topic: Topic) -> None:
        collector = topic.build()
        topic.numbers(1, 2)
        running = iter(collector.collect())
        assert isinstance(next(running), Updates)
        running.close()  # type: ignore[attr-defined] # the framework failed while it published the block
        topic.numbers(3)
        assert numbers(collector) == [1, 2, 3]
        assert numbers(collector) == []

    def test_a_crash_between_turns_repeats_one_and_loses_none(self, topic: Topic) -> None:
        topic.numbers(1, 2)
        assert numbers(topic.build()) == [1, 2]  # never closed: what it had read is not stored
        after = topic.build()
        topic.numbers(3)
        assert numbers(after) == [1, 2, 3]
        after.close()
        topic.numbers(4)
        assert numbers(topic.build()) == [4]

    def test_latest_begins_now_and_goes_on_from_there_after_a_crash(self, topic: Topic) -> None:
        topic.numbers(1)
        assert numbers(topic.build(start="latest")) == []
        topic.numbers(2)  # while nobody runs
        assert numbers(topic.build(start="latest")) == [2]

    def test_a_turn_is_bounded_and_the_rest_comes_with_the_next(self, topic: Topic) -> None:
        collector = topic.build(max_messages=700)
        topic.numbers(*range(1000))
        first = numbers(collector)
        assert len(first) == 700
        assert first + numbers(collector) == list(range(1000))
        small = topic.build(max_bytes=1, group_id=f"small-{topic.name}")
        assert 0 < len(numbers(small)) < 1000

    def test_a_broker_that_is_killed_is_an_error_until_it_is_back(self, topic: Topic, kafka: KafkaBroker) -> None:
        collector = topic.build(request_timeout_s=3)
        topic.numbers(1)
        assert numbers(collector) == [1]
        kafka.kill()
        for _ in range(2):
            with pytest.raises(CollectError, match=f"{kafka.bootstrap}: Connection refused"):
                turn(collector)
        kafka.start()
        topic.numbers(2)
        assert numbers(collector) == [2]
        kafka.restart(crash=True)  # between two turns
        topic.numbers(3)
        found: list[float] = []
        deadline = time.monotonic() + PATIENCE_S
        while not found and time.monotonic() < deadline:
            try:
                found = numbers(collector)
            except CollectError:
                continue
        assert found == [3]

    def test_closing_while_the_broker_is_dead_only_warns(self, topic: Topic, kafka: KafkaBroker, caplog: pytest.LogCaptureFixture) -> None:
        collector = topic.build(request_timeout_s=1)
        topic.numbers(1)
        assert numbers(collector) == [1]
        kafka.kill()
        with caplog.at_level(logging.WARNING, "collectors.messages.kafka_consumer"):
            collector.close()
        assert "will be read again" in caplog.text
        kafka.start()
        assert numbers(topic.build()) == [1]

    def test_messages_that_were_deleted_unread_are_said_to_be_lost(self, topic: Topic, kafka: KafkaBroker) -> None:
        collector = topic.build()
        topic.numbers(0)
        assert numbers(collector) == [0]
        topic.numbers(*range(1, 10))
        delete_before(kafka, topic.name, 7)
        blocks, rejected = turn(collector)
        assert [(item.subject, item.reason) for item in rejected] == [
            (f"{topic.name}[0]", "6 messages from offset 1 on were deleted before they were read")
        ]
        assert blocks[0].value.tolist() == [7, 8, 9]  # type: ignore[union-attr] # updates


@pytest.mark.kafka
class TestTopics:
    def test_all_partitions_and_topics_of_a_pattern_are_read(self, kafka: KafkaBroker) -> None:
        kafka.start()
        several = Topic(kafka, partitions=3)
        table = {"rows": "[@]", "name": "{topic}/{message_key}", "columns": {"n": "n"}}
        collector = several.build(topics=[f"{several.name[:-4]}*"], tables=[table])
        for partition in range(3):
            several.publish({"n": partition}, partition=partition, key=b"k%d" % partition)
        (block,), rejected = turn(collector)
        collector.close()
        assert rejected == []
        assert {column.name for column in block.layout.columns} == {f"{several.name}/k{number}/n" for number in range(3)}

    def test_a_topic_that_is_not_there(self, topic: Topic) -> None:
        topic.numbers(1)
        blocks, rejected = turn(topic.build(topics=[topic.name, "nowhere"]))
        assert len(blocks) == 1
        assert [(item.subject, item.reason) for item in rejected] == [("nowhere", f"no such topic at {topic.broker.bootstrap}")]
        with pytest.raises(CollectError, match=f"{topic.broker.bootstrap}: no topic nowhere"):
            turn(topic.build(topics=["nowhere"]))

    def test_a_topic_that_appears_later_is_read_from_its_beginning(self, topic: Topic, kafka: KafkaBroker) -> None:
        later = f"{topic.name}-later"
        collector = topic.build(topics=[later], start="latest")
        with pytest.raises(CollectError, match="no topic"):
            turn(collector)
        new_topic(kafka, name=later)
        publish(kafka, later, [b'{"n": 1}'])
        assert numbers(collector) == [1]

    def test_partitions_that_are_added_while_we_are_away_are_read_from_their_beginning(self, topic: Topic) -> None:
        first = topic.build(start="latest")
        assert numbers(first) == []
        topic.numbers(1)
        assert numbers(first) == [1]
        first.close()
        add_partitions(topic.broker, topic.name, 2)
        topic.publish({"n": 2}, partition=1)
        assert numbers(topic.build(start="latest")) == [2]

    def test_messages_that_come_faster_than_they_are_read_are_said_once(self, topic: Topic, caplog: pytest.LogCaptureFixture) -> None:
        collector = topic.build(max_messages=2)
        with caplog.at_level(logging.WARNING, "collectors.messages.kafka_consumer"):
            for more in (range(6), range(4), range(4), range(4)):
                topic.numbers(*more)
                assert len(numbers(collector)) == 2
        (told,) = caplog.messages
        assert f"group=group-of-{topic.name} messages_behind=6" in told

    def test_a_topic_that_is_deleted_and_made_anew(self, topic: Topic, kafka: KafkaBroker) -> None:
        collector = topic.build(request_timeout_s=3)
        topic.numbers(1, 2, 3)
        assert numbers(collector) == [1, 2, 3]
        delete_topic(kafka, topic.name)
        with pytest.raises(CollectError):
            turn(collector)
        new_topic(kafka, name=topic.name)
        topic.numbers(4)
        found: list[float] = []
        deadline = time.monotonic() + PATIENCE_S
        while not found and time.monotonic() < deadline:
            try:
                blocks, _ = turn(collector)
            except CollectError:
                continue
            found = [value for block in blocks if isinstance(block, Updates) for value in block.value.tolist()]
        assert found == [4]

    def test_a_password_that_is_wrong_is_named_by_its_option_and_never_shown(self, topic: Topic, tmp_path: Path) -> None:
        secret = tmp_path / "password"
        login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": SASL_USER, "sasl_password_file": secret}
        options = {"bootstrap_servers": topic.broker.sasl_bootstrap, "request_timeout_s": 3, **login}
        collector = topic.build(**options)
        with pytest.raises(CollectError, match=f"{secret}: No such file"):
            turn(collector)
        secret.write_text("wrong-and-secret")
        with pytest.raises(CollectError, match="security_protocol SASL_PLAINTEXT") as raised:
            turn(collector)
        assert "wrong-and-secret" not in str(raised.value)
        secret.write_text(SASL_PASSWORD + "\n")
        topic.numbers(1)
        assert numbers(collector) == [1]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "flatten = true"),
        ({"flatten": True, "topics": []}, "at least 1"),
        ({"flatten": True, "topics": ["a b"]}, "match pattern"),
        ({"flatten": True, "bootstrap_servers": "broker"}, "not host:port"),
        ({"flatten": True, "format": "arrow"}, "are for JSON"),
        ({"flatten": True, "time_column": "t"}, "for format"),
        ({"values": {"a": "a["}}, "not a JMESPath expression"),
        ({"flatten": True, "security_protocol": "SASL_SSL", "sasl_username": "x"}, "sasl_password_file"),
        ({"flatten": True, "ssl_keyfile": "/key"}, "ssl_certfile"),
    ],
)
def test_what_cannot_work_is_an_error_at_the_start(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        KafkaTopicOptions.model_validate({"bootstrap_servers": "b:9092", "topics": ["t"], **options})
