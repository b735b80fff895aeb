"""The collect stage: every source on its own schedule, and an end without anything left behind."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from collectors.collector import Collected, CollectError
from collectors.frame import Channel, Frame, Layout
from daemon import metrics, plugins
from daemon.bus.memory import MemoryBus
from daemon.clock import SystemClock
from daemon.collect import ingest as ingest_module
from daemon.collect import source as source_module
from daemon.collect import stage as module
from daemon.collect.stage import CollectStage
from daemon.settings import Settings
from tests.daemon.collecting import Output, ScriptedCollector

PATIENCE_S = 20.0
Script = Callable[[], Iterator[Collected | Exception]]


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.005)


def reading(source: str) -> Script:
    """One row at the present time."""

    def collect() -> Iterator[Collected | Exception]:
        layout = Layout(source, (Channel("a", "voltage", "V"),))
        yield Frame(layout, np.array([time.time_ns()], dtype=np.int64), np.ones((1, 1)))

    return collect


class Plant:
    """A bus, and a stage for sources that do what their scripts say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bus = MemoryBus()
        self.output = Output(self.bus)
        self.scripts: dict[str, Script] = {}
        self.collectors: dict[str, ScriptedCollector] = {}
        monkeypatch.setattr(module, "HEARTBEAT_S", 0.05)
        monkeypatch.setattr(plugins, "load", lambda _group, _name: self._collector)

    def _collector(self, origin: Any, _options: Any) -> ScriptedCollector:
        made = ScriptedCollector(self.scripts[origin.source])
        self.collectors[origin.source] = made
        return made

    def stage(self, **sections: dict[str, Any]) -> CollectStage:
        sources = {name: {"collector": "any", "period_s": 0.05} | section for name, section in sections.items()}
        return CollectStage(Settings.model_validate({"experiment": "DEMO", "source": sources}), self.bus, SystemClock())

    def rows(self, source: str) -> int:
        return sum(block.identity.stream == source for block in self.output.data)

    def beats(self, source: str) -> list[str]:
        """Problems of its heartbeats."""
        return [block.problem for block in self.output.beats if block.identity.stream == source]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    before = set(threading.enumerate())
    made = Plant(monkeypatch)
    yield made
    made.output.close()
    made.bus.close()
    assert set(threading.enumerate()) <= before


def test_sources_are_read_again_and_again_with_heartbeats_between(plant: Plant) -> None:
    plant.scripts = {"hv": reading("hv"), "daq": reading("daq")}
    stage = plant.stage(hv={}, daq={})
    stage.step(0.0)
    until(lambda: plant.rows("hv") > 2 and plant.rows("daq") > 2, "rows of both")
    until(lambda: len(plant.beats("hv")) > 2, "heartbeats")
    stage.close()
    assert [collector.closed for collector in plant.collectors.values()] == [1, 1]


def test_one_that_hangs_delays_no_other_and_says_so(plant: Plant) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hang() -> Iterator[Collected | Exception]:
        entered.set()
        assert go_on.wait(PATIENCE_S)
        yield from reading("slow")()

    plant.scripts = {"slow": hang, "hv": reading("hv")}
    stage = plant.stage(slow={"timeout_s": 0.01}, hv={})
    stage.step(0.0)
    assert entered.wait(PATIENCE_S)
    rows = plant.rows("hv")
    until(lambda: plant.rows("hv") > rows + 3, "rows of the other")
    until(lambda: "a run has taken more than 0.01 s" in plant.beats("slow"), "its problem")
    assert plant.rows("slow") == 0
    complete_ns = {block.complete_ns for block in plant.output.beats if block.identity.stream == "slow" and block.problem}
    assert len(complete_ns) == 1
    go_on.set()
    until(lambda: plant.rows("slow"), "the slow one")
    stage.close()


def test_one_that_fails_is_tried_again(plant: Plant) -> None:
    failures = iter([CollectError("down"), RuntimeError("bug")])

    def collect() -> Iterator[Collected | Exception]:
        failure = next(failures, None)
        yield from reading("hv")() if failure is None else iter([failure])

    plant.scripts = {"hv": collect}
    stage = plant.stage(hv={})
    stage.step(0.0)
    until(lambda: plant.rows("hv") > 1, "rows after two failures")
    stage.close()


def test_one_whose_next_turn_is_far_is_tried_again_soon(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "FIRST_RETRY_S", 0.02)
    failures = iter([CollectError("down"), CollectError("down"), CollectError("down")])

    def collect() -> Iterator[Collected | Exception]:
        failure = next(failures, None)
        yield from reading("disks")() if failure is None else iter([failure])

    plant.scripts = {"disks": collect}
    stage = plant.stage(disks={"period_s": 3600})
    stage.step(0.0)
    until(lambda: plant.rows("disks") == 1, "a row after three failures")
    stage.close()


def test_a_source_is_in_the_metrics_before_its_first_turn(plant: Plant) -> None:
    plant.scripts = {"quiet": reading("quiet")}
    stage = plant.stage(quiet={"period_s": 20, "place": "CMS/HALL"})
    sample = REGISTRY.get_sample_value
    assert sample("shiftwatch_source_info", {"source": "quiet", "collector": "any", "place": "CMS/HALL"}) == 1
    assert sample("shiftwatch_source_silent_after_seconds", {"source": "quiet"}) == 60
    assert sample("shiftwatch_collect_failures_total", {"source": "quiet"}) == 0
    stage.close()


def test_conditions_have_a_topic_of_their_own(plant: Plant) -> None:
    plant.scripts = {"lhc": reading("lhc")}
    reader = plant.bus.subscribe(["conditions"], None)
    stage = plant.stage(lhc={"role": "conditions"})
    stage.step(0.0)
    until(lambda: reader.poll(0.0), "conditions")
    stage.close()
    reader.close()


class TestEnd:
    def test_before_it_was_ever_stepped(self, plant: Plant) -> None:
        plant.scripts = {"hv": reading("hv")}
        plant.stage(hv={}).close()
        assert plant.collectors["hv"].closed == 1

    def test_waits_for_what_is_being_read_and_sends_it(self, plant: Plant) -> None:
        entered, go_on = threading.Event(), threading.Event()

        def collect() -> Iterator[Collected | Exception]:
            entered.set()
            assert go_on.wait(PATIENCE_S)
            yield from reading("hv")()

        plant.scripts = {"hv": collect}
        stage = plant.stage(hv={"period_s": 60})
        stage.step(0.0)
        assert entered.wait(PATIENCE_S)
        closing = threading.Thread(target=stage.close)
        closing.start()
        assert plant.collectors["hv"].closed == 0
        go_on.set()
        closing.join(PATIENCE_S)
        assert (plant.rows("hv"), plant.collectors["hv"].closed) == (1, 1)

    def test_one_that_hangs_is_left_behind_and_named(
        self, plant: Plant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(module, "LAST_TURN_S", 0.05)
        entered, go_on = threading.Event(), threading.Event()

        def hang() -> Iterator[Collected | Exception]:
            entered.set()
            assert go_on.wait(PATIENCE_S)
            return iter(())

        plant.scripts = {"stuck": hang, "hv": reading("hv")}
        stage = plant.stage(stuck={"period_s": 60}, hv={"period_s": 60})
        stage.step(0.0)
        assert entered.wait(PATIENCE_S)
        until(lambda: plant.rows("hv"), "a row of the other")
        stage.close()
        assert "source left behind source=stuck" in caplog.text
        assert "source=hv" not in caplog.text
        go_on.set()
        until(lambda: not any(t.name.startswith("ThreadPoolExecutor") for t in threading.enumerate()), "its thread")

    def test_one_that_cannot_be_closed_leaves_no_other_open(self, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
        plant.scripts = {"hv": reading("hv"), "daq": reading("daq")}
        stage = plant.stage(hv={}, daq={})

        def fail() -> None:
            raise OSError("no")

        flushed: list[float] = []
        monkeypatch.setattr(plant.collectors["daq"], "close", fail)
        monkeypatch.setattr(plant.bus, "flush", flushed.append)
        with pytest.raises(OSError, match="no"):
            stage.close()
        assert plant.collectors["hv"].closed == 1
        assert flushed  # and what they yielded is sent

    def test_where_one_source_cannot_be_opened_the_others_are_closed(self, plant: Plant) -> None:
        plant.scripts = {"hv": reading("hv")}
        with pytest.raises(KeyError, match="unknown"):
            plant.stage(hv={}, unknown={})
        assert plant.collectors["hv"].closed == 1


def test_what_third_parties_publish_becomes_rows(plant: Plant) -> None:
    stage = plant.stage()
    messages = [{"source": "weather", "time": time.time(), "values": {"temperature": 21.5}}, {"source": "weather"}]
    for message in messages:
        plant.bus.publish("ingest", "weather", json.dumps(message).encode())
    stage.step(0.0)
    (block,) = plant.output.data
    assert isinstance(block.content, Frame)
    assert (block.content.layout.source, block.content.values.tolist()) == ("weather", [[21.5]])
    assert [letter.origin for letter in plant.output.letters] == ["ingest"]
    stage.close()


def test_sources_that_third_parties_never_name_again_are_forgotten(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_module, "MOST_SOURCES", 5)
    stage = plant.stage()

    def push(source: str) -> None:
        message = {"source": source, "time": time.time(), "values": {"temperature": 21.5}}
        plant.bus.publish("ingest", source, json.dumps(message).encode())
        stage.step(0.0)

    for number in range(20):
        push("weather")
        push(f"job-{number}")
    rows = {sample.labels["source"] for metric in metrics.ROWS.collect() for sample in metric.samples}
    assert {"weather", "job-19"} <= rows
    assert "job-3" not in rows
    assert len(stage._ingest._publishers) == len(stage._ingest._frames) == 5
    assert stage._ingest.heard == set()
    push("job-3")
    rows_of = Counter(block.identity.stream.partition("#")[0] for block in plant.output.data)
    assert (rows_of["weather"], rows_of["job-3"]) == (20, 2)
    stage.close()
