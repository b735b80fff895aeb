"""What is pushed to the page reaches stages of other processes over a real Kafka, and a broker that is away is said."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from daemon.bus.kafka import KafkaBus
from daemon.clock import SystemClock
from daemon.ingest_message import read_message
from daemon.settings import parse
from daemon.store.store import Store
from daemon.web.stage import WebStage
from deploy.kafka.broker import KafkaBroker
from tests.kafka_broker import fast_options
from tests.page import CONFIG

PATIENCE_S = 60.0


@pytest.mark.kafka
def test_what_is_pushed_is_acknowledged_by_kafka(kafka: KafkaBroker, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("sesame\n")
    settings = parse(CONFIG.replace("[web]", f'[web]\ningest_token_file = "{tmp_path / "token"}"'))
    bus, store = KafkaBus(fast_options(kafka)), Store(f"sqlite:///{tmp_path}/page.db")
    stage = WebStage(settings, bus, store, SystemClock())
    stage.step(0.1)
    messages = [{"source": source, "time": time.time(), "values": {"n": n}} for n, source in enumerate(("a", "b", "a"))]
    answer = httpx.post(f"{stage.url}/ingest", json=messages, headers={"Authorization": "Bearer sesame"}, timeout=PATIENCE_S)
    assert (answer.status_code, answer.json()) == (202, {"taken": 3})
    topic = bus.subscribe(["ingest"], None)
    assert sum(topic.end_offsets().values()) == 3  # acknowledged: it is there before anybody reads
    heard: list[tuple[str, float]] = []
    deadline_s = time.monotonic() + PATIENCE_S
    while len(heard) < 3:
        assert time.monotonic() < deadline_s
        heard += [(record.key, read_message(record.value).values["n"]) for record in topic.poll(0.5)]
    assert [n for key, n in heard if key == "a"] == [0, 2]
    assert ("b", 1.0) in heard
    topic.close()
    stage.close()
    bus.close()
    store.close()
