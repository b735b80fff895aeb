"""Records of real storage: CERN EOS day sums and SLAC tape transfers, against sums made with awk and pandas."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from collectors.collector import Origin, Rejected
from collectors.frame import Frame
from collectors.records import RecordsCollector
from collectors.table import TableCollector, TableOptions
from collectors.tabular.records_intervals import RELATIVE_ERROR
from collectors.tabular.records_options import RecordsOptions

pytestmark = pytest.mark.data
DAY_NS = 86_400_000_000_000


def frame_of(options: dict[str, Any]) -> tuple[pd.DataFrame, list[Rejected]]:
    """All rows, by the end of their interval, and what was rejected."""
    collector = RecordsCollector(Origin("grid", "GRID", time.time_ns), RecordsOptions.model_validate(options))
    items = list(collector.collect())
    frames = [item for item in items if isinstance(item, Frame)]
    values = np.concatenate([frame.values for frame in frames])
    index = pd.to_datetime(np.concatenate([frame.time_ns for frame in frames]))
    names = [column.name for column in frames[0].layout.columns]
    return pd.DataFrame(values, index, names), [item for item in items if isinstance(item, Rejected)]


def test_day_sums_of_eos(data: Path) -> None:
    """awk: 283 days, 157434672158029856 bytes written, 311252663270473536 read."""
    sums = [{"name": "written", "column": "sum(wb)"}, {"name": "read", "column": "sum(rb)"}]
    options = {"time": ["year", "month", "day"], "interval_s": 86400, "count": "count(1)", "sums": sums}
    rows, rejected = frame_of({"files": str(data / "grid/cern_eos/daily_writes.csv"), **options})
    assert not rejected
    assert (str(rows.index[0]), str(rows.index[-1])) == ("2016-11-22 00:00:00", "2017-09-04 00:00:00")
    assert (len(rows), int((rows["records"] > 0).sum())) == (287, 283)
    assert rows["written"].sum() == pytest.approx(157434672158029856, rel=1e-12)
    assert rows["read"].sum() == pytest.approx(311252663270473536, rel=1e-12)
    eleventh_of_april = rows.loc["2017-04-12"]
    assert eleventh_of_april.to_dict() == {"records": 5162363, "written": 318779013459246, "read": 2272432354567598}


def test_users_of_eos_are_counted_and_not_named(data: Path) -> None:
    """awk: 311252663270473472 bytes read by 1,977 users."""
    totals = {"at": "2017-09-03T00:00:00Z", "interval_s": 86400, "size": "sum(rb)", "distinct": ["ruid"]}
    rows, _ = frame_of({"files": str(data / "grid/cern_eos/user_reads.csv"), **totals})
    assert rows.columns.tolist() == ["records", "bytes", "distinct_ruid"]
    assert rows["distinct_ruid"].tolist() == [1977]
    assert rows["bytes"].tolist() == [pytest.approx(311252663270473472, rel=1e-12)]


def test_applications_of_eos_largest_first(data: Path) -> None:
    options = {"at": "2017-09-03T00:00:00Z", "interval_s": 86400, "group_by": ["secapp"], "size": "read", "groups_most": 3}
    rows, _ = frame_of({"files": str(data / "grid/cern_eos/appstats.csv"), **options, "labels": {"secapp": {'"': "none"}}})
    assert rows.columns.tolist()[::2] == ["eos/gridftp/records", "none/records", "unknown/records", "other/records"]
    assert rows["unknown/bytes"].tolist() == [1.7030291648255914e17]
    assert rows["eos/gridftp/bytes"].tolist() == [2.691245125187461e16]


def test_tape_transfers_by_direction(data: Path) -> None:
    """awk: 54,046 migrations, 3,113 restores, 4,840 unknown; 1,884 and 170 of them took no time at all."""
    files = data / "grid/lcls_mss/mss_ms_first_half.csv.gz"
    labels = {"ttype": {"0": "migration", "1": "restore", "-1": "unknown"}}
    options = {"time": "start", "interval_s": 86400, "group_by": ["ttype"], "labels": labels, "size": "fsz"}
    rows, rejected = frame_of({"files": str(files), **options, "elapsed": "elap", "elapsed_unit": "ms", "distinct": ["fsid"]})
    assert not rejected
    sums = rows.sum()
    assert [sums[f"{name}/records"] for name in ("migration", "restore", "unknown")] == [54046, 3113, 4840]
    assert [sums[f"{name}/bytes"] for name in ("migration", "restore", "unknown")] == [491482874727363, 71764423371620, 59897978432201]
    table = pd.read_csv(files)
    table["rate"] = (table["fsz"] / (table["elap"] / 1000)).where(table["elap"] > 0)
    table["day"] = pd.to_datetime((table["start"] // 86400 + 1) * 86400, unit="s")
    for (day, kind), some in table.groupby(["day", "ttype"]):
        name, rates = labels["ttype"][str(kind)], some["rate"].dropna()
        row = rows.loc[pd.Timestamp(str(day))]
        assert row[f"{name}/distinct_fsid"] == some["fsid"].nunique()
        np.testing.assert_allclose(row[f"{name}/rate_mean"], rates.mean() if len(rates) else np.nan, rtol=1e-9)
        for quantile, column in ((0.5, "p50"), (0.95, "p95")):
            exact = np.quantile(rates, quantile, method="inverted_cdf") if len(rates) else np.nan
            np.testing.assert_allclose(row[f"{name}/rate_{column}"], exact, rtol=RELATIVE_ERROR * 1.001)


def test_tape_transfers_come_sorted_by_instrument_so_that_a_short_lateness_loses_many(data: Path) -> None:
    options = {"files": str(data / "grid/lcls_mss/mss_ms_first_half.csv.gz"), "time": "start", "lateness_s": 86400}
    rows, rejected = frame_of({**options, "block_records": 10_000})
    lost = sum(int(item.reason.split()[0]) for item in rejected)
    assert lost > 20_000
    assert rows["records"].sum() + lost == 61_999


def test_occupancy_of_storage_is_a_table(tmp_path: Path) -> None:
    """Used and free bytes by endpoint, a row a reading: the table collector reads it, and places follow from the names."""
    lines = ["time,endpoint,bytes"]
    for hour in range(3):
        for endpoint, used in (("T1_CH/disk", 4e15 + hour * 1e12), ("T1_CH/tape", 9e15)):
            lines.append(f"2024-05-01T{hour:02d}:00:00Z,{endpoint}/used,{used:.0f}")
            lines.append(f"2024-05-01T{hour:02d}:00:00Z,{endpoint}/free,{1e16 - used:.0f}")
    (tmp_path / "space.csv").write_text("\n".join(lines) + "\n")
    options = {"channel": "endpoint", "value": "bytes", "places": {"*/*/*": "{1}/{2}"}, "units": {"*": "B"}}
    collector = TableCollector(
        Origin("space", "GRID", time.time_ns), TableOptions.model_validate({"files": f"{tmp_path}/*.csv", **options})
    )
    (updates,) = collector.collect()
    assert not isinstance(updates, Rejected)
    assert {(c.name, c.unit, c.place) for c in updates.layout.channels} >= {("T1_CH/disk/used", "B", "GRID/T1_CH/disk")}
    assert len(updates) == 12
