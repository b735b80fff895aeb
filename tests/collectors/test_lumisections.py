"""Tables of lumisections in every format, and real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.collector import CollectError, Origin, Rejected
from collectors.dqm.lumisection_tables import dead_time
from collectors.frame import Channel, Frame, Kind, Quality, concatenate
from collectors.lumisections import LumisectionsCollector, LumisectionsOptions
from collectors.tabular.json_tables import columns_in

S = 1_000_000_000
START = "2024-03-08T10:00:00"
START_NS = 1_709_892_000 * S
COLUMNS: dict[str, list[Any]] = {
    "run_number": [381594, 381594, 381595],
    "lumisection_number": [1, 2, 1],
    "pileup": [40.5, 41.0, None],
    "beams_stable": [False, True, True],
    "bpix_ready": [0, 1, 1],
    "prescale_name": ["a", "b", "b"],
}


def collector(files: Path | str, **options: Any) -> LumisectionsCollector:
    given_time = {"start", "time", "run_start", "runs"} & options.keys()
    options = {"files": str(files), **({} if given_time else {"start": START}), **options}
    return LumisectionsCollector(Origin("luminosity", "CMS", lambda: 0), LumisectionsOptions.model_validate(options))


def blocks(source: LumisectionsCollector) -> tuple[list[Frame], list[str]]:
    collected = list(source.collect())
    frames = [item for item in collected if isinstance(item, Frame)]
    return frames, [f"{item.subject}: {item.reason}" for item in collected if isinstance(item, Rejected)]


def read(files: Path | str, **options: Any) -> tuple[Frame, list[str]]:
    frames, rejected = blocks(collector(files, **options))
    return concatenate(frames), rejected


def channel(frame: Frame, name: str) -> list[float]:
    found: list[float] = frame.values[:, frame.layout.position(name)].tolist()
    return found


def save(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def write(path: Path, columns: dict[str, list[Any]], form: str) -> Path:
    names = list(columns)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if form == "parquet":
        pyarrow.parquet.write_table(pa.table(columns), path)
    elif form == "csv":
        cells = [",".join("" if cell is None else str(cell) for cell in row.values()) for row in rows]
        path.write_text("\n".join([",".join(names), *cells]) + "\n")
    else:
        path.write_text(json.dumps(columns if form == "columns" else rows))
    return path


@pytest.mark.parametrize(("form", "suffix"), [("csv", "csv"), ("parquet", "parquet"), ("records", "json"), ("columns", "json")])
def test_every_format_gives_the_same_channels(tmp_path: Path, form: str, suffix: str) -> None:
    frame, rejected = read(write(tmp_path / f"t.{suffix}", COLUMNS, form), units={"pileup": "1"})
    assert not rejected
    assert [(c.name, c.unit, c.kind, c.states) for c in frame.layout.channels] == [
        ("run", "", Kind.STATE, ()),
        ("lumisection", "", Kind.STATE, ()),
        ("pileup", "1", Kind.GAUGE, ()),
        ("beams_stable", "", Kind.STATE, ("false", "true")),
        ("bpix_ready", "", Kind.STATE, ("false", "true")),
    ]
    assert frame.values[:, [0, 1, 3, 4]].tolist() == [[381594, 1, 0, 0], [381594, 2, 1, 1], [381595, 1, 1, 1]]
    assert channel(frame, "pileup")[:2] == [40.5, 41]
    assert np.isnan(channel(frame, "pileup")[2])
    assert frame.time_ns.tolist() == [START_NS, START_NS + 23_310_000_000, START_NS + 46_620_000_000]


def test_times_are_counted_from_the_start_of_the_run(tmp_path: Path) -> None:
    save(tmp_path / "runs.csv", "run_number,start_time\n7,2024-03-08 11:00:00\n8,2024-03-08 12:00:00\n9,\n")
    table = save(tmp_path / "ls.csv", "run,ls,x\n8,1,3\n7,1,1\n7,101,2\n9,1,4\n10,1,5\n8,0,6\n")
    frame, rejected = read(table, runs={"file": tmp_path / "runs.csv"}, timezone="Europe/Zurich")
    assert ((frame.time_ns - START_NS) / S).tolist() == [0, 2331, 3600]  # in order of time, whatever the order in the file
    assert channel(frame, "x") == [1, 2, 3]
    assert rejected == [f"{table}: column 'time': row 4: has no time that can be read; the row is left out (and 2 more rows)"]


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({"run_start": "began"}, [0, 23.31]),
        ({"run_start": "began", "lumisection_s": 60}, [0, 60]),
        ({"time": "at"}, [5, 6]),
        ({"start": START}, [0, 23.31]),
    ],
)
def test_times_come_from_columns(tmp_path: Path, options: dict[str, Any], seconds: list[float]) -> None:
    text = "run,ls,began,at,x\n" + "".join(f"7,{i},{START},2024-03-08T10:00:0{4 + i},1\n" for i in (1, 2))
    frame, rejected = read(save(tmp_path / "t.csv", text), **options)
    assert not rejected
    assert ((frame.time_ns - START_NS) / S).tolist() == seconds


def test_table_without_lumisections_has_a_row_a_run(tmp_path: Path) -> None:
    frame, _ = read(save(tmp_path / "runs.csv", f"run_number,start_time,field\n7,{START},3.8\n"), time="start_time")
    assert [c.name for c in frame.layout.channels] == ["run", "field"]
    assert frame.time_ns.tolist() == [START_NS]


def test_dead_time_is_what_was_delivered_and_not_recorded(tmp_path: Path) -> None:
    text = "run,ls,d,r\n1,1,4,3\n1,2,0,0\n1,3,2,2.0000001\n1,4,2,2.1\n1,5,-1,0\n1,6,,1\n"
    path = save(tmp_path / "t.csv", text)
    frame, (rejected,) = read(path, delivered="d", recorded="r")
    ratio = channel(frame, "dead_time_ratio")
    assert ratio[:3] == pytest.approx([0.25, np.nan, 0], nan_ok=True)
    assert np.isnan(ratio[3:]).all()
    assert frame.quality is not None
    column = frame.quality[:, frame.layout.position("dead_time_ratio")].tolist()
    assert [Quality(q).name for q in column] == ["GOOD", "GOOD", "GOOD", "INVALID", "INVALID", "GOOD"]
    assert "row 4: is not between 0 and 1" in rejected
    assert "1 more row" in rejected


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=10))
def test_dead_time_is_never_out_of_range(pairs: list[tuple[float, float]]) -> None:
    delivered, recorded = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    ratio, bad = dead_time(delivered, recorded)
    assert (np.isnan(ratio) | ((ratio >= 0) & (ratio <= 1))).all()
    assert np.isnan(ratio[bad]).all()


def test_histograms_are_runs_of_columns(tmp_path: Path) -> None:
    text = "run,ls,entries,b_0,b_1,b_2,b_3\n7,2,10,1,2,3,4\n7,1,6,0,1,2,3\n"
    histogram = {"path": "charge", "columns": "b_{}", "entries": "entries", "flow": True, "axes": [{"title": "charge [e]", "high": 8e4}]}
    frame, rejected = read(save(tmp_path / "t.csv", text), histograms=[histogram])
    assert not rejected
    assert frame.layout.view(frame, "charge").tolist() == [[2, 3], [1, 2]]
    assert frame.layout.entries(frame, "charge").tolist() == [10, 6]
    assert frame.layout.histograms[0].axes[0].unit == "e"


def test_flags_are_states_however_they_are_written(tmp_path: Path) -> None:
    text = "run,ls,a,b,x_ready,plain\n7,1,True,FALSE,1,1\n7,2,false,,0,0\n"
    frame, rejected = read(save(tmp_path / "t.csv", text))
    assert not rejected
    kinds = {c.name: c.kind for c in frame.layout.channels}
    assert (kinds["a"], kinds["b"], kinds["x_ready"], kinds["plain"]) == (Kind.STATE, Kind.STATE, Kind.STATE, Kind.GAUGE)
    assert [channel(frame, name)[0] for name in ("a", "b", "x_ready")] == [1, 0, 1]


def test_text_with_named_states_is_a_state(tmp_path: Path) -> None:
    text = "run,ls,mode\n7,1,RAMP\n7,2,STABLE\n7,3,other\n"
    frame, (rejected,) = read(save(tmp_path / "t.csv", text), states={"mode": ["RAMP", "STABLE"]}, places={"mode": "LHC"})
    assert frame.layout.channels[2] == Channel("mode", "mode", "", Kind.STATE, "CMS/LHC", ("RAMP", "STABLE"))
    assert channel(frame, "mode")[:2] == [0, 1]
    assert "'other'" in rejected


def test_lumisection_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    table = save(tmp_path / "t.csv", f"run,ls,began,x\n7,2,{START},1\n7,1,{START},2\n7,2,{START},3\n")
    frame, rejected = read(table, run_start="began")
    assert channel(frame, "x") == [2, 1]
    assert rejected == [f"{table}: 1 rows are there already, the first for run 7, lumisection 2"]


def test_table_that_grows_gives_what_was_added(tmp_path: Path) -> None:
    path = save(tmp_path / "t.csv", "run,ls,x\n7,1,1\n7,2,2\n")
    source = collector(path)
    (frame,), _ = blocks(source)
    assert channel(frame, "lumisection") == [1, 2]
    assert blocks(source) == ([], [])
    for text, added in (("7,3,3\n7,4,12", [3, 12]), ("7,3,3\n7,4,1234\n", [1234]), ("7,3,3\n7,4,1234\n7,5,5\n", [5])):
        save(path, f"run,ls,x\n7,1,1\n7,2,2\n{text}")
        (frame,), _ = blocks(source)
        assert channel(frame, "x") == added


def test_named_tables_by_run_are_joined_by_lumisection(tmp_path: Path) -> None:
    rates = {"HLT_a": {"rate": [1.0, 2.0], "lumisection": [1, 2]}, "HLT_b": {"rate": [3.0, 4.0], "lumisection": [2, 3]}}
    frame, rejected = read(save(tmp_path / "t.json", json.dumps({"381594": rates})))
    assert not rejected
    assert channel(frame, "lumisection") == [1, 2, 3]
    assert channel(frame, "HLT_a/rate")[:2] == [1, 2]
    assert channel(frame, "HLT_b/rate")[1:] == [3, 4]


def test_records_by_run_have_the_key_as_run(tmp_path: Path) -> None:
    path = save(tmp_path / "t.json", json.dumps({"296168": {"BField": 3.799, "Start": START}, "296172": {"BField": 3.8, "Start": None}}))
    frame, (rejected,) = read(path, time="Start")
    assert (channel(frame, "run"), channel(frame, "BField")) == ([296168], [3.799])
    assert "row 2" in rejected


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"a": 1}', '{"a": [1, 2], "b": [1]}', '[{"a": 1}', "[" * 100_000])
def test_document_that_is_no_table_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    path = save(tmp_path / "t.json", text)
    with pytest.raises(CollectError, match=r"t\.json: .+"):
        read(path)
    save(tmp_path / "u.json", json.dumps(COLUMNS))
    frame, (rejected,) = read(tmp_path / "?.json")
    assert len(frame) == 3
    assert rejected.startswith(f"{path}: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@given(JSON)
def test_any_document_is_a_table_or_said_to_be_none(document: Any) -> None:
    try:
        columns = columns_in(document)
    except ValueError:
        return
    assert len({len(column) for column in columns.values()}) <= 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"run": "nummer"}, "no column 'nummer'"),
        ({"time": "when"}, "no column 'when'"),
        ({"delivered": "d", "recorded": "x"}, "no column 'd'"),
        ({"runs": {"file": "runs.csv", "start": "none"}}, "no column 'none'"),
        ({"runs": {"file": "t.csv", "start": "x"}}, "no run with a start"),
    ],
)
def test_column_that_is_not_there_is_an_error_that_names_it(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    path = save(tmp_path / "t.csv", "run,ls,x\n7,1,\n")
    save(tmp_path / "runs.csv", f"run,start_time\n7,{START}\n")
    if "runs" in options:
        options = {"runs": {**options["runs"], "file": tmp_path / options["runs"]["file"]}}
    with pytest.raises(CollectError, match=reason):
        read(path, **options)


@pytest.mark.parametrize(
    "options", [{}, {"start": START, "time": "t"}, {"start": START, "delivered": "d"}, {"start": START, "timezone": "Mars"}]
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"one of `time`|both `delivered`|no time zone"):
        LumisectionsOptions.model_validate({"files": "t.csv", **options})


@pytest.mark.data
def test_real_luminosity_gives_the_loss_of_the_data_acquisition(data: Path) -> None:
    path = data / "dqm" / "oms_2024" / "omsdata_Run2024E-v1.json"
    frame, rejected = read(path, delivered="delivered_lumi_per_lumisection", recorded="recorded_lumi_per_lumisection")
    assert not rejected
    assert len(frame) == 33_796
    ratio, stable = (np.array(channel(frame, name)) for name in ("dead_time_ratio", "beams_stable"))
    with path.open() as file:
        columns = json.load(file)
    delivered, recorded = (np.array(columns[f"{name}_lumi_per_lumisection"]) for name in ("delivered", "recorded"))
    known = delivered > 0
    assert ratio[known] == pytest.approx(1 - recorded[known] / delivered[known], abs=1e-6)
    assert np.isnan(ratio[~known]).all()
    assert 0.01 < np.nanmedian(ratio[stable == 1]) < 0.1


@pytest.mark.data
def test_real_histograms_have_the_times_of_their_runs(data: Path) -> None:
    folder = data / "dqm" / "pixel_2017B"
    histogram = {"path": "charge", "columns": "bin_{}", "flow": True, "entries": "entries"}
    frame, rejected = read(
        folder / "data_ext_train.csv", runs={"file": folder / "cmsoms_2017B.csv"}, histograms=[histogram], include=["good*"], block_rows=500
    )
    assert not rejected
    assert len(frame) == 3100
    assert (np.diff(frame.time_ns) > 0).all()
    assert np.array_equal(frame.layout.view(frame, "charge", flow=True).sum(axis=1), frame.layout.entries(frame, "charge"))


@pytest.mark.data
def test_real_trigger_rates_are_channels(data: Path) -> None:
    frame, rejected = read(data / "dqm" / "oms_2024" / "hltrate_Run2024E-v1.json", units={"*/rate": "Hz"})
    assert not rejected
    assert {"HLT_Physics_v12/rate", "HLT_ZeroBias_v11/rate"} <= {c.name for c in frame.layout.channels}
