"""The contract case of kafka_topic: a topic of its own on a real broker that asks for a password."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from pathlib import Path

from collectors.collector import Collector
from collectors.kafka_topic import KafkaTopicCollector, KafkaTopicOptions
from deploy.kafka.broker import INSTALL, KafkaBroker, missing_programs
from tests.collectors.case import BAD, ORIGIN, SECRET, Case

USER = "reader"


class _Shared:
    """One broker for all tests of the contract: it takes seconds to start."""

    broker: KafkaBroker | None = None

    @classmethod
    def running(cls) -> KafkaBroker:
        """The broker, started where it does not run. Skips, or fails in CI, where it cannot be."""
        from tests.conftest import missing  # noqa: PLC0415 - a plugin of pytest, not a module of tests

        if cls.broker is None:
            if absent := missing_programs():
                missing(f"Apache Kafka ({' and '.join(absent)}): {INSTALL}")
            folder = Path(tempfile.mkdtemp(prefix="kafka-contract-"))
            cls.broker = KafkaBroker(folder, users={USER: SECRET})
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            atexit.register(cls.broker.kill)  # registered last, run first
        cls.broker.start()
        return cls.broker


class KafkaTopicCase(Case):
    kind = KafkaTopicCollector

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._broker = _Shared.running()
        from tests.collectors.kafka_topics import new_topic  # noqa: PLC0415 - only where there is a broker

        self._topic = new_topic(self._broker)

    def build(self) -> Collector:
        options = {
            "bootstrap_servers": self._broker.sasl_bootstrap,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_username": USER,
            "sasl_password": SECRET,
            "topics": [self._topic],
            "group_id": f"group-of-{self._topic}",
            "start": "earliest",
            "values": {"victim": "victim", "survivor": "survivor"},
            "request_timeout_s": 5,
        }
        return KafkaTopicCollector(ORIGIN, KafkaTopicOptions.model_validate(options))

    def _publish(self, *values: bytes) -> None:
        from tests.collectors.kafka_topics import publish  # noqa: PLC0415

        self._broker.start()
        publish(self._broker, self._topic, values)

    def _message(self, victim: str) -> bytes:
        return f'{{"victim": {victim}, "survivor": 2}}'.encode()

    def good(self) -> None:
        self._publish(self._message("1.5"))

    def empty(self) -> None:
        self._publish(b"")

    def half(self) -> None:
        self._publish(self._message("1.5")[:-5])

    def bad(self, what: str) -> None:
        self._publish(self._message(json.dumps(BAD[what]) if what == "text" else BAD[what]))

    def dead(self) -> str:
        self._broker.kill()
        return self._broker.sasl_bootstrap


CASES = (KafkaTopicCase,)
