"""Records of events: added up, grouped, and with what cannot be used named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from collectors.collector import CollectError, Origin, Rejected
from collectors.frame import Frame, Layout
from collectors.records import RecordsCollector
from collectors.tabular import records_rows
from collectors.tabular.records_intervals import HASHES_KEPT, RELATIVE_ERROR
from collectors.tabular.records_options import RecordsOptions

HOUR_NS = 3_600_000_000_000
START_S = 1_700_002_800  # a full hour
NOW_NS = (START_S + 10**8) * 1_000_000_000
TRANSFERS = """start,from,to,user,size,took,state
2023-11-14T23:00:10,CERN,FNAL,alice,4000,2,DONE
2023-11-14T23:20:00,CERN,FNAL,bob,1000,1,DONE
2023-11-14T23:59:59,CERN,DESY,alice,500,0,FAILED: timeout
2023-11-15T01:00:00,CERN,FNAL,carol,2000,4,FAILED: no space
"""
OPTIONS: dict[str, Any] = {"time": "start", "size": "size", "elapsed": "took", "status": "state", "failed": ["FAILED*"]}


def collected(
    options: dict[str, Any], origin: Origin | None = None
) -> tuple[Layout, np.ndarray[Any, Any], dict[str, list[float]], list[Rejected]]:
    """Layout, times, values by channel, and what was rejected."""
    collector = RecordsCollector(origin or Origin("transfers", "GRID", lambda: NOW_NS), RecordsOptions.model_validate(options))
    items = list(collector.collect())
    frames = [item for item in items if isinstance(item, Frame)]
    layout = frames[0].layout if frames else Layout("transfers", ())
    assert all(frame.layout is layout for frame in frames)
    time_ns = np.concatenate([np.empty(0, np.int64), *(frame.time_ns for frame in frames)])
    assert (np.diff(time_ns) > 0).all()
    values = np.concatenate([np.empty((0, layout.width)), *(frame.values for frame in frames)])
    named = {column.name: values[:, i].tolist() for i, column in enumerate(layout.columns)}
    return layout, time_ns, named, [item for item in items if isinstance(item, Rejected)]


def written(folder: Path, text: str = TRANSFERS, name: str = "transfers.csv") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_each_interval_says_how_many_how_much_how_fast_and_how_many_failed(tmp_path: Path) -> None:
    layout, time_ns, values, rejected = collected({"files": written(tmp_path), **OPTIONS})
    assert not rejected
    assert ((time_ns // 1_000_000_000 - START_S) / 3600).tolist() == [1, 2, 3]  # a row stands at the end of its interval
    assert values["records"] == [3, 0, 1]
    assert values["bytes"] == [5500, 0, 2000]
    assert values["failures"] == [1, 0, 1]
    np.testing.assert_equal(values["failure_ratio"], [1 / 3, np.nan, 1])
    np.testing.assert_equal(values["rate_mean"], [1500, np.nan, 500])  # what took no time has no rate
    np.testing.assert_allclose(values["rate_p95"], [2000, np.nan, 500], rtol=RELATIVE_ERROR)
    units = {column.name: column.unit for column in layout.channels}
    assert (units["records"], units["bytes"], units["failure_ratio"], units["rate_p50"]) == ("1", "B", "1", "B/s")
    assert {column.place for column in layout.columns} == {"GRID"}


def test_groups_have_channels_and_places_of_their_own(tmp_path: Path) -> None:
    grouped = {"group_by": ["from", "to"], "place_columns": ["to"], "quantities": ["records", "throughput", "record_rate"]}
    layout, _, values, _ = collected({"files": written(tmp_path), **OPTIONS, **grouped})
    assert values["CERN/FNAL/records"] == [2, 0, 1]
    assert values["CERN/DESY/records"] == [1, 0, 0]
    assert values["CERN/FNAL/throughput"] == [5000 / 3600, 0, 2000 / 3600]
    assert values["CERN/FNAL/record_rate"] == [2 / 3600, 0, 1 / 3600]
    assert layout.column("CERN/DESY/records").place == "GRID/DESY"
    patterns = {"group_by": ["from", "to"], "places": {"*/*": "links/{1}-{2}"}, "exclude": ["*/DESY"]}
    layout, _, values, _ = collected({"files": written(tmp_path), **OPTIONS, **patterns})
    assert layout.column("CERN/FNAL/records").place == "GRID/links/CERN-FNAL"
    assert "CERN/DESY/records" not in values


def test_the_largest_groups_have_names_and_the_rest_is_other(tmp_path: Path) -> None:
    lines = [f"2023-11-14T23:00:{i % 60:02d},site{i % 7},{(i % 7) * 100}" for i in range(70)]
    files = written(tmp_path, "start,site,size\n" + "\n".join(lines) + "\n")
    limited = {"files": files, "time": "start", "size": "size", "group_by": ["site"], "groups_most": 2, "quantities": ["bytes", "records"]}
    _, _, values, _ = collected(limited)
    assert values == {
        "site5/bytes": [5000],
        "site5/records": [10],
        "site6/bytes": [6000],
        "site6/records": [10],
        "other/bytes": [10_000],
        "other/records": [50],
    }


def test_people_are_named_only_where_they_are_asked_for(tmp_path: Path) -> None:
    files = written(tmp_path, TRANSFERS + "2023-11-15T02:00:00,alice,too,few\n")
    layout, _, values, rejected = collected({"files": files, **OPTIONS, "distinct": ["user"]})
    assert values["distinct_user"] == [2, 0, 1]
    assert rejected
    assert "alice" not in repr(layout) + repr(rejected)
    _, _, values, _ = collected({"files": files, **OPTIONS, "group_by": ["user"]})
    assert values["alice/records"] == [2, 0, 0]


def test_pseudonyms_stay_the_same_and_depend_on_the_key(tmp_path: Path) -> None:
    def names(key: str) -> set[str]:
        (tmp_path / "key").write_text(key)
        hidden = {"group_by": ["user"], "hash_columns": ["user"], "hash_key_file": str(tmp_path / "key"), "quantities": ["records"]}
        _, _, values, _ = collected({"files": written(tmp_path), **OPTIONS, **hidden})
        return set(values)

    first = names("a key of 16 bytes")
    assert len(first) == 3
    assert not any(name in repr(first) for name in ("alice", "bob", "carol"))
    assert names("a key of 16 bytes\n") == first
    assert not names("another key, 16 bytes") & first


def test_labels_say_what_codes_mean_and_patterns_choose_among_them(tmp_path: Path) -> None:
    files = written(tmp_path, "t,kind,n\n1700002800,0,2\n1700002801,1,3\n1700002802,,5\n")
    _, _, values, _ = collected(
        {"files": files, "time": "t", "group_by": ["kind"], "count": "n", "labels": {"kind": {"0": "write", "1": "read"}}}
    )
    assert values == {"write/records": [2], "read/records": [3], "unknown/records": [5]}


def test_day_sums_with_a_date_in_three_columns_in_any_order(tmp_path: Path) -> None:
    files = written(tmp_path, "year,month,day,sum(rb)\n2017,3,3,5\n2017,3,1,7\n2017,13,1,1\n2017,3,3,2\n")
    _, time_ns, values, rejected = collected(
        {
            "files": files,
            "time": ["year", "month", "day"],
            "interval_s": 86400,
            "sums": [{"name": "read", "column": "sum(rb)", "factor": 10}],
        }
    )
    assert time_ns.astype("datetime64[ns]").astype("datetime64[D]").astype(str).tolist() == ["2017-03-02", "2017-03-03", "2017-03-04"]
    assert values["read"] == [70, 0, 70]
    assert [(item.subject, item.reason) for item in rejected] == [
        (f"{files}: column 'year'", "row 3: has no time that can be read; the record is left out")
    ]


def test_totals_without_times_are_from_when_the_options_say(tmp_path: Path) -> None:
    files = written(tmp_path, "app,read\nfuse,5\ngridftp,7\n")
    totals = {"files": files, "at": "2017-09-30T12:00:00Z", "interval_s": 86400, "group_by": ["app"], "size": "read"}
    _, time_ns, values, _ = collected(totals)
    assert str(time_ns.astype("datetime64[ns]")[0]) == "2017-10-01T00:00:00.000000000"
    assert (values["fuse/bytes"], values["gridftp/bytes"]) == ([5], [7])


def test_local_times_are_read_in_their_zone(tmp_path: Path) -> None:
    files = written(tmp_path, "t\n2024-07-01T02:30:00\n")
    _, time_ns, _, _ = collected({"files": files, "time": "t", "timezone": "Europe/Zurich"})
    assert str(time_ns.astype("datetime64[ns]")[0]).startswith("2024-07-01T01:00:00.0")


def test_late_records_are_counted_and_left_out(tmp_path: Path) -> None:
    lines = [f"{START_S + 600 * i},1" for i in range(30)]
    files = written(tmp_path, "t,n\n" + "\n".join([*lines, f"{START_S},100"]) + "\n")
    options = {"files": files, "time": "t", "count": "n", "block_records": 10}
    _, _, values, rejected = collected({**options, "lateness_s": 1800})
    assert values["records"] == [6, 6, 6, 6, 6]
    assert [item.reason for item in rejected] == [
        "1 records came after their interval was complete (lateness_s) and are left out, the first in row 31"
    ]
    _, _, values, rejected = collected(options)
    assert (values["records"], rejected) == ([106, 6, 6, 6, 6], [])


def test_with_little_memory_the_oldest_intervals_are_closed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_rows, "OPEN_CELLS_MOST", 200)
    lines = [f"{START_S + 3600 * i}" for i in range(200)]
    files = written(tmp_path, "t\n" + "\n".join([*lines, f"{START_S}"]) + "\n")
    _, _, values, rejected = collected({"files": files, "time": "t", "block_records": 10})
    assert values["records"] == [1] * 200
    assert "row 201" in rejected[0].reason


def test_a_record_from_the_future_does_not_make_all_others_late(tmp_path: Path) -> None:
    files = written(tmp_path, f"t\n{START_S}\n{START_S + 2 * 10**8}\n{START_S + 5}\n")
    _, _, values, rejected = collected({"files": files, "time": "t", "lateness_s": 0, "block_records": 1})
    assert values["records"] == [2]
    assert rejected[0].reason == "1 records lie in the future and are left out, the first in row 2"


def test_a_long_silence_is_not_filled_with_rows_for_ever(tmp_path: Path) -> None:
    files = written(tmp_path, f"t\n1\n{START_S}\n{START_S + 10}\n")
    _, time_ns, values, _ = collected({"files": files, "time": "t", "interval_s": 1})
    assert len(time_ns) < 2 * records_rows.EMPTY_MOST + 100_000
    assert sum(values["records"]) == 3
    assert values["records"][-11:] == [1, *[0] * 9, 1]


def test_all_formats_say_the_same(tmp_path: Path) -> None:
    table = pd.read_csv(written(tmp_path))
    records = json.loads(table.to_json(orient="records"))
    nested = [{**{k: v for k, v in record.items() if k != "size"}, "data": {"size": record["size"]}} for record in records]
    (tmp_path / "a.json").write_text(json.dumps(records))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(json.dumps(record) for record in records).encode()))
    (tmp_path / "nested.jsonl").write_text("\n".join(json.dumps(record) for record in nested))
    table.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TRANSFERS.encode()))
    _, expected_ns, expected, _ = collected({"files": str(tmp_path / "transfers.csv"), **OPTIONS})
    for name in ("a.json", "a.jsonl.gz", "a.parquet", "a.csv.gz", "nested.jsonl"):
        options = {**OPTIONS, "size": "data.size"} if name == "nested.jsonl" else OPTIONS
        _, time_ns, values, rejected = collected({"files": str(tmp_path / name), **options})
        assert (rejected, time_ns.tolist()) == ([], expected_ns.tolist()), name
        np.testing.assert_equal(values, expected, err_msg=name)


def test_broken_lines_and_mixed_columns_of_json_cost_only_themselves(tmp_path: Path) -> None:
    lines = [
        {"t": START_S, "size": 1},
        {"t": START_S, "size": "2"},
        {"t": START_S, "size": "lots"},
        {"t": START_S},
        {"t": "never", "size": 4},
    ]
    text = "\n".join([json.dumps(line) for line in lines] + ["[1]", '{"t": 1']) + "\n"
    _, _, values, rejected = collected({"files": written(tmp_path, text, "r.jsonl"), "time": "t", "size": "size"})
    assert (values["records"], values["bytes"]) == ([4], [3])
    reasons = " | ".join(f"{item.subject} {item.reason}" for item in rejected)
    assert "no JSON object in line 6, 7" in reasons
    assert "column 'size' row 3: is not a number" in reasons
    assert "lots" not in reasons
    assert "row 5: has no time" in reasons


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", "{}", "not a JSON array"),
        ("a.json", "", "it is empty"),
        ("a.json", "[1, 2", "Expecting"),
        ("a.csv", "when,size\n1,2\n", "names none of the columns t; give `names`"),
        ("a.parquet", "no parquet", "Parquet"),
    ],
)
def test_a_file_of_which_nothing_can_be_read_is_named(tmp_path: Path, name: str, text: str, reason: str) -> None:
    with pytest.raises(CollectError, match=reason) as raised:
        collected({"files": written(tmp_path, text, name), "time": "t"})
    assert str(tmp_path / name) in str(raised.value)


def test_one_bad_file_among_several_is_rejected_and_the_rest_goes_on(tmp_path: Path) -> None:
    written(tmp_path, f"t,app\n{START_S},a\n", "1.csv")
    written(tmp_path, "when,app\n1,b\n", "2.csv")
    written(tmp_path, f"t,app\n{START_S},a\n", "3.csv")
    _, _, values, rejected = collected({"files": str(tmp_path / "*.csv"), "time": "t", "group_by": ["app"]})
    assert values["a/records"] == [2]
    assert [item.subject for item in rejected] == [str(tmp_path / "2.csv")]


def test_distinct_values_are_exact_up_to_a_limit_and_close_beyond(tmp_path: Path) -> None:
    few, many = HASHES_KEPT - 10, 40_000
    lines = [*(f"{START_S},u{i % few}" for i in range(2 * few)), *(f"{START_S + 3600},u{i}" for i in range(many))]
    _, _, values, _ = collected({"files": written(tmp_path, "t,user\n" + "\n".join(lines)), "time": "t", "distinct": ["user"]})
    assert values["distinct_user"][0] == few
    assert values["distinct_user"][1] == pytest.approx(many, rel=0.05)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"time": "t", "at": "2020-01-01T00:00:00Z"},
        {"time": ["year", "month"]},
        {"time": "t", "elapsed": "e"},
        {"time": "t", "size": "s", "elapsed": "e", "value": "v"},
        {"time": "t", "status": "s"},
        {"time": "t", "status": "s", "failed": ["F"], "succeeded": ["S"]},
        {"time": "t", "failed": ["F"]},
        {"time": "t", "place_columns": ["site"]},
        {"time": "t", "group_by": ["user"], "hash_columns": ["user"]},
        {"time": "t", "group_by": ["user"], "hash_columns": ["user"], "hash_key_file": "/nowhere/key"},
        {"time": "t", "sums": [{"name": "records", "column": "c"}]},
        {"time": "t", "timezone": "Mars/Olympus"},
        {"time": "t", "quantities": ["bytes"]},
        {"time": "t", "follow": True},
    ],
)
def test_options_that_contradict_one_another_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RecordsOptions.model_validate({"files": "x", **wrong})


RECORD = st.tuples(
    st.integers(0, 30_000),
    st.sampled_from("abcd"),
    st.one_of(st.none(), st.floats(-1e9, 1e9, allow_nan=False)),
    st.sampled_from(["ok", "bad", ""]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(RECORD, min_size=1, max_size=60), st.integers(1, 20), st.integers(60, 9000))
def test_blocks_of_any_size_give_what_pandas_gives(
    tmp_path: Path, records: list[tuple[int, str, float | None, str]], block: int, interval_s: int
) -> None:
    table = pd.DataFrame(records, columns=["t", "group", "value", "state"])
    table["value"] = table["value"].astype(float)
    table["t"] += START_S
    path = tmp_path / "r.csv"
    table.to_csv(path, index=False)
    options = {"files": str(path), "time": "t", "time_format": "epoch_s", "group_by": ["group"], "value": "value", "interval_s": interval_s}
    _, time_ns, values, rejected = collected(
        {**options, "status": "state", "failed": ["bad"], "sums": [{"name": "total", "column": "value"}], "block_records": block}
    )
    assert not rejected
    ends = (table["t"] // interval_s + 1) * interval_s * 1_000_000_000
    for (end_ns, group), some in table.groupby([ends, "group"]):
        row = time_ns.tolist().index(end_ns)
        known = some["value"].dropna()
        assert values[f"{group}/records"][row] == len(some)
        assert values[f"{group}/failures"][row] == (some["state"] == "bad").sum()
        np.testing.assert_allclose(values[f"{group}/total"][row], known.sum() if len(known) else np.nan, rtol=1e-9, atol=1e-3)
        np.testing.assert_allclose(values[f"{group}/value_mean"][row], known.mean() if len(known) else np.nan, rtol=1e-9, atol=1e-3)
        median = known.quantile(0.5, interpolation="lower") if len(known) else np.nan
        np.testing.assert_allclose(values[f"{group}/value_p50"][row], median, rtol=RELATIVE_ERROR * 1.01, atol=1e-30)
    assert sum(sum(column) for name, column in values.items() if name.endswith("/records")) == len(table)
