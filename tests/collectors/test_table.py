"""Recorded tables of every form, with cells, rows and files that cannot be read."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from collectors.collector import CollectError, Rejected
from collectors.frame import Channel, Frame, Kind, Quality, Updates
from collectors.table import TableOptions
from tests.collectors.table_reading import SECOND, read, save, table


def test_wide_csv_becomes_a_frame_with_a_channel_for_each_column_of_numbers(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", "time;pressure [bar];valve;note\n2020-02-08 13:30:47;1.5;2;ok\n2020-02-08 13:30:48.25;;3;ok\n")
    frame, rejected = read(path, places={"val*": "pump/{1}"}, kinds={"valve": "counter"})
    assert not rejected
    assert frame.layout.columns == (
        Channel("pressure [bar]", "pressure", "bar", Kind.GAUGE, "LAB"),
        Channel("valve", "valve", "", Kind.COUNTER, "LAB/pump/ve"),
    )
    assert frame.values[:, 1].tolist() == [2, 3]
    assert frame.values[0, 0] == 1.5
    assert np.isnan(frame.values[1, 0])
    assert (frame.time_ns - frame.time_ns[0]).tolist() == [0, 1_250_000_000]
    assert frame.time_ns[0] == int(datetime(2020, 2, 8, 13, 30, 47, tzinfo=UTC).timestamp()) * SECOND


def test_text_in_a_column_of_numbers_is_rejected_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = [f"{i},{i},{i}" for i in range(1, 21)]
    rows[4], rows[5], rows[6] = "5,broken,5", "6,,inf", "7,broken,7"
    path = save(tmp_path / "a.csv", "t,x,y\n" + "\n".join(rows) + "\n")
    frame, rejected = read(path)
    assert rejected == [
        f"{path}: column 'x': row 5: 'broken' is not a number (and 1 more rows)",
        f"{path}: column 'y': row 6: 'inf' is not a number",
    ]
    assert np.flatnonzero(np.isnan(frame.values[:, 0])).tolist() == [4, 5, 6]
    assert np.flatnonzero(np.isnan(frame.values[:, 1])).tolist() == [5]
    assert frame.quality is not None
    assert np.argwhere(frame.quality == Quality.INVALID).tolist() == [[4, 0], [5, 1], [6, 0]]


def test_many_bad_columns_give_few_rejections(tmp_path: Path) -> None:
    header = ",".join(f"c{i}" for i in range(50))
    path = save(tmp_path / "a.csv", f"t,{header}\n1,{','.join(['1'] * 50)}\n2,{','.join(['x'] * 50)}\n")
    _, rejected = read(path)
    assert len(rejected) == 6
    assert "45 more bad cells in 45 columns" in rejected[-1]


def test_rows_without_a_time_or_with_too_few_columns_are_left_out(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", "time,x\n2020-01-01 00:00:00,1\nyesterday,2\n3\n2020-01-01 00:00:02,4\n")
    frame, rejected = read(path)
    assert frame.values[:, 0].tolist() == [1, 4]
    assert sorted(rejected) == [
        f"{path}: column 'time': row 2: has no time that can be read; the row is left out",
        f"{path}: line 4: 1 columns, expected 2",
    ]


def test_text_that_is_not_utf_8_stops_nothing(tmp_path: Path) -> None:
    rows = [f"{i},{i},ok" for i in range(1, 200_001)]
    rows[100_000] = "100001,100001,André"
    (tmp_path / "a.csv").write_bytes(("t,depth [µm],note\n" + "\n".join(rows) + "\n").encode("latin-1"))
    frame, rejected = read(str(tmp_path / "a.csv"))
    assert not rejected
    assert frame.layout.columns[0].name == "depth [µm]"
    assert frame.values[:, 0].tolist() == list(range(1, 200_001))


def test_files_are_read_in_the_order_of_the_numbers_in_their_names(tmp_path: Path) -> None:
    for run in (99_999, 100_000, 9):
        save(tmp_path / f"run_{run}.csv", f"t,x\n{run},{run}\n")
    frame, _ = read(str(tmp_path / "run_*.csv"))
    assert frame.values[:, 0].tolist() == [9, 99_999, 100_000]


def test_states_are_read_by_name_or_number(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", "t,tts,beam\n1,READY,true\n2,1,false\n3,LOST,true\n4,7,true\n")
    frame, rejected = read(path, states={"tts": ["READY", "BUSY"]})
    assert frame.layout.channels[0].kind is Kind.STATE
    assert frame.layout.channels[0].states == ("READY", "BUSY")
    assert frame.values[:2].tolist() == [[0, 1], [1, 0]]
    assert np.isnan(frame.values[2:, 0]).all()
    assert rejected == [f"{path}: column 'tts': row 3: 'LOST' is not a number (and 1 more rows)"]


def test_files_follow_one_another_and_rows_without_times_are_counted_through(tmp_path: Path) -> None:
    for i, name in enumerate("ba"):
        with gzip.open(tmp_path / f"{name}.csv.gz", "wt") as file:
            file.write(f"x\n{i}\n{i}\n")
    frame, _ = read(tmp_path / "*.csv.gz", row_period_s=0.5, start="2020-01-01T00:00:00Z", block_rows=1)
    assert frame.values[:, 0].tolist() == [1, 1, 0, 0]
    assert np.diff(frame.time_ns).tolist() == [SECOND // 2] * 3


def test_long_table_becomes_updates_in_the_order_of_its_rows(tmp_path: Path) -> None:
    path = save(
        tmp_path / "hv.tsv",
        "HV1_MV \t 1571187936 \t -1601 \t 0\nSTATE\t1571187937\tON\t0\nHV1_MV\t1571187938\tbad\t0\nT1\t1571187939\t21.5\t0\n",
    )
    collected = list(
        table(
            path,
            names=["name", "time", "value", "status"],
            channel="name",
            states={"STATE": ["OFF", "ON"]},
            units={"*_MV": "V"},
            exclude=["T1"],
        ).collect()
    )
    (updates,) = (item for item in collected if isinstance(item, Updates))
    assert [(c.name, c.unit) for c in updates.layout.channels] == [("HV1_MV", "V"), ("STATE", "")]
    assert updates.column.tolist() == [0, 1, 0]
    assert updates.value[:2].tolist() == [-1601, 1]
    assert updates.quality.tolist() == [Quality.GOOD, Quality.GOOD, Quality.INVALID]
    assert updates.time_ns.tolist() == [1571187936 * SECOND, 1571187937 * SECOND, 1571187938 * SECOND]
    (rejected,) = (item for item in collected if isinstance(item, Rejected))
    assert (rejected.subject, rejected.reason) == (f"{path}: column 'value'", "row 3: 'bad' is not a number")


def test_parquet_with_times_and_numbers_of_its_own_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    moments = pa.array([1, 2], pa.timestamp("ms", "UTC"))
    pyarrow.parquet.write_table(pa.table({"when": moments, "n": pa.array([1, None], pa.int32()), "s": ["x", "y"]}), path)
    frame, rejected = read(path, time="when")
    assert not rejected
    assert frame.time_ns.tolist() == [1_000_000, 2_000_000]
    assert [c.name for c in frame.layout.channels] == ["n"]
    assert frame.values[0, 0] == 1
    assert np.isnan(frame.values[1, 0])


def test_histogram_from_a_run_of_columns(tmp_path: Path) -> None:
    path = save(
        tmp_path / "a.csv", "run,entries,bin_0,bin_10,bin_1,bin_2,bin_3,bin_4,bin_5,bin_6,bin_7,bin_8,bin_9\n1,60,1,9,2,3,4,5,6,7,8,9,6\n"
    )
    axes = [{"title": "charge [e]", "low": 0, "high": 90}]
    histogram = {"path": "charge", "columns": "bin_{}", "flow": True, "entries": "entries", "axes": axes, "place": "pixel"}
    frame, _ = read(path, row_period_s=1, histograms=[histogram], kinds={"run": "state"})
    assert [c.name for c in frame.layout.columns] == ["run", "charge"]
    charge = frame.layout.histograms[0]
    assert (charge.axes[0].name, charge.axes[0].unit, charge.axes[0].bins, charge.axes[0].high, charge.place) == (
        "charge",
        "e",
        9,
        90,
        "LAB/pixel",
    )
    assert frame.layout.entries(frame, "charge").tolist() == [60]
    assert frame.layout.view(frame, "charge", flow=True).tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9, 6, 9]]


def test_archive_with_maps_and_fractions(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", maps=np.full((2, 2, 3), 0.25), norms=[8, 4], runs=[1, 2])
    histogram = {"path": "map", "array": "maps", "entries": "norms", "normalised": True, "axes": [{"bins": 2}, {"bins": 3}]}
    frame, _ = read(tmp_path / "a.npz", vectors=["runs"], row_period_s=60, histograms=[histogram])
    assert [c.name for c in frame.layout.columns] == ["runs", "map"]
    assert frame.layout.view(frame, "map").tolist() == [[[2] * 3] * 2, [[1] * 3] * 2]
    assert frame.layout.entries(frame, "map").tolist() == [8, 4]


def test_archive_with_a_column_a_channel_and_a_vector_of_times(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train=np.zeros((3, 2), np.float32), test=np.ones((2, 2), np.float32), test_label=[0, 1], when=[5, 6])
    frame, _ = read(tmp_path / "a.npz", array="test", time="when")
    assert [c.name for c in frame.layout.channels] == ["dim_1", "dim_2"]
    assert frame.values.tolist() == [[1, 1], [1, 1]]
    assert frame.time_ns.tolist() == [5 * SECOND, 6 * SECOND]


def test_damaged_end_of_a_file_leaves_what_was_read(tmp_path: Path) -> None:
    lines = "".join(f"{i},{i * 7919 % 1000}\n" for i in range(1, 1_000_000))
    whole = gzip.compress(("t,x\n" + lines).encode(), 1)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    frame, rejected = read(path)
    assert len(frame) > 1000
    assert len(rejected) == 1
    assert "ends after row" in rejected[0]


def test_a_large_table_is_read_in_bounded_memory(tmp_path: Path) -> None:
    line = ",".join(["0.123456789"] * 40) + "\n"
    path = save(tmp_path / "a.csv", ",".join(f"c{i}" for i in range(40)) + "\n" + line * 80_000)
    size, peak, rows = path.stat().st_size, 0, 0
    for item in table(path, row_period_s=1).collect():
        assert isinstance(item, Frame)
        rows += len(item)
        peak = max(peak, pa.total_allocated_bytes())
    assert rows == 80_000
    assert peak < size / 2


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.csv", b"", {}, "it is empty"),
        ("a.csv", "t,x\n1,2\n".encode("utf-16"), {}, "no text in UTF-8 or Latin-1"),
        ("a.csv", b"x,y\n1,2\n", {}, "no column of times among x, y"),
        ("a.csv", b"t,x\n1,2\n", {"time": "when"}, "no column 'when'"),
        ("a.csv", b"t,t\n1,2\n", {}, "'t' is there twice"),
        ("a.csv", b"t,x\n1,word\n", {}, "no column of numbers"),
        ("a.csv", b"t,b_1,b_3\n1,2,3\n", {"histograms": [{"path": "h", "columns": "b_{}"}]}, "gaps"),
        ("a.csv", b"t,c,v\n1,2,3\n", {"channel": "name"}, "no column 'name'"),
        ("a.parquet", b"PAR1 but not really", {}, "Parquet"),
        ("a.npz", b"not an archive", {}, "a.npz"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, options: dict[str, Any], message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CollectError, match=message) as error:
        list(table(tmp_path / name, **options).collect())
    assert str(tmp_path / name) in str(error.value)


def test_one_bad_file_of_several_does_not_stop_the_others(tmp_path: Path) -> None:
    save(tmp_path / "a.csv", "")
    save(tmp_path / "b.csv", "t,x\n1,2\n")
    frame, rejected = read(tmp_path / "*.csv")
    assert frame.values.tolist() == [[2]]
    assert rejected == [f"{tmp_path / 'a.csv'}: it is empty"]


@pytest.mark.parametrize(
    "histogram",
    [
        {"path": "h"},
        {"path": "h", "columns": "bins"},
        {"path": "h", "columns": "b{}", "normalised": True},
        {"path": "h", "array": "a", "axes": [{}, {}]},
        {"path": "h", "array": "a", "axes": [{"low": 5, "high": 5}]},
        {"path": "h", "array": "a", "axes": [{"bins": 3, "low": 5}]},
        {"path": "h", "array": "a", "axes": [{"edges": [0, 2, 1]}]},
        {"path": "h", "array": "a", "axes": [{"edges": [0, 1, 2], "bins": 3}]},
        {"path": "h", "array": "a", "axes": [{"labels": ["a", "b"], "bins": 3}]},
    ],
)
def test_histograms_that_cannot_work_are_refused(histogram: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="histograms"):
        TableOptions.model_validate({"files": "a.csv", "histograms": [histogram]})


@pytest.mark.data
def test_server_machine_archive(data: Path) -> None:
    frame, rejected = read(data / "smd" / "machine-1-3.npz", array="test", row_period_s=60)
    assert not rejected
    assert frame.values.shape == (23703, 38)
    assert frame.layout.channels[0].name == "dim_1"
    with np.load(data / "smd" / "machine-1-3.npz") as archive:
        assert np.array_equal(frame.values, archive["test"].astype(np.float64))


@pytest.mark.data
def test_pump_test_bed(data: Path) -> None:
    frame, rejected = read(data / "hv" / "skab" / "valve1" / "*.csv", exclude=["anomaly", "changepoint"])
    assert not rejected
    assert frame.values.shape[1] == 8
    assert len(frame) > 10_000


@pytest.mark.data
def test_pixel_charge_histograms(data: Path) -> None:
    axes = [{"title": "charge [e]", "low": 0, "high": 80000}]
    histogram = {"path": "charge", "columns": "bin_{}", "flow": True, "entries": "entries", "axes": axes}
    path = data / "dqm" / "pixel_2017B" / "data_ext_train.csv"
    frame, rejected = read(path, row_period_s=23.31, histograms=[histogram], include=["run", "lumi"], kinds={"*": "state"})
    assert not rejected
    assert [c.name for c in frame.layout.columns] == ["run", "lumi", "charge"]
    assert frame.layout.view(frame, "charge").shape == (len(frame), 100)
    assert frame.layout.entries(frame, "charge")[0] == 101614
    inside = frame.layout.view(frame, "charge", flow=True).sum(axis=1)
    assert np.array_equal(inside, frame.layout.entries(frame, "charge"))
