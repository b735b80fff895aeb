"""Cells of tables as numbers and times."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.tabular.table_values import NO_TIME, numbers, times
from tests.collectors.table_reading import SECOND, read, save


@pytest.mark.parametrize(
    ("cells", "options"),
    [
        (["2024-03-31T00:59:59Z", "2024-03-31T03:00:00+02:00"], {}),
        (["2024-03-31 01:59:59", "2024-03-31 03:00:00"], {"timezone": "Europe/Zurich"}),
        (["1711846799", "1711846800"], {}),
        (["1711846799.0", "1711846800.0"], {}),
        (["1711846799000", "1711846800000"], {}),
        (["1711846799000000", "1711846800000000"], {"time_format": "epoch_us"}),
        (["1711846799000000000", "1711846800000000000"], {}),
    ],
)
def test_times_of_every_format_are_utc(tmp_path: Path, cells: list[str], options: dict[str, Any]) -> None:
    path = save(tmp_path / "a.csv", "timestamp,x\n" + "".join(f"{cell},1\n" for cell in cells))
    frame, rejected = read(path, **options)
    assert not rejected
    assert frame.time_ns.tolist() == [1711846799 * SECOND, 1711846800 * SECOND]


@given(st.lists(st.one_of(st.floats().map(str), st.integers().map(str), st.text(max_size=12), st.none())))
def test_any_text_is_a_number_or_bad_or_missing(cells: list[str | None]) -> None:
    values, bad = numbers(pa.array(cells, pa.string()))
    assert len(values) == len(cells)
    assert not np.isinf(values).any()
    assert np.isnan(values[bad]).all()
    for cell, value in zip(cells, values, strict=True):
        if cell is not None and np.isfinite(value) and cell.strip().lower() not in ("true", "false"):
            assert value == float(cell)


@given(st.lists(st.integers(-(2**62), 2**62)), st.sampled_from(["auto", "iso", "epoch_s", "epoch_ns"]))
def test_any_number_is_a_time_or_none(values: list[int], time_format: Any) -> None:
    assert times(pa.array(values, pa.int64()), time_format, "UTC").shape == (len(values),)


@given(st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)))  # noqa: DTZ001 - times without a zone are what is tested
def test_iso_times_are_exact(moment: datetime) -> None:
    expected = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    (time_ns,) = times(pa.array([moment.isoformat(), "?"]), "auto", "UTC")[:1]
    assert time_ns != NO_TIME
    assert abs(time_ns / 1e9 - expected) < 1e-3
    assert time_ns % 1000 == 0


@pytest.mark.parametrize("absurd", [10**18, 9 * 10**18, 0])
def test_one_absurd_time_does_not_move_the_others(absurd: int) -> None:
    cells = ["1700000000", "1700000010", str(absurd), "1700000030"]
    found = times(pa.array(cells), "auto", "UTC")
    assert found[[0, 1, 3]].tolist() == [1_700_000_000 * SECOND, 1_700_000_010 * SECOND, 1_700_000_030 * SECOND]
