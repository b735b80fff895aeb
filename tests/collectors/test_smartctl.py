"""Reports of smartctl: healthy, failing, sleeping, vanished, damaged, and 142 real ones."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.collector import Collected, CollectError, Rejected
from collectors.frame import Frame, Kind, Quality
from collectors.smartctl import SmartctlOptions
from tests.collectors.smartctl_reports import NOW_NS, TIME_S, ata, attribute, collector


def standby() -> dict[str, Any]:
    messages = [{"string": "Device is in STANDBY mode, exit(2)", "severity": "information"}]
    return {"smartctl": {"exit_status": 2, "messages": messages}, "device": {"name": "/dev/sda"}, "power_mode": {"name": "STANDBY"}}


def save(path: Path, document: Any) -> None:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    save.modified_ns += 1_000_000_000  # type: ignore[attr-defined]
    os.utime(path, ns=(save.modified_ns, save.modified_ns))  # type: ignore[attr-defined]


save.modified_ns = NOW_NS  # type: ignore[attr-defined]


def split(collected: Any) -> tuple[list[Frame], list[str]]:
    items: list[Collected] = list(collected)
    return [i for i in items if isinstance(i, Frame)], [f"{i.subject}: {i.reason}" for i in items if isinstance(i, Rejected)]


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
        "B2/presence": ("", Kind.STATE),
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


def test_sleeping_disk_is_muted_and_a_lost_one_disconnected(tmp_path: Path) -> None:
    source = collector(files=str(tmp_path / "*.json"))
    for name, serial in (("a", "A1"), ("b", "B2"), ("c", "C3"), ("d", "D4")):
        save(tmp_path / f"{name}.json", ata(serial))
    (before,), _ = split(source.collect())
    save(tmp_path / "a.json", standby())
    save(tmp_path / "b.json", {"smartctl": {"exit_status": 2, "messages": [{"string": "Smartctl open device: /dev/sdb failed"}]}})
    (tmp_path / "c.json").unlink()
    (after,), rejected = split(source.collect())
    lost = {column.name for column in before.layout.columns} - {column.name for column in after.layout.columns}
    assert lost == {"B2/presence", "C3/presence"}
    assert after.time_ns[0] > before.time_ns[0]
    assert rejected == [f"{tmp_path / 'b.json'}: Smartctl open device: /dev/sdb failed"]
    assert [quality(after, f"{serial}/temperature") for serial in ("A1", "B2", "C3", "D4")] == [
        Quality.MUTED,
        Quality.DISCONNECTED,
        Quality.DISCONNECTED,
        Quality.GOOD,
    ]
    for name, code in (("A1/power_mode", 2), ("A1/presence", 1), ("D4/presence", 0)):
        assert (value(after, name), quality(after, name)) == (code, Quality.GOOD)


def test_report_that_cannot_be_read_for_once_is_not_a_disk_that_has_gone(tmp_path: Path) -> None:
    source = collector(files=str(tmp_path / "*.json"))
    save(tmp_path / "a.json", ata("A1"))
    (before,), _ = split(source.collect())
    save(tmp_path / "a.json", '{"smartctl": {"exit_st')
    (after,), rejected = split(source.collect())
    assert len(rejected) == 1
    assert after.layout is before.layout
    assert (value(after, "A1/presence"), quality(after, "A1/temperature")) == (2, Quality.DISCONNECTED)


def test_every_snapshot_is_later_than_the_one_before(tmp_path: Path) -> None:
    source = collector(files=str(tmp_path / "*.json"))
    save(tmp_path / "a.json", ata("A1"))
    times = [frame.time_ns[0] for frame in split(source.collect())[0]]
    for report in (ata("A1"), ata("A1", local_time={"time_t": TIME_S - 50}), standby()):
        save(tmp_path / "a.json", report)
        times += [frame.time_ns[0] for frame in split(source.collect())[0]]
    save(tmp_path / "b.json", "{}")
    (tmp_path / "a.json").unlink()
    times += [frame.time_ns[0] for frame in split(source.collect())[0]]
    assert len(times) == 5
    assert (np.diff(times) > 0).all()


def test_report_that_was_not_renewed_is_stale(tmp_path: Path) -> None:
    save(tmp_path / "a.json", ata("A1", local_time={"time_t": TIME_S - 8000}))
    save(tmp_path / "b.json", ata("B2"))
    (frame,), _ = split(collector(files=str(tmp_path / "*.json")).collect())
    assert (quality(frame, "A1/temperature"), quality(frame, "B2/temperature")) == (Quality.STALE, Quality.GOOD)
    assert "A1/presence" not in frame.layout


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
        "A1/reallocated_sectors: 'many' is not a count",
        "A1/pending_sectors: -3 is not a count",
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


def test_one_host_whose_clock_is_ahead_does_not_make_the_disks_of_all_others_vanish(tmp_path: Path) -> None:
    source = collector(files=str(tmp_path / "*.json"))
    now_s = NOW_NS // 1_000_000_000
    for name, ahead_s in (("node1", 0), ("node2", 3 * 3600)):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(ata(name, local_time={"time_t": now_s + ahead_s})))
        os.utime(path, ns=(NOW_NS, NOW_NS + ahead_s * 1_000_000_000))
    (frame,), rejected = split(source.collect())
    assert rejected == []
    assert {quality(frame, f"{node}/temperature") for node in ("node1", "node2")} == {Quality.GOOD}
    assert {"node1/presence", "node2/presence"} <= {column.name for column in frame.layout.columns}
    assert frame.time_ns.tolist() == [NOW_NS]
