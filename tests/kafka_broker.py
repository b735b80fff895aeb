"""A real Kafka broker for the tests, one for the whole run: `make kafka` starts the same one (deploy/kafka/broker.py)."""

from __future__ import annotations

import gc
import uuid
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from daemon.bus.kafka_options import KafkaOptions
from deploy.kafka.broker import INSTALL, KafkaBroker, missing_programs

SASL_USER = "shiftwatch"
SASL_PASSWORD = "correct-horse-battery-staple"


def pytest_configure(config: pytest.Config) -> None:
    """kafka-python reads its schemas in a way that Python 3.11 calls deprecated, and drops sockets that did not connect."""
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")
    never_connected = r"unclosed <socket\.socket fd=\d+, family=\d+, type=1, proto=6, laddr=\('0\.0\.0\.0'"
    config.addinivalue_line("filterwarnings", f"ignore:{never_connected}:ResourceWarning")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """The same for those that are let go of after the last test, when its filters are no longer in force."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(3):
            gc.collect()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A running broker; a test that stops it starts it again. Its second listener asks for a password."""
    from tests.conftest import missing  # noqa: PLC0415 - conftest imports this module as a plugin

    absent = missing_programs()
    if absent:
        missing(f"Apache Kafka ({' and '.join(absent)}): {INSTALL}")
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"), users={SASL_USER: SASL_PASSWORD})
    with broker:
        yield broker
    gc.collect()  # sockets that never connected are dropped here, where the warnings above are known


def fast_options(broker: KafkaBroker, **changes: Any) -> KafkaOptions:
    """Options for a broker on this machine: topics of its own, short time-outs so that groups rebalance fast."""
    settings: Mapping[str, Any] = {
        "bootstrap_servers": broker.bootstrap,
        "prefix": f"test-{uuid.uuid4().hex[:12]}",
        "session_timeout_s": 1.5,
        "heartbeat_interval_s": 0.1,
        "max_poll_interval_s": 20.0,
        "delivery_timeout_s": 30.0,
        **changes,
    }
    return KafkaOptions(**settings)
