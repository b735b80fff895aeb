"""An agent as a process: a broker that goes and comes back, the agent killed meanwhile, and what it costs its node."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from benchmarks.agent import HEAVY, Agent, Exporter, measure
from collectors.frame import Frame, Layout
from collectors.wire import Block, decode, decode_layout
from daemon import messages
from daemon.bus.bus import Record, read_existing
from daemon.bus.kafka import KafkaBus
from daemon.messages import FindingReport
from deploy.kafka.broker import KafkaBroker
from tests.kafka_broker import fast_options

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

RULES = """
[detector.limits]
raise_rows = 2
clear_rows = 2
[[detector.limits.rules]]
channel = "temperature"
high = 90
condition = "overheated"
"""
SHARED = """
experiment = "FARM"
[bus]
driver = "kafka"
[bus.kafka]
bootstrap_servers = "{broker}"
prefix = "{prefix}"
frames_partitions = 2
delivery_timeout_s = 12
"""
NODE = """
[agent]
enabled = true
node = "node17"
summary_s = 2
heartbeat_s = 1
[http]
port = 0
[source."board.{{node}}"]
collector = "prometheus"
url = "http://127.0.0.1:{port}/metrics"
place = "FARM/{{node}}"
period_s = 0.2
detectors = ["limits"]
"""
CENTRE = """
[store]
url = "sqlite:///{folder}/centre.db"
[http]
enabled = false
[web]
enabled = false
[source."board.node17"]
collector = "pushed"
place = "FARM/node17"
detectors = ["limits"]
"""
SOURCE = "board.node17"


class Thermometer(HTTPServer):
    """An exporter with one temperature."""

    celsius = 40.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Answer(BaseHTTPRequestHandler):
    """What it says."""

    server: Thermometer

    def do_GET(self) -> None:
        body = f"# TYPE temperature gauge\ntemperature {self.server.celsius}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: it would be on the terminal."""


class Farm:
    """A node with a thermometer, its agent, and the detect stage of the centre."""

    def __init__(self, folder: Path, broker: KafkaBroker) -> None:
        self.folder, self.prefix = folder, f"agent-{uuid.uuid4().hex[:8]}"
        self.options = fast_options(broker, prefix=self.prefix, frames_partitions=2)
        self.thermometer = Thermometer()
        shared = SHARED.format(broker=broker.bootstrap, prefix=self.prefix)
        self._config = shared + NODE.format(port=self.thermometer.server_port) + RULES
        centre = folder / "centre.toml"
        centre.write_text(shared + CENTRE.format(folder=folder) + RULES)
        self.bus = KafkaBus(self.options)
        with (folder / "centre.log").open("wb") as log:
            arguments = [sys.executable, "-m", "daemon", "run", "-c", str(centre), "--stage", "detect"]
            self._centre = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=Path(__file__).parents[2])
        self.agent = self.start()

    def start(self) -> Agent:
        self.agent = Agent(self.folder, self._config)
        return self.agent

    def records(self, topic: str) -> list[Record]:
        subscription = self.bus.subscribe([topic], None)
        try:
            return read_existing(subscription, 30.0)
        finally:
            subscription.close()

    def blocks(self) -> list[Block]:
        """What a reader that goes by identity takes of the topic of frames."""
        layouts: dict[str, Layout] = {}
        for record in self.records("layouts"):
            layout = decode_layout(record.value)
            layouts[layout.digest] = layout
        newest: dict[str, tuple[int, int]] = {}
        taken = []
        for record in self.records("frames"):
            block = decode(record.value, layouts)
            place = block.identity.epoch, block.identity.sequence
            if place > newest.get(block.identity.stream, (-1, -1)):
                newest[block.identity.stream] = place
                taken.append(block)
        return taken

    def reports(self) -> list[FindingReport]:
        found = [messages.decode(record.value) for record in self.records("findings")]
        return [message for message in found if isinstance(message, FindingReport)]

    def stop(self) -> None:
        self.agent.kill()
        self._centre.terminate()
        self._centre.wait(60)
        self.bus.close()
        self.thermometer.stop()


@pytest.fixture
def farm(tmp_path: Path, kafka: KafkaBroker) -> Iterator[Farm]:
    made = Farm(tmp_path, kafka)
    yield made
    kafka.start()  # a test that failed may have left it away
    made.stop()


def test_an_outage_in_which_the_agent_is_killed_too_loses_and_doubles_nothing(farm: Farm, kafka: KafkaBroker) -> None:
    rows = f'shiftwatch_rows_total{{source="{SOURCE}"}}'
    farm.agent.wait_for(rows, 10)
    farm.agent.wait_for("shiftwatch_spool_connected", 1)
    kafka.kill()
    farm.agent.wait_for('shiftwatch_spool_records{lane="frames"}', 5)
    farm.thermometer.celsius = 95.0
    time.sleep(4.0)
    farm.thermometer.celsius = 40.0
    time.sleep(2.0)
    before = farm.agent.metric(rows)
    farm.agent.kill()
    (farm.folder / "agent.log").unlink()
    farm.start()
    farm.agent.wait_for(rows, 10)
    assert "broker away" in farm.agent.said()
    kafka.start()
    farm.agent.wait_for("shiftwatch_spool_connected", 1)
    farm.agent.wait_for(rows, 40)
    after = farm.agent.metric(rows)
    farm.agent.stop()

    blocks = [block for block in farm.blocks() if block.identity.stream == SOURCE]
    for epoch in {block.identity.epoch for block in blocks}:
        sequences = [block.identity.sequence for block in blocks if block.identity.epoch == epoch]
        assert sequences == list(range(len(sequences))), "each block once, in order, none missing"
    times = np.concatenate([block.content.time_ns for block in blocks if isinstance(block.content, Frame)])
    assert (np.diff(times) > 0).all()
    assert before + after <= len(times) <= before + after + 10

    summaries = [block for block in farm.blocks() if block.identity.stream == f"{SOURCE}#summary"]
    assert max(float(block.content.values[0, 2]) for block in summaries if isinstance(block.content, Frame)) == 95.0

    found = [report for report in farm.reports() if report.finding.unit.condition == "overheated"]
    assert found[0].finding.cleared_ns is None
    assert [report.finding.cleared_ns is None for report in found].count(False) == 1, "between them it may be drawn again"
    assert found[-1].finding.cleared_ns is not None
    assert len({report.finding.key for report in found}) == 1
    assert {report.stream for report in farm.reports()} == {f"{SOURCE}@agent"}, "the centre does not judge it again"


@pytest.mark.parametrize("broker_there", [True, False], ids=["broker there", "broker away"])
def test_what_an_agent_costs_its_node(tmp_path: Path, kafka: KafkaBroker, broker_there: bool) -> None:
    with Exporter() as exporter:
        address = kafka.bootstrap if broker_there else "127.0.0.1:9"
        cost, modules = measure(tmp_path, address, exporter.port, seconds=20.0, period_s=1.0)
    assert [module for module in HEAVY if module in modules] == []
    assert cost.rss_mib <= 120, cost
    assert "kafka" in modules
