"""Single reports of smartctl: packed values, kinds of disks, real ones, and nonsense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.collector import Rejected
from collectors.frame import Frame
from collectors.smartctl_report import EXIT_BITS, Asleep, Report, ReportError, parse
from tests.collectors.smartctl_reports import NOW_NS, ata, attribute, collector


def values(document: Any) -> dict[str, float]:
    report = parse(document, NOW_NS)
    assert isinstance(report, Report)
    return {reading.attribute: reading.value for reading in report.readings}


@pytest.mark.parametrize(
    ("entry", "model", "expected"),
    [
        (attribute(188, 51540393996), {"model_name": "ST16000NM001G"}, {"command_timeouts": 12}),
        (attribute(188, 7), {}, {"command_timeouts": 7}),
        (attribute(1, (3 << 32) + 239307048), {"model_name": "ST16000NM001G"}, {"read_errors": 3}),
        (attribute(1, 239307048, "2/239307048"), {"model_name": "ST16000NM001G"}, {"read_errors": 2}),
        (attribute(1, 341), {}, {"read_errors": 341}),
        (attribute(5, 131072000, "0 (2000 0)"), {}, {"reallocated_sectors": 0}),
        (attribute(9, 9023116403587028, "47060h+35m+00.858s"), {"power_on_time": None}, {"power_on_hours": 47060}),
    ],
)
def test_packed_raw_values_are_taken_apart(entry: dict[str, Any], model: dict[str, Any], expected: dict[str, float]) -> None:
    document = ata("A1", entry, **model)
    if document["power_on_time"] is None:
        del document["power_on_time"]
    found = values(document)
    assert {name: found[name] for name in expected} == expected


def test_temperature_is_that_of_the_disk_however_it_is_told() -> None:
    document = ata("A1", attribute(194, 176094511130, "26 (Min/Max 13/41)"), attribute(190, 538509338, "24 (Min/Max 23/30)"))
    del document["temperature"]
    assert values(document)["temperature"] == 26
    assert values(document)["airflow_temperature"] == 24


def test_failing_disk_says_so() -> None:
    failed = ata(
        "A1", attribute(5, 1975, value=1, thresh=5, when_failed="now"), smart_status={"passed": False}, smartctl={"exit_status": 216}
    )
    report = parse(failed, NOW_NS)
    assert isinstance(report, Report)
    found = {reading.attribute: reading for reading in report.readings}
    assert found["smart_status"].states[int(found["smart_status"].value)] == "FAILED"
    assert found["failed_attributes"].value == 1
    assert found["prefail_margin"].value == -4
    assert [bit for i, bit in enumerate(EXIT_BITS) if int(found["exit_status"].value) >> i & 1] == [
        "disk_failing",
        "prefail_below_threshold",
        "error_log",
        "self_test_log",
    ]


def test_nvme_and_scsi_have_their_own_counts() -> None:
    log = {
        "critical_warning": 5,
        "media_errors": 7,
        "percentage_used": 3,
        "available_spare": 99,
        "available_spare_threshold": 10,
        "unsafe_shutdowns": 2,
    }
    nvme = values(ata(nvme_smart_health_information_log=log))
    assert {name: nvme[name] for name in log} == log
    counters = {"read": {"total_uncorrected_errors": 1}, "write": {"total_uncorrected_errors": 535}}
    scsi = values(ata(scsi_grown_defect_list=260, scsi_error_counter_log=counters))
    assert (scsi["grown_defects"], scsi["read_uncorrected_errors"], scsi["write_uncorrected_errors"]) == (260, 1, 535)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "value", "raw", "string", "table", "current", "passed"]), inner)
    ),
    max_leaves=8,
)

FIELDS = ["smartctl", "serial_number", "local_time", "smart_status", "temperature", "power_on_time", "ata_smart_attributes", "power_mode"]

OTHER_FIELDS = [
    "nvme_smart_health_information_log",
    "scsi_error_counter_log",
    "scsi_grown_defect_list",
    "model_name",
    "devices",
    "endurance_used",
]


@given(st.dictionaries(st.sampled_from(FIELDS + OTHER_FIELDS), JSON))
def test_no_report_stops_the_parser(fields: dict[str, Any]) -> None:
    try:
        report = parse({**ata("A1", attribute(5, 1)), **fields}, NOW_NS)
    except ReportError:
        return
    assert isinstance(report, Report | Asleep)
    for reading in report.readings if isinstance(report, Report) else ():
        assert reading.problem or not np.isinf(reading.value)


GOLDEN = {
    "exporter-sat-Seagate_Exos_X16-ST16000NM001G-2KK103-sda.json": {
        "command_timeouts": 12,
        "temperature": 26,
        "power_on_hours": 13114,
        "read_errors": 0,
    },
    "exporter-sat-Seagate_Constellation_ES.3-ST3000NM0033-9ZM178-sdc.json": {"command_timeouts": 4, "reallocated_sectors": 1},
    "exporter-sat-Seagate_Enterprise_Capacity_3.5_HDD-ST1000NM0008-2F2100-sda.json": {"power_on_hours": 47060, "temperature": 24},
    "exporter-sat-Seagate_Enterprise_Capacity_3.5_HDD-ST10000NM0016-1TT101-sda.json": {"power_on_hours": 34013, "airflow_temperature": 25},
    "exporter-sat-Micron_5100___52x0___5300___5400_SSDs-Micron_5300_MTFDDAK480TDS-sda.json": {"command_timeouts": 27},
    "exporter-sat-Phison_Driven_SSDs-KINGSTON_SKC400S371T-sda.json": {"reallocated_sectors": 1, "temperature": 31},
    "exporter-HGST_HUS724020ALE640_28.json": {"exit_status": 64, "power_on_hours": 83425, "temperature": 26},
    "exporter-SEAGATE_ST373453LC_26.json": {
        "grown_defects": 260,
        "read_uncorrected_errors": 1,
        "write_uncorrected_errors": 535,
        "temperature": 33,
    },
    "exporter-nvme-null-INTEL_SSDPEDMD016T4-nvme0.json": {
        "available_spare": 99,
        "media_errors": 0,
        "power_on_hours": 57288,
        "temperature": 21,
    },
    "scrutiny-smart-nvme-failed.json": {"media_errors": 7, "percentage_used": 3, "critical_warning": 0, "unsafe_shutdowns": 10},
    "scrutiny-smart-fail2.json": {
        "smart_status": 0,
        "reallocated_sectors": 1975,
        "failed_attributes": 1,
        "exit_status": 216,
        "prefail_margin": -4,
    },
    "scrutiny-smart-megaraid1.json": {"reallocated_sectors": 387, "exit_status": 4, "smart_status": 1},
    "scrutiny-smart-scsi.json": {"grown_defects": 56, "temperature": 34, "power_on_hours": 43549},
}


@pytest.mark.data
@pytest.mark.parametrize("name", GOLDEN)
def test_real_reports_give_what_a_person_reads_in_them(data: Path, name: str) -> None:
    found = values(json.loads((data / "disk" / "smartctl" / name).read_bytes()))
    assert {attribute: found[attribute] for attribute in GOLDEN[name]} == GOLDEN[name]


@pytest.mark.data
def test_every_real_report_is_read_or_rejected_with_a_reason(data: Path) -> None:
    paths = sorted((data / "disk" / "smartctl").glob("*.json"))
    rejected = []
    for path in paths:
        for item in collector(files=str(path)).collect():
            if isinstance(item, Rejected):
                rejected.append(path.name)
                assert item.reason
            else:
                assert isinstance(item, Frame)
    assert (len(paths), len(rejected)) == (142, 10)
