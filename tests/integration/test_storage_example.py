"""The shipped storage configuration with a real node_exporter, reports of smartctl, and an exporter's answer."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import urllib3

from collectors.frame import Channel, Frame, Kind
from daemon.examples import example_text
from tests.collectors.exporter_metrics import metrics
from tests.collectors.smartctl_reports import ata, attribute
from tests.conftest import missing
from tests.daemon.collecting import Output
from tests.integration.embedded import Embedded
from tests.prometheus_server import Server

SECTOR_BYTES = 512
READ = 'node_disk_read_bytes_total{device="sda"}'
QUIET = """
[http]
enabled = false
[web]
enabled = false
"""


class NodeExporter(Server):
    """The real program; what the kernel says comes from files that the test writes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "node_exporter")
        for name in ("proc", "sys", "udev"):
            (folder / name).mkdir()
        self.counted(0)

    def counted(self, sectors_read: int, *, disks: tuple[str, ...] = ("sda",)) -> None:
        """Kernel counters as they are now: 0.1 ms of time for each sector that was read, and a load of 0.5."""
        lines = [f"8 {i} {disk} 100 5 {sectors_read} 300 50 6 4000 700 3 {sectors_read // 10} 900\n" for i, disk in enumerate(disks)]
        (self.folder / "proc" / "diskstats").write_text("".join(lines))
        (self.folder / "proc" / "loadavg").write_text("0.50 0.40 0.30 1/100 1234\n")
        (self.folder / "proc" / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 400 kB\n")

    def arguments(self) -> list[str]:
        paths = [f"--path.procfs={self.folder}/proc", f"--path.sysfs={self.folder}/sys", f"--path.udev.data={self.folder}/udev"]
        wanted = ["--collector.disable-defaults", "--collector.diskstats", "--collector.loadavg", "--collector.meminfo"]
        return ["prometheus-node-exporter", f"--web.listen-address={self.address}", *paths, *wanted]

    def _is_ready(self) -> bool:
        try:
            return self._pool.request("GET", f"{self.url}/metrics").status == 200
        except urllib3.exceptions.HTTPError:
            return False


class Centre:
    """A computing centre of two nodes, and the daemon with the example's configuration."""

    def __init__(self, folder: Path, node: NodeExporter) -> None:
        self.folder, self.node = folder, node
        (folder / "smartctl").mkdir()
        text = example_text("storage")
        for shipped, here in (
            ("http://127.0.0.1:9100", node.url),
            ("/run/shiftwatch-smartctl", str(folder / "smartctl")),
            ("http://node18.example.org:9633/metrics", (folder / "exporter.prom").as_uri()),
        ):
            assert shipped in text
            text = text.replace(shipped, here)
        self.daemon = Embedded(text + QUIET, folder)
        self._output = Output(self.daemon.bus)

    def disks(self, **reports: dict[str, object]) -> None:
        """What smartctl says on node 17 and what the exporter shows of node 18, a second before they will be read."""
        at_s = int(self.daemon.clock.now_s) + 14
        for name, report in reports.items():
            path = self.folder / ("exporter.prom" if name == "node18" else f"smartctl/{name}.json")
            told = {**report, "local_time": {"time_t": at_s}}
            path.write_text(metrics(told) if name == "node18" else json.dumps(told))
            os.utime(path, (at_s, at_s))

    def turn(self, *sources: str) -> dict[str, str]:
        """Fifteen seconds pass; what is open then."""
        self.daemon.run(*sources, pass_s=15)
        return self.daemon.open_conditions()

    def close(self) -> None:
        self._output.close()
        self.daemon.close()

    def frames(self) -> list[Frame]:
        """All that was published, in order."""
        return [block.content for block in self._output.data if isinstance(block.content, Frame)]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeExporter]:
    if shutil.which("prometheus-node-exporter") is None:
        missing("prometheus-node-exporter: apt-get install prometheus-node-exporter")
    with NodeExporter(tmp_path / "node") as exporter:
        yield exporter


@pytest.fixture
def centre(tmp_path: Path, node: NodeExporter) -> Iterator[Centre]:
    started = Centre(tmp_path, node)
    started.disks(sda=ata("A1", attribute(5, 0)), node18=ata("B2", attribute(5, 0)))
    yield started
    started.close()


def column(frame: Frame, name: str) -> float:
    return float(frame.values[-1, frame.layout.position(name)])


def test_counters_of_node_exporter_are_rates_with_units_and_places(centre: Centre) -> None:
    for sectors in (1000, 4000):
        centre.node.counted(sectors)
        centre.turn("node17")
    _, frame = centre.frames()
    described = {c.name: c for c in frame.layout.columns if isinstance(c, Channel)}
    assert {c.place for c in described.values()} == {"T2_X/rack4/node17"}
    assert {name: (c.unit, c.kind) for name, c in described.items()} == {
        "node_load1": ("1", Kind.GAUGE),
        "node_memory_MemAvailable_bytes": ("B", Kind.GAUGE),
        'node_disk_io_time_seconds_total{device="sda"}': ("s/s", Kind.GAUGE),
        READ: ("B/s", Kind.GAUGE),
        'node_disk_written_bytes_total{device="sda"}': ("B/s", Kind.GAUGE),
    }
    assert column(frame, READ) == pytest.approx(3000 * SECTOR_BYTES / 15)
    assert column(frame, 'node_disk_io_time_seconds_total{device="sda"}') == pytest.approx(0.3 / 15)
    assert (column(frame, "node_load1"), column(frame, "node_memory_MemAvailable_bytes")) == (0.5, 400 * 1024)


def test_an_exporter_that_is_killed_for_a_minute_costs_that_minute_and_says_so(centre: Centre, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    sectors = 0
    for turn in range(12):
        if turn == 4:
            centre.node.stop()
        if turn == 8:
            centre.node.start()
        centre.node.counted(sectors := sectors + 1500)
        conditions = centre.turn("node17")
        if turn == 7:
            assert list(conditions) == ["source_silent"]
            assert centre.node.address in conditions["source_silent"]
            assert not centre.daemon.sources["node17"].status()["ok"]
    assert conditions == {}
    assert centre.daemon.sources["node17"].status()["ok"]
    assert "source recovered source=node17" in caplog.text
    times = [int(time_ns) for frame in centre.frames() for time_ns in frame.time_ns]
    assert sorted(np.diff(times) // 1_000_000_000) == [15] * 6 + [75]


def test_a_disk_that_the_kernel_has_lost_is_a_finding(centre: Centre) -> None:
    centre.node.counted(1000, disks=("sda", "sdb"))
    assert centre.turn() == {}
    centre.node.counted(2000)
    conditions = centre.turn()
    assert list(conditions) == ["channel_vanished"]
    assert 'device="sdb"' in conditions["channel_vanished"]


@pytest.mark.parametrize("where", ["sda", "node18"])
@pytest.mark.parametrize(
    ("report", "condition"),
    [
        (ata("X9", attribute(5, 2000)), "disk_failing"),
        (ata("X9", attribute(5, 0), smart_status={"passed": False}), "disk_failing"),
        (ata("X9", attribute(5, 0), smartctl={"exit_status": 8}), "disk_failing"),
        (ata("X9", attribute(5, 0, value=5, thresh=10)), "disk_failing"),
        (ata("X9", attribute(5, 0), temperature={"current": 60}), "out_of_limits"),
        (ata("X9", attribute(5, 0), smartctl={"exit_status": 64}), None),
        (ata("X9", attribute(188, 51540393996), model_name="ST16000NM001G"), None),
    ],
)
def test_the_same_detectors_judge_disks_whoever_asks_them(
    centre: Centre, where: str, report: dict[str, object], condition: str | None
) -> None:
    centre.disks(**{where: report})
    conditions = centre.turn()
    assert set(conditions) == ({condition} if condition else set())
