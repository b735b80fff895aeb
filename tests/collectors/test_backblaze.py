"""Drive statistics as Backblaze publishes them: rows, groups of drives with layouts that stay, archives, and damage."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.backblaze import BackblazeCollector, BackblazeOptions
from collectors.collector import CollectError, Origin, Rejected
from collectors.disks.backblaze_drives import DRIVES_PER_PART
from collectors.disks.backblaze_rows import PIECE_BYTES
from collectors.frame import Frame, Kind, Quality
from tests.collectors.drive_statistics import HEADER, drive, table

DAY_NS = 86_400_000_000_000
FIRST_DAY = 19_723  # 2024-01-01


def collect(files: Path, **options: Any) -> tuple[list[Frame], list[str]]:
    collector = BackblazeCollector(Origin("drives", "BB", lambda: 0), BackblazeOptions.model_validate({"files": str(files), **options}))
    items = list(collector.collect())
    rejected = [f"{i.subject}: {i.reason}" for i in items if isinstance(i, Rejected)]
    return [item for item in items if isinstance(item, Frame)], rejected


def write(folder: Path, **days: Sequence[str]) -> Path:
    """Files of days d1, d2 … of January 2024."""
    for name, rows in days.items():
        date = f"2024-01-{int(name[1:]):02}"
        (folder / f"{date}.csv").write_text(table([row.replace("2024-01-01", date) for row in rows]))
    return folder / "*.csv"


def value(frame: Frame, name: str) -> float:
    return float(frame.values[0, frame.layout.position(name)])


def quality(frame: Frame, name: str) -> Quality:
    return Quality.GOOD if frame.quality is None else Quality(int(frame.quality[0, frame.layout.position(name)]))


def test_channels_are_those_of_the_smartctl_collector(tmp_path: Path) -> None:
    rows = [
        drive("ZL1", smart_1=239307048, smart_5=3, smart_188=51540393996, smart_194=26, smart_197=0, failure=1),
        drive("ZL2", smart_1=(2 << 32) + 5, smart_5=0, smart_188=0, smart_194=25, smart_197=8),
    ]
    (frame,), rejected = collect(write(tmp_path, d1=rows))
    assert rejected == []
    assert frame.time_ns.tolist() == [FIRST_DAY * DAY_NS]
    assert frame.layout.part == "ST12000NM0008.0"
    assert frame.quality is None
    described = {c.name: (c.quantity, c.unit, c.kind, c.place) for c in frame.layout.channels if c.name.startswith("ZL1/")}
    place = "BB/ST12000NM0008-ZL1"
    assert described == {
        "ZL1/failure": ("failure", "", Kind.STATE, place),
        "ZL1/read_errors": ("read_errors", "1", Kind.GAUGE, place),
        "ZL1/reallocated_sectors": ("reallocated_sectors", "1", Kind.GAUGE, place),
        "ZL1/command_timeouts": ("command_timeouts", "1", Kind.GAUGE, place),
        "ZL1/pending_sectors": ("pending_sectors", "1", Kind.GAUGE, place),
        "ZL1/temperature": ("temperature", "degC", Kind.GAUGE, place),
    }
    found = {column.name: value(frame, column.name) for column in frame.layout.columns}
    assert found == {
        "ZL1/failure": 1,
        "ZL1/read_errors": 0,
        "ZL1/reallocated_sectors": 3,
        "ZL1/command_timeouts": 12,
        "ZL1/pending_sectors": 0,
        "ZL1/temperature": 26,
        "ZL2/failure": 0,
        "ZL2/read_errors": 2,
        "ZL2/reallocated_sectors": 0,
        "ZL2/command_timeouts": 0,
        "ZL2/pending_sectors": 8,
        "ZL2/temperature": 25,
    }


def test_clocks_are_left_out_unless_they_are_named(tmp_path: Path) -> None:
    rows = [drive("ZL1", smart_5=3, smart_7=(1 << 32) + 17, smart_9=23429, smart_12=3, smart_241=61250775000)]
    (frame,), _ = collect(write(tmp_path, d1=rows))
    assert {c.quantity for c in frame.layout.channels} == {"failure", "reallocated_sectors"}
    wanted = ["power_on_hours", "seek_errors", "smart_241_raw", "smart_9_normalized"]
    (frame,), _ = collect(write(tmp_path, d1=rows), attributes=wanted)
    assert {c.quantity: value(frame, c.name) for c in frame.layout.channels} == {
        "failure": 0,
        "power_on_hours": 23429,
        "seek_errors": 1,
        "smart_241_raw": 61250775000,
        "smart_9_normalized": 100,
    }


@pytest.mark.parametrize("attributes", [["reallocated"], ["smart_5"], ["temperature", "temperature"]])
def test_attributes_that_there_are_not_are_refused(attributes: list[str]) -> None:
    with pytest.raises(ValueError, match=r"no attribute|there twice"):
        BackblazeOptions.model_validate({"files": "x", "attributes": attributes})


def test_models_are_chosen_by_pattern_and_each_is_a_stream_of_its_own(tmp_path: Path) -> None:
    models = ["ST12000NM0008", "ST16000NM001G", "TOSHIBA MG08ACA16TA"]
    rows = [drive(f"S{i}", model=model, smart_5=i, smart_199=i) for i, model in enumerate(models)]
    frames, _ = collect(write(tmp_path, d1=rows), models=["ST*", "TOSHIBA*"], exclude_models=["*001G"])
    assert [frame.layout.stream for frame in frames] == ["drives#ST12000NM0008.0", "drives#TOSHIBA_MG08ACA16TA.0"]
    assert value(frames[1], "S2/crc_errors") == 2


def test_a_drive_that_goes_is_disconnected_and_only_new_ones_change_a_layout(tmp_path: Path) -> None:
    old = [drive(f"Z{i}", smart_5=i) for i in range(DRIVES_PER_PART)]
    new = [drive(f"N{i}", smart_5=i) for i in range(3)]
    days = {"d1": [*old, *new[:1]], "d2": [*old[1:], *new[:1]], "d3": [*old[1:], *new], "d4": [*old, *new]}
    frames, rejected = collect(write(tmp_path, **days))
    assert rejected == []
    first, second = frames[0::2], frames[1::2]
    assert {frame.layout.part for frame in first} == {"ST12000NM0008.0"}
    assert len({frame.layout.digest for frame in first}) == 1
    assert [len(frame.layout.columns) for frame in second] == [2, 2, 6, 6]
    assert second[2].layout.columns[:2] == second[0].layout.columns
    assert [quality(frame, "Z0/reallocated_sectors") for frame in first] == [
        Quality.GOOD,
        Quality.DISCONNECTED,
        Quality.DISCONNECTED,
        Quality.GOOD,
    ]
    assert np.isnan(value(first[1], "Z0/failure"))
    assert (value(first[1], "Z9/reallocated_sectors"), quality(first[1], "Z9/reallocated_sectors")) == (9, Quality.GOOD)


def test_an_attribute_that_a_model_has_only_later_gets_its_column_then(tmp_path: Path) -> None:
    frames, _ = collect(write(tmp_path, d1=[drive("Z1", smart_5=1)], d2=[drive("Z1", smart_5=1, smart_199=7)], d3=[drive("Z1", smart_5=2)]))
    assert [[c.quantity for c in frame.layout.channels] for frame in frames] == [
        ["failure", "reallocated_sectors"],
        ["failure", "reallocated_sectors", "crc_errors"],
        ["failure", "reallocated_sectors", "crc_errors"],
    ]
    assert np.isnan(value(frames[2], "Z1/crc_errors"))


def test_days_are_in_order_whatever_the_order_of_files_archives_and_rows(tmp_path: Path) -> None:
    rows = [drive("Z1", smart_5=1)]
    with zipfile.ZipFile(tmp_path / "data_Q1_2024.zip", "w") as archive:
        archive.writestr("data_Q1_2024/2024-01-02.csv", table([rows[0].replace("01-01", "01-02")]))
        archive.writestr("__MACOSX/data_Q1_2024/._2024-01-02.csv", b"\x00\x05\x16\x07")
        archive.writestr("data_Q1_2024/README.txt", "read me")
    with zipfile.ZipFile(tmp_path / "data_Q4_2023.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("2023-12-31.csv", table([rows[0].replace("2024-01-01", "2023-12-31")]))
    with gzip.open(tmp_path / "2024-01-05.csv.gz", "wt") as packed:
        packed.write(table([rows[0].replace("01-01", date) for date in ("01-05", "01-03", "01-04")]))
    write(tmp_path, d1=rows)
    for files in (tmp_path, tmp_path / "*"):
        frames, rejected = collect(files)
        assert rejected == []
        assert [int(frame.time_ns[0]) // DAY_NS - FIRST_DAY for frame in frames] == [-1, 0, 1, 2, 3, 4]


def test_rows_of_a_day_that_has_passed_and_drives_that_a_day_has_twice_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table([drive("Z1", "2024-01-02", smart_5=1), drive("Z1", "2024-01-02", smart_5=2)]))
    (tmp_path / "b.csv").write_text(table([drive("Z1", "2024-01-01", smart_5=3)]))
    frames, rejected = collect(tmp_path / "*.csv")
    assert [value(frame, "Z1/reallocated_sectors") for frame in frames] == [2]
    assert [line.partition(": ")[2] for line in rejected] == [
        "1 row of drives that 2024-01-02 has twice; the last one of each was taken",
        "1 row of 2024-01-01, which is not after the day before",
    ]


def test_lines_and_cells_that_cannot_be_read_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = drive("Z1", smart_5=1, smart_197=2)
    rows = [
        good.rpartition(",")[0],
        good.replace("Z1", "Z2") + ",7",
        good.replace("2024-01-01", "yesterday").replace("Z1", "Z3"),
        "",
        drive("Z4", smart_5="many", smart_197=5),
        drive("Z5", smart_5="-3", smart_197=6, smart_194=250, failure=2),
        drive("", smart_5=1),
        good,
    ]
    (tmp_path / "2024-01-01.csv").write_text(table(rows))
    (frame,), rejected = collect(tmp_path / "2024-01-01.csv")
    name = str(tmp_path / "2024-01-01.csv")
    width = HEADER.count(",") + 1
    assert rejected == [
        f"{name} line 2: {width - 1} columns, expected {width}",
        f"{name} line 3: {width + 1} columns, expected {width}",
        f"{name} line 4: no date",
        f"{name}: 2 more lines or cells could not be used",
        f"{name} Z5/failure: a value on 2024-01-01 that cannot be true",
        f"{name} Z5/temperature: a value on 2024-01-01 that cannot be true",
    ]
    assert {column.name.partition("/")[0] for column in frame.layout.columns} == {"Z4", "Z5", "Z1"}
    bad = ["Z4/reallocated_sectors", "Z5/reallocated_sectors", "Z5/temperature", "Z5/failure"]
    assert [(quality(frame, n), np.isnan(value(frame, n))) for n in bad] == [(Quality.INVALID, True)] * 4
    assert [value(frame, f"{serial}/pending_sectors") for serial in ("Z4", "Z5", "Z1")] == [5, 6, 2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (HEADER.encode(), "it ends in its first line"),
        (b"date,serial_number,smart_5_raw\n", "no column 'model'"),
        (b"date,model,serial_number\n", "model stands before serial_number"),
        (b"x" * (PIECE_BYTES + 1), f"line 1 is longer than {PIECE_BYTES} bytes"),
    ],
)
def test_a_file_that_is_no_table_of_drives_is_rejected_and_the_others_are_read(tmp_path: Path, content: bytes, reason: str) -> None:
    write(tmp_path, d1=[drive("Z1", smart_5=1)], d3=[drive("Z1", smart_5=3)])
    (tmp_path / "2024-01-02.csv").write_bytes(content)
    frames, rejected = collect(tmp_path / "*.csv")
    assert rejected == [f"{tmp_path / '2024-01-02.csv'}: {reason}"]
    assert [value(frame, "Z1/reallocated_sectors") for frame in frames] == [1, 3]


def test_what_breaks_off_costs_what_is_missing(tmp_path: Path) -> None:
    rows = [drive(f"Z{i}", smart_5=1, smart_197=i) for i in range(20_000)]
    packed = gzip.compress(table(rows).encode())
    (tmp_path / "2024-01-01.csv.gz").write_bytes(packed[: len(packed) * 9 // 10])
    (tmp_path / "2024-01-02.zip").write_bytes(b"PK\x03\x04 not an archive")
    (tmp_path / "2024-01-03.csv").write_text(table(rows[:2])[:-5])
    frames, rejected = collect(tmp_path / "*")
    drives = {c.name.partition("/")[0] for frame in frames for c in frame.layout.columns}
    assert 5000 < len(drives) < 20_000
    assert [line.rpartition(": ")[2] for line in rejected] == [
        "File is not a zip file",
        "Compressed file ended before the end-of-stream marker was reached",
        "it ends in the middle of the line",
        "1 row of 2024-01-01, which is not after the day before",
    ]


def test_member_packed_in_a_way_that_is_not_known_is_rejected_and_the_others_go_on(tmp_path: Path) -> None:
    """As archives of more than 2 GB come from Windows."""
    path = tmp_path / "data_Q1_2024.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("2024-01-01.csv", table([drive("Z1", smart_5=1)]))
        archive.writestr("2024-01-02.csv", table([drive("Z1", "2024-01-02", smart_5=2)]))
    content = bytearray(path.read_bytes())
    for header, field in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(header) + field] = 9  # deflate64
    path.write_bytes(content)
    (frame,), rejected = collect(path)
    assert value(frame, "Z1/reallocated_sectors") == 2
    assert rejected == [f"{path}:2024-01-01.csv: That compression method is not supported"]


def test_no_file_is_an_error_that_names_the_pattern(tmp_path: Path) -> None:
    with pytest.raises(CollectError, match=rf"no file matches {tmp_path}/\*\.csv"):
        collect(tmp_path / "*.csv")


def test_memory_does_not_grow_with_the_number_of_days(tmp_path: Path) -> None:
    import tracemalloc  # noqa: PLC0415 - of this test alone

    rows = [drive(f"Z{i}", smart_5=i, smart_197=0, smart_194=30) for i in range(2000)]
    files = write(tmp_path, **{f"d{day}": rows for day in range(1, 29)})
    collector = BackblazeCollector(Origin("drives", "BB", lambda: 0), BackblazeOptions(files=str(files)))
    held: dict[int, int] = {}
    collector_items = collector.collect()
    tracemalloc.start()
    try:
        for item in collector_items:
            assert isinstance(item, Frame)
            held[int(item.time_ns[0]) // DAY_NS - FIRST_DAY] = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(held) == 28
    assert held[27] < 1.05 * held[3]


@pytest.mark.data
def test_real_drives_of_2019(data: Path) -> None:
    folder = data / "disk" / "backblaze_2019"
    frames, rejected = collect(folder / "ST8000NM0055_last_day_all_q_raw.csv.gz")
    assert rejected == []
    failed, seen = set(), set()
    for frame in frames:
        assert (np.diff(frame.time_ns) > 0).all()
        for c, v in zip(frame.layout.channels, frame.values[0], strict=True):
            if c.quantity == "failure" and np.isfinite(v):
                seen.add(c.name)
                failed |= {c.name} if v == 1 else set()
    assert (len(seen), len(failed)) == (14_679, 221)
    last = next(frame for frame in reversed(frames) if "ZA101R30/failure" in frame.layout)
    assert str(last.time_ns.astype("datetime64[ns]")[0])[:10] == "2019-12-31"
    assert [value(last, f"ZA101R30/{name}") for name in ("failure", "read_errors", "command_timeouts", "temperature")] == [0, 0, 0, 25]
