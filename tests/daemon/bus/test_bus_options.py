"""Topics and options of the bus, and a Kafka cluster that is not there: nothing here needs a broker."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from daemon.bus.bus import BusError
from daemon.bus.kafka_options import KafkaOptions
from daemon.bus.topics import standard_topics
from deploy.kafka import broker as kafka_broker
from deploy.kafka.broker import BrokerError, free_port


def make_bus(options: KafkaOptions) -> Any:
    from daemon.bus.kafka import KafkaBus  # noqa: PLC0415 - kafka-python only where it is asked for

    return KafkaBus(options)


def test_a_broker_that_is_not_there_is_named_and_nothing_is_left_behind() -> None:
    port = free_port()
    threads = set(threading.enumerate())
    with pytest.raises(BusError, match=rf"no Kafka broker answers within 0.3 s \(127.0.0.1:{port}: Connection refused\)"):
        make_bus(KafkaOptions(bootstrap_servers=(f"127.0.0.1:{port}",), connect_timeout_s=0.3))
    assert set(threading.enumerate()) <= threads


def test_a_server_that_is_no_broker_is_named_and_nothing_is_left_behind() -> None:
    threads = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(BusError, match=rf"no session with Kafka at 127.0.0.1:{port}: .*PLAINTEXT"):
            make_bus(KafkaOptions(bootstrap_servers=(f"127.0.0.1:{port}",), connect_timeout_s=0.5))
    assert set(threading.enumerate()) <= threads


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"bootstrap_servers": "broker1"}, "'broker1' is not host:port"),
        ({"bootstrap_servers": "broker1:9092, broker2:99999"}, "'broker2:99999' is not host:port"),
        ({"security_protocol": "SASL_SSL", "sasl_username": "u"}, "needs sasl_username and sasl_password_file or sasl_password"),
        ({"heartbeat_interval_s": 5.0}, "at most a third of session_timeout_s"),
        ({"delivery_timeout_s": 1.0}, "delivery_timeout_s must be at least"),
        ({"ssl_keyfile": "key.pem"}, "ssl_keyfile needs ssl_certfile"),
    ],
)
def test_options_that_cannot_work_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        KafkaOptions(**settings)


def test_only_what_is_keyed_by_source_is_spread_over_partitions() -> None:
    topics = standard_topics(5)
    assert {name: topic.partitions for name, topic in topics.items() if topic.partitions > 1} == {"frames": 5, "ingest": 5}
    assert all(topic.partitions_fixed for topic in topics.values() if topic.partitions == 1)


def test_a_compacted_topic_never_forgets_by_age_and_others_do() -> None:
    for topic in standard_topics().values():
        settings = topic.kafka_settings(1_000_000)
        kept = "compact,delete" if topic.expires else "compact"
        assert settings["cleanup.policy"] == (kept if topic.compacted else "delete")
        assert ("retention.ms" in settings) is (topic.expires or not topic.compacted)
    assert standard_topics()["conditions"].kafka_settings(1)["min.compaction.lag.ms"] == str(7 * 86_400_000)


def test_servers_may_be_one_string() -> None:
    options = KafkaOptions(bootstrap_servers="broker1:9092, [::1]:9093")  # type: ignore[arg-type] # as an environment variable has it
    assert options.bootstrap_servers == ("broker1:9092", "[::1]:9093")


def test_a_broker_for_tests_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIFTWATCH_KAFKA_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kafka_broker.missing_programs() == ["java", "mvn"]
    with pytest.raises(BrokerError, match="apt-get install default-jre-headless maven"):
        kafka_broker.KafkaBroker(tmp_path / "data").start()
