"""smartctl_exporter: the same channels as smartctl's own reports give, disks that vanish, and answers that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.collector import CollectError, Origin, Rejected
from collectors.frame import Frame, Quality
from collectors.smartctl_exporter import SmartctlExporterCollector, SmartctlExporterOptions
from tests.collectors.exporter_metrics import metrics
from tests.collectors.metrics_server import Serve, serving
from tests.collectors.smartctl_reports import NOW_NS, ata, attribute, collector

SEAGATE = {"model_name": "ST16000NM001G", "model_family": "Seagate Exos X16"}
NVME = {
    "device": {"name": "/dev/nvme0", "type": "nvme"},
    "model_name": "NVME 2",
    "nvme_smart_health_information_log": {
        "critical_warning": 5,
        "media_errors": 7,
        "percentage_used": 3,
        "available_spare": 99,
        "available_spare_threshold": 10,
    },
}
SAS = {
    "device": {"name": "/dev/sdc", "type": "scsi"},
    "model_name": "",
    "scsi_product": "ST4000NM0043",
    "scsi_grown_defect_list": 56,
    "scsi_error_counter_log": {"read": {"total_uncorrected_errors": 1}, "write": {"total_uncorrected_errors": 535}},
}


def without_table(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name != "ata_smart_attributes"}


REPORTS = {
    "ATA": ata("A1", attribute(5, 3), attribute(197, 8), attribute(199, 2, name="Not_In_Use")),
    "packed": ata(
        "S2",
        attribute(1, (3 << 32) + 239307048),
        attribute(7, (2 << 32) + 330010684),
        attribute(188, 51540393996),
        attribute(5, 131072000, "0 (2000 0)"),
        **SEAGATE,
    ),
    "hours and temperature in the table": ata(
        "T3",
        attribute(9, 9023116403587028, "47060h+35m+00.858s"),
        attribute(194, 176094511130, "26 (Min/Max 13/41)"),
        attribute(190, 538509338, "26 (Min/Max 25/32)"),
    ),
    "failing": ata(
        "F4", attribute(5, 1975, value=1, thresh=5, when_failed="now"), smart_status={"passed": False}, smartctl={"exit_status": 216}
    ),
    "NVMe": without_table(ata("N5", **NVME)),
    "SAS": without_table(ata("C6", **SAS)),
}
for field in ("temperature", "power_on_time"):
    del REPORTS["hours and temperature in the table"][field]


@pytest.fixture
def serve() -> Any:
    with serving() as start:
        yield start


def exporter(url: str, **options: Any) -> SmartctlExporterCollector:
    return SmartctlExporterCollector(
        Origin("disks", "T2/rack4", lambda: NOW_NS), SmartctlExporterOptions.model_validate({"url": url, **options})
    )


class Shown:
    """An exporter whose answer can be changed: a file."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self._path = folder / "metrics.prom"
        self._path.touch()
        self.collector = exporter(self._path.as_uri(), **options)

    def turn(self, text: str) -> tuple[Frame | None, list[str]]:
        before_ns = self._path.stat().st_mtime_ns
        self._path.write_text(text)
        assert self._path.stat().st_mtime_ns > before_ns
        items = list(self.collector.collect())
        frames = [item for item in items if isinstance(item, Frame)]
        return (frames[-1] if frames else None), [f"{i.subject}: {i.reason}" for i in items if isinstance(i, Rejected)]


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    return Shown(tmp_path)


def value(frame: Frame | None, name: str) -> float:
    assert frame is not None
    return float(frame.values[0, frame.layout.position(name)])


def quality(frame: Frame | None, name: str) -> Quality:
    assert frame is not None
    return Quality.GOOD if frame.quality is None else Quality(int(frame.quality[0, frame.layout.position(name)]))


@pytest.mark.parametrize("name", REPORTS)
def test_channels_and_values_are_those_of_the_report_itself(name: str, tmp_path: Path, shown: Shown) -> None:
    report = REPORTS[name]
    (tmp_path / "report.json").write_text(json.dumps(report))
    (direct,) = [item for item in collector(files=str(tmp_path / "report.json")).collect() if isinstance(item, Frame)]
    frame, rejected = shown.turn(metrics(report))
    assert rejected == []
    assert frame is not None
    assert sorted(frame.layout.columns, key=lambda c: c.name) == sorted(direct.layout.columns, key=lambda c: c.name)
    for column in frame.layout.columns:
        assert value(frame, column.name) == value(direct, column.name), column.name


def test_disk_that_is_not_shown_any_more_is_disconnected_and_the_others_go_on(shown: Shown) -> None:
    both = (REPORTS["ATA"], REPORTS["NVMe"])
    before, _ = shown.turn(metrics(*both))
    after, rejected = shown.turn(metrics(both[0]))
    assert rejected == []
    assert quality(after, "N5/media_errors") is Quality.DISCONNECTED
    assert np.isnan(value(after, "N5/media_errors"))
    assert (value(after, "A1/pending_sectors"), quality(after, "A1/pending_sectors")) == (8, Quality.GOOD)
    assert before is not None
    assert after is not None
    assert {c.name for c in before.layout.columns} - {c.name for c in after.layout.columns} == {"N5/presence"}
    again, _ = shown.turn(metrics(*both))
    assert again is not None
    assert again.layout.digest == before.layout.digest
    assert (value(again, "N5/media_errors"), quality(again, "N5/media_errors")) == (7, Quality.GOOD)


def test_device_that_changes_its_name_is_the_same_disk(shown: Shown) -> None:
    before, _ = shown.turn(metrics(REPORTS["ATA"]))
    after, _ = shown.turn(metrics({**REPORTS["ATA"], "device": {"name": "/dev/sdq"}}))
    assert before is not None
    assert after is not None
    assert after.layout is before.layout
    assert np.array_equal(after.values, before.values)


def test_disk_with_two_paths_is_one_disk_and_two_disks_of_one_serial_number_are_told(shown: Shown) -> None:
    other_path = {**REPORTS["ATA"], "device": {"name": "/dev/sdq"}}
    frame, rejected = shown.turn(metrics(REPORTS["ATA"], other_path))
    assert rejected == []
    assert frame is not None
    assert {c.name.partition("/")[0] for c in frame.layout.columns} == {"A1"}
    _, rejected = shown.turn(metrics(REPORTS["ATA"], {**other_path, "model_name": "OTHER"}))
    assert [line.partition(": ")[2] for line in rejected] == ["sdq: serial number A1 is also that of a DISK 4000/X"]


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ({**REPORTS["ATA"], "smartctl": {"exit_status": 2}}, "sda: smartctl could not read it, or it sleeps (exit status 2: open_failed)"),
        ({**REPORTS["ATA"], "smartctl": {"exit_status": 1}}, "sda: smartctl could not read it, or it sleeps (exit status 1: command_line)"),
        ({**REPORTS["ATA"], "serial_number": ""}, "sda: no serial number: it cannot be told which disk it is"),
        ({"device": {"name": "/dev/sda", "type": "nvme"}, "serial_number": "N1", "smartctl": {}}, "sda: no health data of it"),
    ],
)
def test_device_without_a_report_is_rejected_and_its_disk_neither_good_nor_gone(report: dict[str, Any], reason: str, shown: Shown) -> None:
    shown.turn(metrics(REPORTS["ATA"]))
    frame, rejected = shown.turn(metrics(report))
    assert [line.partition(": ")[2] for line in rejected] == [reason]
    assert quality(frame, "A1/pending_sectors") is Quality.DISCONNECTED
    assert frame is not None
    assert frame.layout.column("A1/presence").states[int(value(frame, "A1/presence"))] == "SILENT"  # type: ignore[union-attr]


@pytest.mark.parametrize("status", [4, 8, 16, 32, 64, 128, 252])
def test_other_bits_of_the_exit_status_are_information(status: int, shown: Shown) -> None:
    frame, rejected = shown.turn(metrics({**REPORTS["ATA"], "smartctl": {"exit_status": status}}))
    assert rejected == []
    assert (value(frame, "A1/exit_status"), value(frame, "A1/pending_sectors")) == (status, 8)


def test_hosts_of_a_federation_are_places_and_keep_their_devices_apart(tmp_path: Path) -> None:
    shown = Shown(tmp_path, place_labels=["instance"])
    text = metrics(REPORTS["ATA"], instance="node17:9633") + metrics(
        {**REPORTS["SAS"], "device": {"name": "/dev/sda", "type": "scsi"}}, instance="n18"
    )
    frame, rejected = shown.turn(text)
    assert rejected == []
    assert frame is not None
    assert frame.layout.column("A1/pending_sectors").place == "T2/rack4/node17:9633/DISK_4000_X-A1"
    assert frame.layout.column("C6/grown_defects").place == "T2/rack4/n18/ST4000NM0043-C6"


def test_line_that_cannot_be_read_costs_one_reading(shown: Shown) -> None:
    text = metrics(ata("A1", attribute(5, 4711), attribute(197, 8)))
    frame, rejected = shown.turn(text.replace(" 4711\n", " many\n"))
    assert [line.partition("line ")[2].partition(": ")[2] for line in rejected] == ["'many' is not a number", ""]
    assert rejected[1].endswith("A1/reallocated_sectors: nan is not a count")
    assert np.isnan(value(frame, "A1/reallocated_sectors"))
    assert quality(frame, "A1/reallocated_sectors") is Quality.INVALID
    assert value(frame, "A1/pending_sectors") == 8


@pytest.mark.parametrize("text", ["go_goroutines 9\n", "smartctl_dev{ 9\n"])
def test_an_answer_of_something_else_is_an_error_that_names_the_address(serve: Serve, text: str) -> None:
    url = serve(text)
    with pytest.raises(CollectError, match=rf"{url}: not a single metric of smartctl_exporter; "):
        list(exporter(url).collect())
