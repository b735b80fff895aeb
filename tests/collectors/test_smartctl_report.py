"""Single reports of smartctl: packed values, kinds of disks, real ones, and nonsense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.disks.disk_attributes import EXIT_BITS
from collectors.disks.disk_frames import Report
from collectors.disks.smartctl_report import Asleep, ReportError, parse
from collectors.frame import Kind
from tests.collectors.smartctl_reports import NOW_NS, ata, attribute


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


@pytest.mark.parametrize(
    ("model", "family", "errors"),
    [
        ("ST1000LM024 HN-M101MBB", "Seagate Samsung SpinPoint M8 (AF)", 1234),
        ("ST500LM012 HN-M500MBB", "", 1234),
        ("ST2000DL004 HD204UI", "", 1234),
        ("ST4000DM000-1F2168", "Seagate Desktop HDD.15", 0),
        ("ST8000NM0055", "", 0),
    ],
)
def test_disks_of_samsung_that_seagate_sold_do_not_pack_their_read_errors(model: str, family: str, errors: int) -> None:
    report = parse(ata("A1", attribute(1, 1234), model_name=model, model_family=family), NOW_NS)
    assert isinstance(report, Report)
    assert {r.attribute: r.value for r in report.readings}["read_errors"] == errors
