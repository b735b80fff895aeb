"""What only the Kafka bus has: topics on a cluster, logging in, third parties, members that die."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.bus.bus import BusError, NotAssigned, TopicPartition, read_existing
from daemon.bus.kafka_options import KafkaOptions
from daemon.bus.topics import Topic, standard_topics
from deploy.kafka.broker import KafkaBroker
from tests.bus import FINDINGS, PATIENCE_S, publish, publish_frames, read, read_until, texts, until
from tests.kafka_broker import SASL_PASSWORD, SASL_USER, fast_options

pytestmark = pytest.mark.kafka

SMALL = {topic.name: topic for topic in (Topic("findings"), Topic("frames", partitions=2, partitions_fixed=False))}


@pytest.fixture
def admin(kafka: KafkaBroker) -> Iterator[Any]:
    """kafka-python's admin client, for what the bus does not do itself."""
    from kafka.admin import KafkaAdminClient  # noqa: PLC0415 - only where there is a broker

    client = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    yield client
    client.close()


def make_bus(options: KafkaOptions, topics: dict[str, Topic] | None = None) -> Any:
    from daemon.bus.kafka import KafkaBus  # noqa: PLC0415

    return KafkaBus(options, topics or SMALL)


class TestTopics:
    def test_they_are_made_with_their_settings(self, kafka: KafkaBroker, admin: Any) -> None:
        from kafka.admin import ConfigResource, ConfigResourceType  # noqa: PLC0415

        options = fast_options(kafka, frames_partitions=3)
        make_bus(options, dict(standard_topics(3))).close()
        described = {
            entry["name"]: len(entry["partitions"]) for entry in admin.describe_topics() if entry["name"].startswith(options.prefix)
        }
        single = ["layouts", "conditions", "findings", "incidents", "plans", "state", "feedback", "dead-letters"]
        assert described == {options.topic(name): 1 for name in single} | {options.topic("frames"): 3, options.topic("ingest"): 3}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in described]
        settings = admin.describe_configs(resources)["topic"]
        compacted = {name for name, entry in settings.items() if entry.get("cleanup.policy", {}).get("value") == "compact"}
        assert compacted == {options.topic(name) for name in ("layouts", "conditions", "incidents", "plans")}
        assert settings[options.topic("frames")]["retention.ms"]["value"] == str(3 * 86_400_000)

    def test_a_topic_that_must_have_one_partition_and_has_more_is_refused(self, kafka: KafkaBroker, admin: Any) -> None:
        options = fast_options(kafka)
        admin.create_topics({options.topic("findings"): {"num_partitions": 3}}, wait_for_metadata=True)
        with pytest.raises(BusError, match=rf"{options.topic('findings')} at {kafka.bootstrap} has 3 partitions and must have 1"):
            make_bus(options)

    def test_a_topic_that_must_be_compacted_and_is_not_is_refused(self, kafka: KafkaBroker, admin: Any) -> None:
        options = fast_options(kafka)
        admin.create_topics({options.topic("incidents"): {"num_partitions": 1}}, wait_for_metadata=True)
        with pytest.raises(BusError, match=r"incidents at .* has cleanup.policy=delete and must be compacted"):
            make_bus(options, {"incidents": Topic("incidents", compacted=True)})

    def test_partitions_of_frames_may_differ_and_may_be_added_later(
        self, kafka: KafkaBroker, admin: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        options = fast_options(kafka, discovery_interval_s=0.2)
        admin.create_topics({options.topic("frames"): {"num_partitions": 1}}, wait_for_metadata=True)
        with caplog.at_level(logging.WARNING):
            bus = make_bus(options)
        assert "has 1 partitions, configured are 2" in caplog.text
        reader = bus.subscribe(["frames"], None)
        publish(bus, "frames", "before")
        records = read_existing(reader, PATIENCE_S)
        admin.create_partitions({options.topic("frames"): 3})
        until(lambda: reader.poll(0.1) or len(reader.positions()) == 3, "new partitions")
        later = make_bus(options)
        publish_frames(later, 20)
        records += read(reader, 20)
        assert {record.partition for record in records} == {0, 1, 2}
        reader.close()
        later.close()
        bus.close()


class TestConnection:
    def test_the_right_password_opens_and_is_never_shown(
        self, kafka: KafkaBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file = tmp_path / "password"
        file.write_text(SASL_PASSWORD + "\n")
        options = sasl_options(kafka, sasl_password_file=file)
        with caplog.at_level(logging.DEBUG):
            bus = make_bus(options)
            subscription = bus.subscribe(["findings"], "g")
            publish(bus, "findings", "secret or not")
            assert texts(read(subscription, 1)) == ["secret or not"]
            subscription.close()
            bus.close()
        assert len(caplog.records) > 20
        assert SASL_PASSWORD not in caplog.text
        assert SASL_PASSWORD not in repr(options) + str(options) + options.model_dump_json()

    def test_a_wrong_password_is_told_and_never_shown(self, kafka: KafkaBroker, caplog: pytest.LogCaptureFixture) -> None:
        wrong = "not-the-password-at-all"
        threads = set(threading.enumerate())
        with (
            caplog.at_level(logging.DEBUG),
            pytest.raises(BusError, match=r"check security_protocol SASL_PLAINTEXT.*its password") as raised,
        ):
            make_bus(sasl_options(kafka, sasl_password=wrong, connect_timeout_s=1.0))
        assert wrong not in str(raised.value) + caplog.text
        assert set(threading.enumerate()) <= threads

    def test_a_file_that_is_not_there_is_named(self, kafka: KafkaBroker, tmp_path: Path) -> None:
        with pytest.raises(BusError, match=r"sasl_password_file: No such file or directory: .*nowhere"):
            make_bus(sasl_options(kafka, sasl_password_file=tmp_path / "nowhere"))
        with pytest.raises(BusError, match=r"ssl_cafile: No such file or directory: .*ca.pem"):
            make_bus(fast_options(kafka, security_protocol="SSL", ssl_cafile=tmp_path / "ca.pem"))


def sasl_options(kafka: KafkaBroker, **changes: Any) -> KafkaOptions:
    login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": SASL_USER}
    return fast_options(kafka, bootstrap_servers=kafka.sasl_bootstrap, **login, **changes)


class TestReading:
    def test_keys_and_values_of_third_parties_do_not_stop_a_reader(self, kafka: KafkaBroker) -> None:
        from kafka import KafkaProducer  # noqa: PLC0415

        options = fast_options(kafka)
        bus = make_bus(options)
        producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
        for key, value in ((None, b"no key"), (b"\xff\xfe", b"no text"), (b"k", None), ("schlüssel".encode(), b"fine")):
            producer.send(options.topic("findings"), key=key, value=value)
        producer.flush()
        producer.close()
        reader = bus.subscribe(["findings"], None)
        records = read_existing(reader, PATIENCE_S)
        assert [(r.key, r.value) for r in records] == [("", b"no key"), (r"\xff\xfe", b"no text"), ("k", b""), ("schlüssel", b"fine")]
        reader.close()
        bus.close()

    def test_records_deleted_before_they_were_read_are_told(self, kafka: KafkaBroker, admin: Any, caplog: pytest.LogCaptureFixture) -> None:
        from kafka import TopicPartition as KafkaPartition  # noqa: PLC0415

        options = fast_options(kafka)
        bus = make_bus(options)
        publish(bus, "findings", *map(str, range(10)))
        first = bus.subscribe(["findings"], "g")
        read(first, 4)
        first.commit({FINDINGS: 4})
        first.close()
        admin.delete_records({KafkaPartition(options.topic("findings"), 0): 7})
        second = bus.subscribe(["findings"], "g")
        with caplog.at_level(logging.ERROR):
            assert texts(read(second, 3)) == ["7", "8", "9"]
        assert "3 records from offset 4 on were deleted before they were read" in caplog.text
        second.close()
        bus.close()

    def test_a_consumer_killed_between_poll_and_commit_leaves_its_records_to_the_next(self, kafka: KafkaBroker) -> None:
        options = fast_options(kafka)
        bus = make_bus(options)
        publish(bus, "findings", *map(str, range(10)))
        script = (
            "import sys, time; from daemon.bus.kafka import KafkaBus, KafkaOptions; from daemon.bus.topics import Topic\n"
            "bus = KafkaBus(KafkaOptions.model_validate_json(sys.argv[1]), {'findings': Topic('findings')})\n"
            "subscription = bus.subscribe(['findings'], 'g')\n"
            "while not (records := subscription.poll(1.0)): pass\n"
            "print(','.join(str(r.offset) for r in records), flush=True)\n"
            "time.sleep(60)\n"
        )
        command = [sys.executable, "-W", "ignore", "-c", script, options.model_dump_json()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            seen = process.stdout.readline().strip()
            process.send_signal(signal.SIGKILL)
        assert seen == "0,1,2,3,4,5,6,7,8,9"
        subscription = bus.subscribe(["findings"], "g")
        assert [record.offset for record in read(subscription, 10)] == list(range(10))
        subscription.close()
        bus.close()

    def test_added_partitions_are_shared_out_though_a_member_is_slow(self, kafka: KafkaBroker, admin: Any) -> None:
        """The leader's polls time out while the group waits for the other member: it must go on where it was."""
        options = fast_options(kafka, discovery_interval_s=0.2)
        bus = make_bus(options)
        leader = bus.subscribe(["frames"], "g")
        until(lambda: leader.poll(0.05) or len(leader.positions()) == 2, "both partitions")
        slow = bus.subscribe(["frames"], "g")
        until(lambda: leader.poll(0.05) or slow.poll(0.05) or len(leader.positions()) == len(slow.positions()) == 1, "one each")
        admin.create_partitions({options.topic("frames"): 4})
        until(lambda: leader.poll(0.02) or not leader.positions(), "the leader has seen it and waits for the other")
        for _ in range(20):
            leader.poll(0.02)
        until(lambda: leader.poll(0.02) or slow.poll(0.02) or len(leader.positions()) == len(slow.positions()) == 2, "two each")
        leader.close()
        slow.close()
        bus.close()

    def test_a_member_that_stops_polling_loses_its_partitions_and_is_told(self, kafka: KafkaBroker) -> None:
        options = fast_options(kafka, max_poll_interval_s=1.0, session_timeout_s=1.0)
        bus = make_bus(options)
        publish(bus, "findings", *map(str, range(4)))
        refused: list[frozenset[TopicPartition]] = []

        def on_revoke(partitions: frozenset[TopicPartition]) -> None:
            with pytest.raises(NotAssigned):
                slow.commit(dict.fromkeys(partitions, 4))
            refused.append(partitions)

        slow = bus.subscribe(["findings"], "g", on_revoke=on_revoke)
        assert len(read(slow, 4)) == 4
        quick = bus.subscribe(["findings"], "g")
        assert len(read(quick, 4)) == 4  # what the slow one did not commit
        quick.commit({FINDINGS: 4})
        with pytest.raises(NotAssigned):
            slow.commit({FINDINGS: 4})
        assert refused == []
        read_until(lambda _: refused, quick, slow)  # the slow one is told at its next poll
        assert refused == [frozenset({FINDINGS})]
        quick.close()
        slow.close()
        bus.close()
