"""Stages in processes of their own over a real Kafka: whatever is killed, no incident is lost and none is doubled."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from collectors.frame import Channel, Frame, Layout
from daemon import messages
from daemon.bus.bus import read_existing
from daemon.bus.kafka import KafkaBus
from daemon.collect.publisher import Publisher
from daemon.records import Incident, IncidentState
from daemon.settings import Settings, parse
from daemon.store.store import Store
from deploy.kafka.broker import KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SOURCES = [f"crate{i}" for i in range(6)]
START_NS = 1_700_000_000_000_000_000
STEP_NS = 1_000_000_000
ROWS = 600
EPISODES = 4

CONFIG = """
experiment = "TEST"
[bus]
driver = "kafka"
[bus.kafka]
bootstrap_servers = "{bootstrap}"
prefix = "{prefix}"
frames_partitions = 4
session_timeout_s = 3
heartbeat_interval_s = 0.5
[store]
url = "sqlite:///{folder}/stages.db"
[http]
enabled = false
[web]
enabled = false
[correlation]
max_wait_s = 1000000
idle_after_s = 1000000
join_window_s = 0
reopen_window_s = 0
[detector.limits]
raise_rows = 2
clear_rows = 2
[[detector.limits.rules]]
channel = "voltage"
high = 10
condition = "overvoltage"
"""


class Plant:
    """The stages as processes, and what is fed to them."""

    def __init__(self, folder: Path, broker: KafkaBroker) -> None:
        self.prefix = f"stages-{uuid.uuid4().hex[:8]}"
        sources = "".join(f'[source.{s}]\ncollector = "pushed"\nplace = "TEST/{s}"\ndetectors = ["limits"]\n' for s in SOURCES)
        text = CONFIG.format(bootstrap=broker.bootstrap, prefix=self.prefix, folder=folder) + sources
        self.config = folder / "stages.toml"
        self.config.write_text(text)
        self.settings: Settings = parse(text)
        self.bus = KafkaBus(self.settings.bus.kafka)
        self.store = Store(self.settings.store.url)
        self._folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Starts a stage; "detect-2" is a second one of detect."""
        with (self._folder / f"{name}.log").open("ab") as log:
            arguments = [sys.executable, "-m", "daemon", "run", "-c", str(self.config), "--stage", name.split("-", maxsplit=1)[0]]
            self.running[name] = subprocess.Popen(arguments, stdout=log, stderr=log)

    def wait_until_active(self, **said: str) -> None:
        """Until the log of each stage has a text in it."""
        deadline = time.monotonic() + 60
        while not all(text in (self._folder / f"{name}.log").read_text() for name, text in said.items()):
            assert time.monotonic() < deadline, f"{said} not said within a minute"
            time.sleep(0.1)

    def kill(self, name: str) -> None:
        """SIGKILL: nothing is saved, nothing is said."""
        self.running[name].send_signal(signal.SIGKILL)
        self.running.pop(name).wait(10)

    def stop(self) -> None:
        """Ends everything."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait(30)
        self.bus.close()
        self.store.close()
        gc.collect()

    def feed(self, pause_s: float) -> None:
        """Publishes all rows of all sources in order of time, ten rows a block, with faults that overlap between sources."""
        publishers = {s: Publisher(self.bus, s, "frames", START_NS, time.time_ns) for s in SOURCES}
        layouts = {s: Layout(s, (Channel("voltage", "voltage", "V", place=f"TEST/{s}"),)) for s in SOURCES}
        for first in range(0, ROWS, 10):
            rows = np.arange(first, first + 10)
            for number, source in enumerate(SOURCES):
                values = np.where(bad(rows, number), 12.0, 5.0)[:, None]
                publishers[source].frame(Frame(layouts[source], START_NS + rows * STEP_NS + number, values))
            self.bus.flush(60.0)
            time.sleep(pause_s)
        for publisher in publishers.values():
            publisher.heartbeat(START_NS + (ROWS + 20) * STEP_NS)
        self.bus.flush(60.0)

    def resolved(self) -> list[Incident]:
        return self.store.incidents([IncidentState.RESOLVED], limit=10_000)

    def wait_until_done(self, timeout_s: float = 90.0) -> list[Incident]:
        """All incidents, once as many as expected are resolved and nothing more comes."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and len(self.resolved()) < len(SOURCES) * EPISODES:
            time.sleep(0.3)
        time.sleep(2.0)
        return self.store.incidents(limit=10_000, merged=True)

    def announced(self) -> list[Incident]:
        """What stands in the topic of incidents, in order."""
        subscription = self.bus.subscribe(["incidents"], None)
        records = read_existing(subscription, 30.0)
        subscription.close()
        return [message for r in records if isinstance(message := messages.decode(r.value), Incident)]


def bad(rows: np.ndarray, number: int) -> np.ndarray:
    """Which rows of a source are bad: four episodes of twenty rows each."""
    phase = (rows - 13 * number) % (ROWS // EPISODES)
    return (phase >= 60) & (phase < 80)


def expected() -> Counter[tuple[str, int]]:
    """Source and start of each incident."""
    found: Counter[tuple[str, int]] = Counter()
    for number, source in enumerate(SOURCES):
        rows = np.arange(ROWS)
        flags = bad(rows, number)
        found.update((f"TEST/{source}", int(START_NS + row * STEP_NS + number)) for row in rows[1:] if flags[row] and not flags[row - 1])
    return found


def assert_each_once(plant: Plant, incidents: list[Incident]) -> None:
    assert Counter((i.cause_place, i.started_ns) for i in incidents) == expected()
    assert all(i.state is IncidentState.RESOLVED for i in incidents)
    announced = plant.announced()
    assert {i.id for i in announced} == {i.id for i in incidents}
    last = {i.id: i for i in announced}
    assert last == {i.id: i for i in incidents}, "the last word on each is what stands in the database"


@pytest.fixture
def plant(tmp_path: Path, kafka: KafkaBroker) -> Iterator[Plant]:
    made = Plant(tmp_path, kafka)
    yield made
    made.stop()


def test_killing_stages_at_random_loses_and_doubles_nothing(plant: Plant) -> None:
    chance = random.Random(os.environ.get("SEED", "7"))
    for name in ("detect", "correlate"):
        plant.start(name)
    feeder = threading.Thread(target=plant.feed, args=(0.25,))
    feeder.start()
    for victim in ("detect", "correlate", "detect", "correlate"):
        time.sleep(chance.uniform(2.0, 4.0))
        plant.kill(victim)
        plant.start(victim)
    feeder.join()

    assert_each_once(plant, plant.wait_until_done())


def test_a_second_detect_stage_joins_and_dies_without_a_trace(plant: Plant) -> None:
    for name in ("detect", "correlate"):
        plant.start(name)
    feeder = threading.Thread(target=plant.feed, args=(0.2,))
    feeder.start()
    plant.start("detect-2")
    plant.wait_until_active(**{"detect-2": "detect assigned"})
    time.sleep(2.0)
    plant.kill("detect")
    feeder.join()

    assert_each_once(plant, plant.wait_until_done())


def test_a_broker_that_restarts_is_only_a_pause(plant: Plant, kafka: KafkaBroker) -> None:
    for name in ("detect", "correlate"):
        plant.start(name)
    plant.wait_until_active(detect="detect assigned", correlate="correlate active")
    feeder = threading.Thread(target=plant.feed, args=(0.2,))
    feeder.start()
    time.sleep(4.0)
    kafka.kill()
    time.sleep(1.0)
    kafka.start()
    feeder.join()

    assert_each_once(plant, plant.wait_until_done())
