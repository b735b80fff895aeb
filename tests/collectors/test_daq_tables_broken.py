"""DAQ snapshot tables that cannot be read, in part or at all."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from collectors.collector import CollectError, Rejected
from collectors.frame import Frame
from tests.collectors.daq_folder import FIRST_MS, NORMAL, collect, snapshot, value, write


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
    broken["fed"][4]["percentBusy"] = "very"
    folder = write(tmp_path, broken)
    lines = gzip.decompress((folder / "fed.csv.gz").read_bytes()).decode().splitlines()
    lines[4:4] = ["1,2,3"]
    (folder / "fed.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    rejected = [(c.subject.rpartition("/")[2], c.reason) for c in collect(folder) if isinstance(c, Rejected)]
    assert ("fed.csv.gz line 5", f"3 cells instead of {len(broken['fed'][0])}") in rejected
    assert ("fed.csv.gz line 2 column t_ms", "the line has no time") in rejected
    assert ("fed.csv.gz line 7 column percentBusy", "'very' is not a number") in rejected
    assert len(rejected) == 3


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
