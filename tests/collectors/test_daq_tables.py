"""Recorded DAQ snapshots: tables of a small DAQ made here, what cannot be read, and the recorded tables of a real one."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.collector import Collected, CollectError, Collector, Origin, Rejected
from collectors.daq_tables import DaqTablesCollector, DaqTablesOptions
from collectors.frame import Channel, Frame, Kind, Quality

FIRST_MS = 1_500_000_000_000
Rows = list[dict[str, object]]
NORMAL: dict[str, dict[str, object]] = {
    "global": {
        "seq": "a",
        "levelZeroState": "Running",
        "daqState": "Running",
        "lhcBeamMode": "RAMP",
        "fb.rate": 700.0,
        "daqAggregatorProducer": "1.9",
    },
    "bu_summary": {"n_bu": 3, "n_Enabled": 2, "n_Mist": 1, "numFUsHLT": 30},
    "subsystem": {"status": "Running"},
    "partition": {"masked": False, "ttsState": "R_8", "tcds_pm_ttsState": "R_8", "percentWarning": 0.5, "percentBusy": 0},
    "ru": {
        "stateName": "Enabled",
        "errorMsg": "",
        "masked": False,
        "requests": 4,
        "fragmentsInRU": 2,
        "incompleteSuperFragmentCount": 0,
        "rate": 700,
    },
    "fed": {
        "ttsState": "R_8",
        "percentBackpressure": 0.0,
        "percentWarning": 0.0,
        "percentBusy": 0.0,
        "eventCounter": 123456789,
        "ruFedDataCorruption": 0,
        "ruFedOutOfSync": 0,
        "ruFedWithoutFragments": False,
        "frlMasked": False,
        "fmmMasked": False,
        "hasSLINK": True,
        "hasTTS": True,
        "dependent_feds": "",
    },
}


def snapshot(time_ms: int) -> dict[str, Rows]:
    """Two strip FEDs on one readout unit, and a pixel FED behind pseudo-FED 11200 on another."""

    def row(table: str, **values: object) -> dict[str, object]:
        return {"t_ms": time_ms, **NORMAL[table], **values}

    strips: dict[str, object] = {"partition": "TOB", "subsystem": "TRACKER", "ru": "ru-a"}
    pixel: dict[str, object] = {"partition": "BPIXP", "subsystem": "PIXEL"}
    behind: dict[str, object] = {"ttsState": "", "hasTTS": False, "fmmMasked": True, "dependent_feds": "11200", "ru": "ru-b"}
    return {
        "global": [row("global", levelZeroStateEntry=time_ms - 5000, **{"bu.fuOutputBandwidthInMB": 50.0})],
        "bu_summary": [row("bu_summary")],
        "subsystem": [row("subsystem", name="TRACKER"), row("subsystem", name="PIXEL", status="FixingSoftError")],
        "partition": [
            row("partition", name="TOB", subsystem="TRACKER"),
            row("partition", name="BPIXP", subsystem="PIXEL", ttsState="", tcds_pm_ttsState="W_1"),
        ],
        "ru": [
            row("ru", hostname="ru-a", instance=7, isEVM=False),
            row("ru", hostname="ru-b", instance=9, isEVM=False),
        ],
        "fed": [
            row("fed", srcIdExpected=434, **strips, ttsState="W_1"),
            row("fed", srcIdExpected=433, **strips, frlMasked=True, fmmMasked=True),
            row("fed", srcIdExpected=1200, **pixel, **behind),
            row("fed", srcIdExpected=11200, **pixel, ru="", hasSLINK=False, frlMasked=True),
        ],
    }


def write(folder: Path, *snapshots: Mapping[str, Sequence[Mapping[str, object]]], suffix: str = ".csv.gz") -> Path:
    folder.mkdir(exist_ok=True)
    for table in NORMAL:
        rows = [row for one in snapshots for row in one[table]]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        content = text.getvalue().encode()
        (folder / f"{table}{suffix}").write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    return folder


def collect(folder: Path, **options: Any) -> list[Collected]:
    collector = DaqTablesCollector(Origin("daq", "CMS", lambda: 0), DaqTablesOptions(folder=folder, **options))
    collected = list(collector.collect())
    collector.close()
    return collected


def frames(folder: Path, **options: Any) -> list[Frame]:
    collected = collect(folder, **options)
    assert not [c for c in collected if isinstance(c, Rejected)]
    return [c for c in collected if isinstance(c, Frame)]


def value(frame: Frame, name: str, row: int = 0) -> float:
    return float(frame.values[row, frame.layout.position(name)])


def word(frame: Frame, name: str, row: int = 0) -> str:
    channel = frame.layout.column(name)
    assert isinstance(channel, Channel)
    assert channel.kind is Kind.STATE
    return channel.states[int(value(frame, name, row))]


def test_a_snapshot_becomes_a_row_with_named_states_and_places(tmp_path: Path) -> None:
    (frame,) = frames(write(tmp_path, snapshot(FIRST_MS)))
    assert frame.time_ns.tolist() == [FIRST_MS * 1_000_000]
    assert word(frame, "fed/434/ttsState") == "WARNING"
    assert word(frame, "partition/BPIXP/tcds_pm_ttsState") == "WARNING"
    assert word(frame, "global/levelZeroState") == "Running"
    assert word(frame, "subsystem/PIXEL/status") == "FixingSoftError"
    assert word(frame, "ru/ru-a/stateName") == "Enabled"
    assert np.isnan(value(frame, "partition/BPIXP/ttsState"))
    assert value(frame, "fed/434/eventCounter") == 123456789
    assert value(frame, "global/levelZeroStateAge") == 5
    assert value(frame, "bu_summary/n_Mist") == 1
    places = {
        name: frame.layout.column(name).place
        for name in ("fed/434/ttsState", "partition/TOB/percentBusy", "ru/ru-a/requests", "global/fb.rate")
    }
    assert places == {
        "fed/434/ttsState": "CMS/TRACKER/TOB/FED 434",
        "partition/TOB/percentBusy": "CMS/TRACKER/TOB",
        "ru/ru-a/requests": "CMS/DAQ/RU ru-a",
        "global/fb.rate": "CMS/DAQ",
    }


def test_links_between_feds_and_readout_units_travel_as_numbers(tmp_path: Path) -> None:
    (frame,) = frames(write(tmp_path, snapshot(FIRST_MS)))
    assert value(frame, "fed/1200/ruInstance") == value(frame, "ru/ru-b/instance") == 9
    assert value(frame, "fed/1200/ttsThroughFed") == 11200
    assert "fed/1200/ttsState" not in frame.layout
    assert "fed/434/ttsThroughFed" not in frame.layout
    assert "fed/11200/percentBackpressure" not in frame.layout


def test_masked_objects_are_muted(tmp_path: Path) -> None:
    masked = snapshot(FIRST_MS)
    masked["partition"][0]["masked"] = True
    masked["ru"][1]["masked"] = True
    (frame,) = frames(write(tmp_path, masked))
    assert frame.quality is not None
    muted = {c.name for c, q in zip(frame.layout.columns, frame.quality[0], strict=True) if q == Quality.MUTED}
    assert {"fed/433/ttsState", "fed/433/eventCounter", "partition/TOB/ttsState", "ru/ru-b/requests"} <= muted
    assert not {"fed/434/ttsState", "fed/1200/percentBackpressure", "fed/11200/ttsState", "ru/ru-b/instance", "fed/433/ruInstance"} & muted


def test_the_fed_that_a_readout_unit_blames_is_a_number(tmp_path: Path) -> None:
    broken = snapshot(FIRST_MS)
    broken["ru"][0] |= {"stateName": "SyncLoss", "errorMsg": "Received an event out of sequence from FED 434 (TRACKER):\nevent 3, not 1"}
    (frame,) = frames(write(tmp_path, broken))
    assert value(frame, "ru/ru-a/errorFed") == 434
    assert word(frame, "ru/ru-a/stateName") == "SyncLoss"


def test_output_bandwidth_of_aggregators_that_added_it_up_is_invalid(tmp_path: Path) -> None:
    early = snapshot(FIRST_MS)
    early["global"][0]["daqAggregatorProducer"] = ""
    (frame,) = frames(write(tmp_path, early, snapshot(FIRST_MS + 2000)))
    readings = frame.readings(np.array([frame.layout.position("global/bu.fuOutputBandwidthInMB")]))
    assert np.isnan(readings[0, 0])
    assert readings[1, 0] == 50


def test_snapshots_come_in_order_and_share_a_layout_while_the_objects_stay(tmp_path: Path) -> None:
    other = snapshot(FIRST_MS + 6000)
    del other["fed"][0]
    tables = write(tmp_path, snapshot(FIRST_MS + 4000), snapshot(FIRST_MS), snapshot(FIRST_MS + 2000), other, snapshot(FIRST_MS + 8000))
    collected = frames(tables)
    assert [len(f) for f in collected] == [3, 1, 1]
    assert np.concatenate([f.time_ns for f in collected]).tolist() == [(FIRST_MS + 2000 * i) * 1_000_000 for i in range(5)]
    assert collected[0].layout is collected[2].layout
    assert "fed/434/ttsState" not in collected[1].layout


def test_choice_by_time_and_sequence(tmp_path: Path) -> None:
    snapshots = [snapshot(FIRST_MS + 1000 * i) for i in range(6)]
    snapshots[4]["global"][0]["seq"] = "b"
    folder = write(tmp_path, *snapshots)
    start, end = (datetime.fromtimestamp(FIRST_MS / 1000 + s, UTC) for s in (1, 5))
    chosen = frames(folder, start=start.isoformat(), end=end.replace(tzinfo=None).isoformat())
    assert np.concatenate([f.time_ns for f in chosen]).tolist() == [(FIRST_MS + 1000 * i) * 1_000_000 for i in (1, 2, 3, 4)]
    assert [f.time_ns.tolist() for f in frames(folder, sequences=["b"])] == [[(FIRST_MS + 4000) * 1_000_000]]
    assert frames(folder, sequences=["none"]) == []


def test_frames_stay_below_the_size_of_a_block(tmp_path: Path) -> None:
    def large(time_ms: int) -> dict[str, Rows]:
        one = snapshot(time_ms)
        one["fed"] = [{**one["fed"][0], "srcIdExpected": n} for n in range(2000)]
        return one

    collected = frames(write(tmp_path, *(large(FIRST_MS + 1000 * i) for i in range(7))))
    assert len(collected) > 1
    assert sum(len(f) for f in collected) == 7
    assert all(f.values.nbytes + (0 if f.quality is None else f.quality.nbytes) < 400_000 for f in collected)
    assert value(collected[-1], "fed/1999/eventCounter", -1) == 123456789


def test_plain_files_are_read_as_well(tmp_path: Path) -> None:
    (frame,) = frames(write(tmp_path, snapshot(FIRST_MS), suffix=".csv"))
    assert word(frame, "fed/434/ttsState") == "WARNING"


@pytest.mark.parametrize(
    ("table", "index", "column", "cell", "line"),
    [
        ("fed", 2, "percentBackpressure", "a lot", 4),
        ("fed", 0, "ttsState", "purple", 2),
        ("fed", 1, "frlMasked", "maybe", 3),
        ("partition", 1, "tcds_pm_ttsState", "Q_7", 3),
        ("ru", 1, "stateName", "Sleeping", 3),
        ("global", 0, "fb.rate", "fast", 2),
        ("subsystem", 0, "status", "Happy", 2),
        ("bu_summary", 0, "n_Enabled", "?", 2),
    ],
)
def test_a_cell_that_cannot_be_read_is_rejected_and_the_rest_goes_on(
    tmp_path: Path, table: str, index: int, column: str, cell: str, line: int
) -> None:
    broken = snapshot(FIRST_MS)
    broken[table][index][column] = cell
    collected = collect(write(tmp_path, broken))
    (rejected,) = [c for c in collected if isinstance(c, Rejected)]
    assert rejected.subject.endswith(f"{table}.csv.gz line {line} column {column}")
    assert cell in rejected.reason
    assert rejected.payload == cell.encode()
    (frame,) = [c for c in collected if isinstance(c, Frame)]
    assert value(frame, "fed/11200/percentBusy") == 0
    assert value(frame, "ru/ru-a/requests") == 4


def test_lines_of_the_wrong_length_and_without_a_time_are_rejected(tmp_path: Path) -> None:
    broken = snapshot(FIRST_MS)
    broken["fed"].insert(0, {**broken["fed"][0], "t_ms": ""})
    folder = write(tmp_path, broken)
    lines = gzip.decompress((folder / "fed.csv.gz").read_bytes()).decode().splitlines()
    lines[4:4] = ["1,2,3"]
    (folder / "fed.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    rejected = [(c.subject.rpartition("/")[2], c.reason) for c in collect(folder) if isinstance(c, Rejected)]
    assert ("fed.csv.gz line 5", f"3 cells instead of {len(broken['fed'][0])}") in rejected
    assert ("fed.csv.gz line 2 column t_ms", "the line has no time") in rejected
    assert len(rejected) == 2


def test_a_broken_column_is_named_line_by_line_only_so_far(tmp_path: Path) -> None:
    many = snapshot(FIRST_MS)
    many["fed"] = [{**many["fed"][0], "srcIdExpected": n, "eventCounter": "?"} for n in range(300)]
    rejected = [c for c in collect(write(tmp_path, many)) if isinstance(c, Rejected)]
    assert len(rejected) == 101
    assert rejected[-1].reason == "'?' is not a number, in 300 lines"


@pytest.mark.parametrize("table", NORMAL)
def test_a_missing_table_is_named(tmp_path: Path, table: str) -> None:
    (write(tmp_path, snapshot(FIRST_MS)) / f"{table}.csv.gz").unlink()
    with pytest.raises(CollectError, match=f"no table {table}.csv.gz"):
        collect(tmp_path)


@pytest.mark.parametrize("table", ["global", "fed"])
def test_a_truncated_table_is_named(tmp_path: Path, table: str) -> None:
    path = write(tmp_path, snapshot(FIRST_MS)) / f"{table}.csv.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(CollectError, match=rf"{table}\.csv\.gz: .*[Tt]runcated"):
        collect(tmp_path)


def test_a_table_without_a_column_is_named(tmp_path: Path) -> None:
    poor = snapshot(FIRST_MS)
    for row in poor["fed"]:
        del row["percentBusy"]
    with pytest.raises(CollectError, match=r"fed\.csv\.gz: .*percentBusy"):
        collect(write(tmp_path, poor))


def test_a_fed_at_two_places_at_once_is_named(tmp_path: Path) -> None:
    torn = snapshot(FIRST_MS)
    torn["fed"].append({**torn["fed"][0], "partition": "TIBTID"})
    with pytest.raises(CollectError, match="fed/434"):
        collect(write(tmp_path, torn))


def test_it_is_a_collector_of_recorded_data() -> None:
    collector = DaqTablesCollector(Origin("daq", "", lambda: 0), DaqTablesOptions(folder=Path()))
    assert isinstance(collector, Collector)
    assert collector.finite


@pytest.mark.data
def test_the_recorded_snapshots_of_three_years(data: Path) -> None:
    collected = frames(data / "daq")
    times = np.concatenate([f.time_ns for f in collected])
    assert len(times) == 811
    assert (np.diff(times) > 0).all()
    assert all(f.values.nbytes + (0 if f.quality is None else f.quality.nbytes) < 400_000 for f in collected)
    assert sum(a.layout is not b.layout for a, b in pairwise(collected)) < 40
    stop = next(f for f in collected if f.time_ns[0] <= 1480508395_000_000_000 <= f.time_ns[-1] + 8_000_000_000)
    assert stop.layout.column("fed/101/ttsState").place == "CMS/TRACKER/TIBTID/FED 101"
    assert "WARNING" in {word(stop, "fed/101/ttsState", row) for row in range(len(stop))}
