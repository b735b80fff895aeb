"""CAEN GECO logs: written by the test, broken at will, and a real one."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.caen_geco import CaenGecoCollector, CaenGecoOptions
from collectors.collector import CollectError, Origin, Rejected
from collectors.frame import Channel, Frame, Kind, Quality, Updates
from collectors.ramping import Ramping, RampingRule
from collectors.slow_control.caen_geco_lines import take_apart
from collectors.tabular import table_blocks

NS = 1_000_000_000


def line(second: int, parameter: str, value: object, address: str = "bd [0] ch [3] ") -> str:
    return f"[2025-03-21T21:23:{second:02}]: [HV 1] {address}par [{parameter}] val [{value}]; \r\n"


def read(files: Path, **options: Any) -> tuple[list[Updates], list[Rejected]]:
    collector = CaenGecoCollector(Origin("hv", "CMS/HV", lambda: 0), CaenGecoOptions.model_validate({"files": str(files), **options}))
    blocks: list[Updates] = []
    rejected: list[Rejected] = []
    for item in collector.collect():
        if isinstance(item, Rejected):
            rejected.append(item)
        else:
            assert isinstance(item, Updates)
            blocks.append(item)
    collector.close()
    return blocks, rejected


def log(folder: Path, *lines: str) -> Path:
    path = folder / "a.log"
    path.write_text("".join(lines), newline="")
    return path


def channel(updates: Updates, name: str) -> Channel:
    column = updates.layout.column(name)
    assert isinstance(column, Channel)
    return column


def readings(updates: Updates, name: str) -> list[float]:
    values: list[float] = updates.value[updates.column == updates.layout.position(name)].tolist()
    return values


def test_lines_become_updates_with_unit_kind_and_place(tmp_path: Path) -> None:
    path = log(tmp_path, line(0, "VMon", 3599.8), line(1, "IMonH", 2.23), line(2, "Pw", 1), line(3, "ChStatus", 0b1000010))
    (updates,), rejected = read(path)
    assert rejected == []
    voltage, current = channel(updates, "HV 1:0:3:VMon"), channel(updates, "HV 1:0:3:IMonH")
    assert (voltage.quantity, voltage.unit, voltage.place) == ("voltage", "V", "CMS/HV/HV_1/board0/channel3")
    assert (current.quantity, current.unit) == ("current", "uA")
    assert channel(updates, "HV 1:0:3:Pw").states == ("off", "on")
    status = channel(updates, "HV 1:0:3:ChStatus")
    assert status.kind is Kind.BITS
    assert [name for i, name in enumerate(status.states) if 0b1000010 >> i & 1] == ["ramp_up", "external_trip"]
    assert (status.states[7], status.states[11], status.states[13], status.states[15]) == ("max_v", "unplugged", "ovp", "temperature")
    assert updates.value.tolist() == [3599.8, 2.23, 1, 66]
    assert not updates.quality.any()


def test_times_are_read_in_the_zone_of_the_log(tmp_path: Path) -> None:
    path = log(tmp_path, line(54, "VMon", 1))
    (utc,), _ = read(path)
    (zurich,), _ = read(path, timezone="Europe/Zurich")
    assert utc.time_ns.tolist() == [1742592234 * NS]
    assert zurich.time_ns.tolist() == [(1742592234 - 3600) * NS]


def test_parameters_of_boards_and_crates(tmp_path: Path) -> None:
    path = log(tmp_path, line(0, "Temp", 31, "bd [4] "), line(1, "BdStatus", 1, "bd [4] "), line(2, "FanSpeed", 3000, ""))
    (updates,), rejected = read(path)
    assert rejected == []
    assert channel(updates, "HV 1:4:Temp").place == "CMS/HV/HV_1/board4"
    assert channel(updates, "HV 1:4:Temp").unit == "degC"
    assert channel(updates, "HV 1:4:BdStatus").states[0] == "power_fail"
    assert channel(updates, "HV 1:FanSpeed").unit == "1"


def test_options_choose_and_describe(tmp_path: Path) -> None:
    path = log(tmp_path, line(0, "VMon", 48), line(1, "IMon", 3), line(2, "Door", "open"), line(3, "Word", 5), line(4, "Trip", 1))
    (updates,), rejected = read(
        path,
        exclude=["*:Trip"],
        units={"*:IMon": "A"},
        states={"*:Door": ["closed", "open"]},
        bits={"*:Word": ["ready", "busy", "late"]},
        places={"HV *:*:*:*": "sector{1}/{3}"},
    )
    assert rejected == []
    assert [c.name.rpartition(":")[2] for c in updates.layout.columns] == ["VMon", "IMon", "Door", "Word"]
    assert channel(updates, "HV 1:0:3:IMon").unit == "A"
    assert channel(updates, "HV 1:0:3:IMon").place == "CMS/HV/sector1/3"
    assert readings(updates, "HV 1:0:3:Door") == [1]
    assert (channel(updates, "HV 1:0:3:Word").kind, readings(updates, "HV 1:0:3:Word")) == (Kind.BITS, [5])


def test_power_is_read_as_number_and_as_word(tmp_path: Path) -> None:
    (updates,), rejected = read(log(tmp_path, line(0, "Pw", "ON"), line(1, "Pw", 0), line(2, "Pw", "Off"), line(3, "Pw", 1)))
    assert rejected == []
    assert updates.value.tolist() == [1, 0, 0, 1]


def test_broken_lines_are_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = log(
        tmp_path, line(0, "VMon", 1), "GECO restarted\r\n", "\r\n", line(1, "VMon", 2), line(75, "VMon", 9), "[2025-03-21T21:23", "\n"
    )
    (updates,), (rejected,) = read(path)
    assert updates.value.tolist() == [1, 2]
    assert rejected.subject == str(path)
    assert rejected.reason == "line 2: not a reading with its time (and 2 more lines)"
    assert rejected.payload.startswith(b"GECO restarted")


@pytest.mark.parametrize(
    ("parameter", "value", "reason"),
    [
        ("VMon", "broken", "'broken' is not a number"),
        ("VMon", "", "'' is not a number"),
        ("VMon", "1e999", "'1e999' is not a number"),
        ("Pw", "7", "'7' is none of its states"),
        ("ChStatus", "-1", "'-1' is no status word"),
        ("ChStatus", "1.5", "'1.5' is no status word"),
        ("ChStatus", "4294967296", "'4294967296' is no status word"),
    ],
)
def test_bad_value_is_invalid_and_named(tmp_path: Path, parameter: str, value: str, reason: str) -> None:
    path = log(tmp_path, line(0, "RUp", 5), line(1, parameter, value), line(2, parameter, 1))
    (updates,), (rejected,) = read(path)
    assert (rejected.subject, rejected.reason) == (f"{path}: HV 1:0:3:{parameter}", f"line 2: {reason}")
    assert updates.quality.tolist() == [Quality.GOOD, Quality.INVALID, Quality.GOOD]
    assert np.isnan(updates.value[1])


def test_channels_keep_their_columns_over_pieces_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_blocks, "CSV_PIECE_BYTES", 150)
    (tmp_path / "a.log").write_text("".join(line(s, "VMon", s) for s in range(10)))
    with gzip.open(tmp_path / "b.log.gz", "wt") as file:
        file.write("".join(line(s, p, s) for s in range(10, 20) for p in ("IMon", "VMon")))
    blocks, rejected = read(tmp_path / "*.log*")
    assert rejected == []
    assert len(blocks) > 10
    assert [value for block in blocks for value in readings(block, "HV 1:0:3:VMon")] == list(range(20))
    assert {block.layout.position("HV 1:0:3:VMon") for block in blocks} == {0}
    assert blocks[-1].layout.position("HV 1:0:3:IMon") == 1


def test_log_that_ends_early_says_so(tmp_path: Path) -> None:
    whole = gzip.compress("".join(line(s % 60, "VMon", s * 7919 % 1000) for s in range(60_000)).encode())
    (tmp_path / "a.log.gz").write_bytes(whole[: len(whole) * 3 // 4])
    blocks, rejected = read(tmp_path / "a.log.gz")
    assert sum(map(len, blocks)) > 1000
    assert rejected[-1].reason.startswith("ends after line ")


def test_only_file_that_cannot_be_read_is_an_error_one_of_several_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.log.gz").write_bytes(b"no gzip at all")
    with pytest.raises(CollectError, match=r"a\.log\.gz: \S"):
        read(tmp_path / "*")
    log(tmp_path, line(0, "VMon", 1))
    (updates,), (rejected,) = read(tmp_path / "*")
    assert updates.value.tolist() == [1]
    assert rejected.subject == str(tmp_path / "a.log.gz")
    with pytest.raises(CollectError, match="no file matches"):
        read(tmp_path / "none*")


def test_memory_is_bounded_by_a_piece_of_the_log(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.log.gz", "wt", compresslevel=1) as file:
        text = "".join(line(s % 60, p, s) for s in range(5000) for p in ("VMon", "IMon"))
        for _ in range(20):
            file.write(text)
    collector = CaenGecoCollector(Origin("hv", "", lambda: 0), CaenGecoOptions(files=str(tmp_path / "a.log.gz")))
    tracemalloc.start()
    try:
        count = sum(len(item) for item in collector.collect() if isinstance(item, Updates))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 200_000
    assert peak_bytes < 12_000_000, "the log itself has 14 MB, its readings more"


def test_ramps_are_seen_by_the_framework(tmp_path: Path) -> None:
    path = log(tmp_path, line(0, "VMon", 10), line(1, "ChStatus", 3), line(2, "VMon", 500), line(3, "ChStatus", 1), line(4, "VMon", 900))
    (updates,), _ = read(path)
    marked = Ramping([RampingRule(status="*:ChStatus", readings=("{1}:VMon",), bits=(1, 2))]).mark(updates)
    assert not isinstance(marked, Frame)
    at = (marked.time_ns == 1742592182 * NS) & (marked.column == 0)
    assert marked.quality[at].tolist() == [Quality.RAMPING]
    assert marked.quality[-1] == Quality.GOOD


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n"), max_size=60), max_size=20))
def test_whatever_stands_in_a_log_the_readings_are_found(noise: list[str]) -> None:
    lines = [*noise, line(5, "VMon", 1.5).rstrip("\n"), *noise, line(6, "VMon", 2.5).rstrip("\n")]
    found = take_apart(lines)
    name = next(i for i, address in enumerate(found.addresses) if address.name == "HV 1:0:3:VMon")
    at = found.number[found.address == name].tolist()
    assert {len(noise), 2 * len(noise) + 1} <= set(at)
    assert len(found.number) == len(found.value) == len(found.time) == len(found.address)
    assert not set(found.number.tolist()) & set(found.broken.tolist())
    silent = set(range(len(lines))) - set(found.number.tolist()) - set(found.broken.tolist())
    assert all(not lines[i].strip() for i in silent), "only empty lines are passed over in silence"


WORD = st.text(
    alphabet=st.characters(codec="ascii", categories=("L", "N", "P", "Zs"), exclude_characters="[]"), min_size=1, max_size=8
).filter(lambda text: text.strip())


@given(WORD, st.integers(0, 99), st.integers(0, 999), WORD, st.floats(allow_nan=False, allow_infinity=False))
def test_every_reading_that_is_written_is_read_back(crate: str, board: int, number: int, parameter: str, value: float) -> None:
    found = take_apart([f"[2025-03-21T21:23:54]: [{crate}] bd [{board}] ch [{number}] par [{parameter}] val [{value!r}]; \r"])
    assert found.addresses == [(crate.strip(), str(board), str(number), parameter.strip())]
    assert float(found.value[0].as_py()) == value


@pytest.mark.data
def test_real_log_of_a_night(data: Path) -> None:
    """Counts and ranges as awk tells them of the same file."""
    path = data / "hv" / "csc_2025" / "geco_250321_250322.log.gz"
    (updates,), rejected = read(path, timezone="Europe/Zurich")
    assert rejected == []
    assert [column.name for column in updates.layout.columns] == ["HV 1:0:0:IMonH", "HV 1:0:0:VMon"]
    current, voltage = readings(updates, "HV 1:0:0:IMonH"), readings(updates, "HV 1:0:0:VMon")
    assert (len(current), len(voltage)) == (8120, 2816)
    assert (min(current), max(current), round(float(np.mean(current)), 5)) == (2.1, 2.235, 2.16163)
    assert (min(voltage), max(voltage), round(float(np.mean(voltage)), 2)) == (3599.7, 3599.9, 3599.85)
    assert (updates.time_ns[0], updates.time_ns[-1]) == (1742588634 * NS, 1742606101 * NS)
    assert (np.diff(updates.time_ns) >= 0).all()
