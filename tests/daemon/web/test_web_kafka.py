"""The page beside stages of other processes: it hears them over a real Kafka, and labels reach them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from daemon import messages
from daemon.bus.kafka import KafkaBus
from daemon.clock import SystemClock
from daemon.messages import Progress, StageStatus
from daemon.records import Label, LabelKind
from daemon.settings import parse
from daemon.store.store import Store
from daemon.web.stage import WebStage
from daemon.web.views.sources import staleness
from deploy.kafka.broker import KafkaBroker
from tests.kafka_broker import fast_options
from tests.page import CONFIG, ESSENTIAL, S, incident

PATIENCE_S = 60.0


@pytest.mark.kafka
def test_page_hears_other_processes_and_is_heard(kafka: KafkaBroker, tmp_path: Path) -> None:
    settings = parse(CONFIG)
    bus, store = KafkaBus(fast_options(kafka)), Store(f"sqlite:///{tmp_path}/page.db")
    for name in ESSENTIAL:
        bus.publish("state", f"host/1/{name}", messages.encode(StageStatus("host/1", name, time.time_ns(), {"state": "running"})))
    bus.publish("findings", "hv", messages.encode(Progress("hv", S)))
    bus.publish("incidents", "a1b2c3", messages.encode(incident()))
    bus.flush(30.0)
    feedback = bus.subscribe(["feedback"], None)
    stage = WebStage(settings, bus, store, SystemClock())
    deadline_s = time.monotonic() + PATIENCE_S
    while not stage.site.live.snapshot().ready:
        assert time.monotonic() < deadline_s
        stage.step(0.2)
    shown = stage.site.live.snapshot()
    assert [i.id for i in shown.incidents] == ["a1b2c3"]
    assert staleness(shown, time.time_ns()) == ()
    assert stage.site.desk.say(incident(), LabelKind.REAL, "J.", "recycled", 1.0)
    heard: list[Label] = []
    while not heard:
        assert time.monotonic() < deadline_s
        heard = [m for record in feedback.poll(0.5) if isinstance(m := messages.decode(record.value), Label)]
    assert (heard[0].who, heard[0].comment) == ("J.", "recycled")
    stage.close()
    feedback.close()
    bus.close()
    store.close()
