"""Reports of smartctl: healthy, failing, sleeping, vanished, damaged, and 142 real ones."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.collector import Collected, CollectError, Origin, Rejected
from collectors.frame import Frame, Kind, Quality
from collectors.smartctl import SmartctlCollector, SmartctlOptions
from collectors.smartctl_report import EXIT_BITS, Asleep, Report, ReportError, parse

TIME_S = 1_700_000_000
NOW_NS = (TIME_S + 60) * 1_000_000_000


def attribute(number: int, raw: Any, string: str = "", **fields: Any) -> dict[str, Any]:
    entry = {"id": number, "name": f"Attribute_{number}", "value": 100, "thresh": 10, "when_failed": "", "flags": {"prefailure": True}}
    return {**entry, "raw": {"value": raw, "string": string or str(raw)}, **fields}


def ata(serial: str = "A1", *attributes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "smartctl": {"exit_status": 0},
        "device": {"name": "/dev/sda", "protocol": "ATA"},
        "model_name": "DISK 4000/X",
        "serial_number": serial,
        "local_time": {"time_t": TIME_S},
        "smart_status": {"passed": True},
        "temperature": {"current": 30},
        "power_on_time": {"hours": 100},
        "ata_smart_attributes": {"table": list(attributes)},
        **fields,
    }


def standby() -> dict[str, Any]:
    messages = [{"string": "Device is in STANDBY mode, exit(2)", "severity": "information"}]
    return {"smartctl": {"exit_status": 2, "messages": messages}, "device": {"name": "/dev/sda"}, "power_mode": {"name": "STANDBY"}}


def save(path: Path, document: Any) -> None:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    save.modified_ns += 1_000_000_000  # type: ignore[attr-defined]
    os.utime(path, ns=(save.modified_ns, save.modified_ns))  # type: ignore[attr-defined]


save.modified_ns = NOW_NS  # type: ignore[attr-defined]


def collector(**options: Any) -> SmartctlCollector:
    return SmartctlCollector(Origin("disks", "T2/rack4", lambda: NOW_NS), SmartctlOptions.model_validate(options))


def split(collected: Any) -> tuple[list[Frame], list[str]]:
    items: list[Collected] = list(collected)
    return [i for i in items if isinstance(i, Frame)], [f"{i.subject}: {i.reason}" for i in items if isinstance(i, Rejected)]


def values(document: Any) -> dict[str, float]:
    report = parse(document, NOW_NS)
    assert isinstance(report, Report)
    return {reading.attribute: reading.value for reading in report.readings}


def quality(frame: Frame, name: str) -> Quality:
    return Quality.GOOD if frame.quality is None else Quality(int(frame.quality[0, frame.layout.position(name)]))


def value(frame: Frame, name: str) -> float:
    return float(frame.values[0, frame.layout.position(name)])


def test_all_disks_are_one_snapshot_at_the_time_of_the_newest_report(tmp_path: Path) -> None:
    save(tmp_path / "node17-sda.json", ata("A1", attribute(5, 3), attribute(199, 0)))
    save(tmp_path / "node18-sda.json", ata("B2", attribute(197, 8), local_time={"time_t": TIME_S + 5}))
    (frame,), rejected = split(collector(files=str(tmp_path / "*.json"), places={"*/node*-*.json": "node{2}"}).collect())
    assert not rejected
    assert frame.time_ns.tolist() == [(TIME_S + 5) * 1_000_000_000]
    assert value(frame, "A1/reallocated_sectors") == 3
    assert value(frame, "B2/pending_sectors") == 8
    assert frame.layout.column("A1/temperature").place == "T2/rack4/node17/DISK_4000_X-A1"
    assert {c.name: (c.unit, c.kind) for c in frame.layout.channels if c.name.startswith("B2/")} == {
        "B2/smart_status": ("", Kind.STATE),
        "B2/temperature": ("degC", Kind.GAUGE),
        "B2/power_on_hours": ("h", Kind.COUNTER),
        "B2/pending_sectors": ("1", Kind.GAUGE),
        "B2/prefail_margin": ("1", Kind.GAUGE),
        "B2/failed_attributes": ("1", Kind.GAUGE),
        "B2/exit_status": ("", Kind.BITS),
        "B2/power_mode": ("", Kind.STATE),
    }


def test_device_that_changes_its_name_and_file_is_the_same_disk(tmp_path: Path) -> None:
    source = collector(files=str(tmp_path / "*.json"))
    save(tmp_path / "sda.json", ata("A1"))
    (before,), _ = split(source.collect())
    (tmp_path / "sda.json").unlink()
    save(tmp_path / "sdb.json", ata("A1", device={"name": "/dev/sdb"}))
    (after,), _ = split(source.collect())
    assert after.layout is before.layout
    assert np.array_equal(after.values, before.values, equal_nan=True)


def test_unchanged_reports_give_nothing(tmp_path: Path) -> None:
    save(tmp_path / "a.json", ata())
    save(tmp_path / "b.json", "{}")
    source = collector(files=str(tmp_path / "*.json"))
    assert len(list(source.collect())) == 2
    assert not list(source.collect())


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


def test_sleeping_disk_is_stale_and_a_lost_one_disconnected(tmp_path: Path) -> None:
    source = collector(files=str(tmp_path / "*.json"))
    for name, serial in (("a", "A1"), ("b", "B2"), ("c", "C3"), ("d", "D4")):
        save(tmp_path / f"{name}.json", ata(serial))
    (before,), _ = split(source.collect())
    save(tmp_path / "a.json", standby())
    save(tmp_path / "b.json", {"smartctl": {"exit_status": 2, "messages": [{"string": "Smartctl open device: /dev/sdb failed"}]}})
    (tmp_path / "c.json").unlink()
    (after,), rejected = split(source.collect())
    assert after.layout is before.layout
    assert rejected == [f"{tmp_path / 'b.json'}: Smartctl open device: /dev/sdb failed"]
    assert [quality(after, f"{serial}/temperature") for serial in ("A1", "B2", "C3", "D4")] == [
        Quality.STALE,
        Quality.DISCONNECTED,
        Quality.DISCONNECTED,
        Quality.GOOD,
    ]
    assert (value(after, "A1/power_mode"), quality(after, "A1/power_mode")) == (2, Quality.GOOD)


def test_report_that_was_not_renewed_is_stale(tmp_path: Path) -> None:
    save(tmp_path / "a.json", ata("A1", local_time={"time_t": TIME_S - 8000}))
    save(tmp_path / "b.json", ata("B2"))
    (frame,), _ = split(collector(files=str(tmp_path / "*.json")).collect())
    assert (quality(frame, "A1/temperature"), quality(frame, "B2/temperature")) == (Quality.STALE, Quality.GOOD)


def test_what_cannot_be_true_is_rejected_and_the_rest_goes_on(tmp_path: Path) -> None:
    bad = ata(
        "A1",
        attribute(5, "many", "many"),
        attribute(197, -3, "-3"),
        attribute(199, 4),
        temperature={"current": 1000},
        smart_status={"passed": "no"},
    )
    bad["local_time"] = {"time_t": 17}
    save(tmp_path / "a.json", bad)
    (frame,), rejected = split(collector(files=str(tmp_path / "*.json")).collect())
    assert [line.partition(": ")[2] for line in rejected] == [
        "A1/smart_status: 'no' is not a count",
        "A1/temperature: 1000 is no temperature",
        "A1/reallocated_sectors: {'value': 'many', 'string': 'many'} is not a count",
        "A1/pending_sectors: {'value': -3, 'string': '-3'} is not a count",
    ]
    assert np.isnan(value(frame, "A1/temperature"))
    assert quality(frame, "A1/temperature") is Quality.INVALID
    assert value(frame, "A1/crc_errors") == 4
    assert frame.time_ns[0] == os.stat(tmp_path / "a.json").st_mtime_ns  # noqa: PTH116 - nanoseconds


def test_two_disks_of_one_serial_number_are_told(tmp_path: Path) -> None:
    save(tmp_path / "a.json", ata("SAME", model_name="X"))
    save(tmp_path / "b.json", ata("SAME", model_name="Y"))
    frames, rejected = split(collector(files=str(tmp_path / "*.json")).collect())
    assert len(frames) == 1
    assert rejected == [f"{tmp_path / 'b.json'}: serial number SAME is also that of a X in {tmp_path / 'a.json'}"]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("", "it is empty"),
        ('{"smartctl": {"exit_st', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ([1], "not a report of smartctl"),
        ({"devices": []}, "a list of devices"),
        ({"smart_status": {"passed": True}}, "no serial number"),
        ({"serial_number": "A1", "smartctl": {"exit_status": 0}}, "no health data"),
    ],
)
def test_reports_that_say_nothing_are_rejected_with_a_reason(tmp_path: Path, document: Any, reason: str) -> None:
    save(tmp_path / "a.json", document)
    frames, rejected = split(collector(files=str(tmp_path / "*.json")).collect())
    assert not frames
    assert len(rejected) == 1
    assert reason in rejected[0]


def test_no_file_is_an_error_that_names_the_pattern(tmp_path: Path) -> None:
    with pytest.raises(CollectError, match=r"no file matches .*\*\.json"):
        list(collector(files=str(tmp_path / "*.json")).collect())


def test_command_is_run_for_each_device_without_a_shell(tmp_path: Path) -> None:
    script = tmp_path / "smartctl.py"
    script.write_text(
        "import json, sys, time\n"
        f"document = {ata()!r}\n"
        "document['serial_number'] = sys.argv[-1][-3:] + '|' + sys.argv[-2]\n"
        "time.sleep(60 if sys.argv[-1].endswith('sdz') else 0)\n"
        "print(json.dumps(document))\n"
    )
    command = [sys.executable, str(script), "--json"]
    source = collector(devices=["/dev/sda", "/dev/bus/0@megaraid,4", "/dev/sdz"], command=command, command_timeout_s=2)
    (frame,), rejected = split(source.collect())
    assert {c.name.partition("/")[0] for c in frame.layout.channels} == {"sda|--json", "s"}
    assert "s/0|--device=megaraid,4/temperature" in frame.layout
    assert rejected == ["/dev/sdz: no answer within 2 s"]
    with pytest.raises(CollectError, match="no_such_program"):
        list(collector(devices=["/dev/sda"], command=["/no_such_program"]).collect())


@pytest.mark.parametrize("options", [{}, {"files": "a", "devices": ["/dev/sda"]}, {"devices": ["/dev/sda; rm"]}, {"devices": ["--scan"]}])
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"files|devices"):
        SmartctlOptions.model_validate(options)


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
