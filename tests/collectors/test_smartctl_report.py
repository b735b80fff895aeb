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
from collectors.disk_attributes import EXIT_BITS
from collectors.disk_frames import Report
from collectors.frame import Frame, Kind
from collectors.smartctl_report import Asleep, ReportError, parse
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
        (attribute(188, 12 + (3 << 16), "0 3 12"), {"model_name": "ST10000NM0016"}, {"command_timeouts": 12}),
        (attribute(188, 65535), {}, {"command_timeouts": 65535}),
        (attribute(7, (5 << 32) + 330010684), {"model_name": "ST16000NM001G"}, {"seek_errors": 5}),
        (attribute(7, (5 << 32) + 1, "5/1"), {"model_name": "X", "model_family": "Seagate Exos"}, {"seek_errors": 5}),
        (attribute(196, 53416508262463, "2111 (12437 0)"), {}, {"reallocation_events": 2111}),
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


def test_rate_of_seeks_is_no_count_of_errors_of_other_makers() -> None:
    assert "seek_errors" not in values(ata("A1", attribute(7, 13407112), model_name="WDC WD40"))


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (1, "smartctl was called in a way that it does not understand"),
        (2, "smartctl could not open the disk or did not get its identity"),
        (3 | 64, "smartctl was called in a way that it does not understand"),
    ],
)
def test_nothing_is_read_where_the_exit_status_says_that_nothing_was(status: int, reason: str) -> None:
    with pytest.raises(ReportError, match=reason):
        parse(ata("A1", attribute(5, 3), smartctl={"exit_status": status}), NOW_NS)


@pytest.mark.parametrize("bit", range(2, 8))
def test_other_bits_of_the_exit_status_are_information_and_have_names(bit: int) -> None:
    report = parse(ata("A1", attribute(5, 3), smartctl={"exit_status": 1 << bit}), NOW_NS)
    assert isinstance(report, Report)
    status = next(reading for reading in report.readings if reading.attribute == "exit_status")
    assert (status.kind, status.value, status.states[bit]) == (Kind.BITS, 1 << bit, EXIT_BITS[bit])
    assert values(ata("A1", attribute(5, 3), smartctl={"exit_status": 1 << bit}))["reallocated_sectors"] == 3


@pytest.mark.parametrize(
    "document",
    [
        {"smartctl": {"exit_status": 2, "messages": [{"string": "Device is in STANDBY mode, exit(2)"}]}},
        {"smartctl": {"exit_status": 0, "messages": [{"string": "Device is in SLEEP mode, exit(0)"}]}},
        {"smartctl": {"exit_status": 2, "messages": [{"string": "Device is in STANDBY (OS) mode, exit(2)"}]}},
        {"smartctl": {"exit_status": 2, "messages": [{"string": "Device is in IDLE_B mode, exit(2)"}]}},
        {"smartctl": {"exit_status": 2}, "power_mode": {"name": "STANDBY_Z"}},
    ],
)
def test_disk_that_is_left_asleep_is_no_failure(document: dict[str, Any]) -> None:
    assert isinstance(parse(document, NOW_NS), Asleep)


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


ATA = {"smart_status": 1, "reallocated_sectors": 0, "crc_errors": 0, "failed_attributes": 0, "exit_status": 0, "power_mode": 0}
SPINNING = {**ATA, "read_errors": 0, "spin_retries": 0, "pending_sectors": 0, "offline_uncorrectable": 0}
SEAGATE = {**SPINNING, "seek_errors": 0, "reported_uncorrectable": 0, "command_timeouts": 0}
NVME = {
    "smart_status": 1,
    "critical_warning": 0,
    "media_errors": 0,
    "available_spare_threshold": 10,
    "unsafe_shutdowns": 0,
    "exit_status": 0,
    "power_mode": 0,
}
SAS = {"smart_status": 1, "read_uncorrected_errors": 0, "write_uncorrected_errors": 0, "exit_status": 0, "power_mode": 0}

GOLDEN: dict[str, dict[str, float]] = {
    "exporter-sat-Seagate_Exos_X16-ST16000NM001G-2KK103-sda.json": {
        **SEAGATE,
        "command_timeouts": 12,
        "temperature": 26,
        "airflow_temperature": 26,
        "power_on_hours": 13114,
        "prefail_margin": 3,
    },
    "exporter-sat-Seagate_Constellation_ES.3-ST3000NM0033-9ZM178-sdc.json": {
        **SEAGATE,
        "command_timeouts": 4,
        "reallocated_sectors": 1,
        "temperature": 22,
        "airflow_temperature": 22,
        "power_on_hours": 57744,
        "prefail_margin": 3,
    },
    "exporter-sat-Seagate_Enterprise_Capacity_3.5_HDD-ST10000NM0016-1TT101-sda.json": {
        **SEAGATE,
        "temperature": 25,
        "airflow_temperature": 25,
        "power_on_hours": 34013,
        "prefail_margin": 3,
    },
    "scrutiny-smart-fail2.json": {
        **SPINNING,
        "smart_status": 0,
        "reallocated_sectors": 1975,
        "reallocation_events": 3831,
        "pending_sectors": 8,
        "temperature": 25,
        "power_on_hours": 65592,
        "prefail_margin": -4,
        "failed_attributes": 1,
        "exit_status": 216,
    },
    "scrutiny-smart-megaraid1.json": {
        **SPINNING,
        "reallocated_sectors": 387,
        "reallocation_events": 9,
        "temperature": 36,
        "power_on_hours": 37788,
        "prefail_margin": 48,
        "exit_status": 4,
    },
    "exporter-HGST_HUS724020ALE640_28.json": {
        **SPINNING,
        "crc_errors": 12,
        "reallocation_events": 0,
        "temperature": 26,
        "power_on_hours": 83425,
        "prefail_margin": 33,
        "exit_status": 64,
    },
    "exporter-sat-Western_Digital_RE4-WDC_WD2003FYYS-02W0B1-sdi.json": {
        **SPINNING,
        "crc_errors": 3118119,
        "reallocation_events": 0,
        "temperature": 24,
        "power_on_hours": 58530,
        "prefail_margin": 60,
    },
    "exporter-sat-Phison_Driven_SSDs-KINGSTON_SKC400S371T-sda.json": {
        **ATA,
        "reallocated_sectors": 1,
        "reallocation_events": 1,
        "read_errors": 0,
        "reported_uncorrectable": 0,
        "temperature": 31,
        "power_on_hours": 54450,
        "prefail_margin": 39,
    },
    "exporter-sat-Intel_730_and_DC_S35x0_3610_3700_Series_SSDs-INTEL_SSDSC2BB240G6-sdf.json": {
        **ATA,
        "reported_uncorrectable": 0,
        "pending_sectors": 0,
        "temperature": 19,
        "airflow_temperature": 19,
        "power_on_hours": 67252,
        "prefail_margin": 10,
    },
    "scrutiny-smart-ata-failed-scrutiny.json": {
        **ATA,
        "crc_errors": 108,
        "reported_uncorrectable": 0,
        "temperature": 33,
        "power_on_hours": 19497,
        "prefail_margin": 90,
    },
    "exporter-nvme-null-INTEL_SSDPEDMD016T4-nvme0.json": {
        **NVME,
        "available_spare": 99,
        "percentage_used": 41,
        "temperature": 21,
        "power_on_hours": 57288,
    },
    "exporter-SAMSUNG_MZVL21T0HCLR-00B00_23.json": {
        **NVME,
        "available_spare": 100,
        "percentage_used": 16,
        "unsafe_shutdowns": 1,
        "temperature": 29,
        "power_on_hours": 10423,
    },
    "scrutiny-smart-nvme-failed.json": {
        **NVME,
        "media_errors": 7,
        "available_spare": 99,
        "percentage_used": 3,
        "unsafe_shutdowns": 10,
        "temperature": 35,
        "power_on_hours": 12798,
    },
    "exporter-SEAGATE_ST373453LC_26.json": {
        **SAS,
        "grown_defects": 260,
        "read_uncorrected_errors": 1,
        "write_uncorrected_errors": 535,
        "temperature": 33,
        "power_on_hours": 102880,
    },
    "scrutiny-smart-scsi2.json": {**SAS, "grown_defects": 0, "temperature": 31, "power_on_hours": 5675},
}
"""All that is read of them, as a person reads it in the files."""


@pytest.mark.data
@pytest.mark.parametrize("name", GOLDEN)
def test_real_reports_give_what_a_person_reads_in_them(data: Path, name: str) -> None:
    assert values(json.loads((data / "disk" / "smartctl" / name).read_bytes())) == GOLDEN[name]


SAY_NOTHING = {
    "scrutiny-smart-fail.json": "Smartctl open device: /dev/sda failed",
    "scrutiny-smart-pass.json": "no serial number",  # smartctl --health alone
    "scrutiny-smart-sat.json": "no serial number",  # a table of attributes without the disk it is of
    "scrutiny-smart-raid.json": "no health data in it (smartctl's exit status says command_failed)",  # a RAID controller's volume
    "scrutiny-smartctl_info_nvme.json": "no health data in it (smartctl --all gives them)",  # smartctl --info
    "scrutiny-smartctl_info_sata_smart_support_bool.json": "no health data in it (smartctl --all gives them)",
    "scrutiny-smartctl_info_sata_smart_support_object.json": "no health data in it (smartctl --all gives them)",
    "scrutiny-smartctl_scan_megaraid.json": "a list of devices (smartctl --scan)",
    "scrutiny-smartctl_scan_nvme.json": "a list of devices (smartctl --scan)",
    "scrutiny-smartctl_scan_simple.json": "a list of devices (smartctl --scan)",
}
"""Real answers of smartctl that tell nothing of a disk that could be named."""


@pytest.mark.data
def test_every_real_report_is_read_or_rejected_with_its_reason(data: Path) -> None:
    paths = sorted((data / "disk" / "smartctl").glob("*.json"))
    read, not_kept, rejected = 0, 0, {}
    for path in paths:
        (item,) = collector(files=str(path)).collect()
        if isinstance(item, Rejected):
            rejected[path.name] = item.reason
            continue
        assert isinstance(item, Frame)
        assert item.quality is None
        not_kept += int(np.isnan(item.values).sum())
        read += 1
    assert (len(paths), read) == (142, 132)
    assert not_kept == 1, "one disk has all bits of a count set"
    assert rejected.keys() == SAY_NOTHING.keys()
    assert {name: reason for name, reason in rejected.items() if SAY_NOTHING[name] not in reason} == {}
