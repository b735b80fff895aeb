"""Lines of drive statistics: cells, dates and pieces, whatever stands in them."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.disks.backblaze_kernel import ODD
from collectors.disks.backblaze_rows import PIECE_BYTES, LayoutOfFileError, RowReader, Rows, serial_and_model

FIRST_DAY = 19_723  # 2024-01-01


def read(text: bytes, *columns: str, name: str = "day.csv") -> tuple[list[tuple[int, str, str, list[float]]], list[str]]:
    """Day, serial number, model and values of all rows, and what is rejected."""
    rows, rejected = [], []
    for item in RowReader(name, {column: column for column in columns}).rows(BytesIO(text)):
        if isinstance(item, Rows):
            keys = [serial_and_model(key) for key in item.key.to_pylist()]
            rows += [(int(d), *k, v.tolist()) for d, k, v in zip(item.day, keys, item.values, strict=True)]
        else:
            rejected.append(f"{item.subject}: {item.reason}")
    return rows, rejected


CELLS = st.one_of(
    st.just(""),
    st.integers(0, 2**48).map(str),
    st.integers(0, 2**48).map(lambda count: f"{count}.0"),
    st.integers(0, 10**20).map(str),
    st.floats(0, 2**60).map(repr),
    st.sampled_from(["nan", "NaN", "-1", "inf", "1e999", "1_000", "many", "12.5", "1.", ".5", "0.0", "007", "+3", " 4", "1\r"]),
)


def expected(cell: str) -> float:
    """What a person reads in a cell."""
    if cell.strip().lower() in ("", "nan"):
        return np.nan
    try:
        count = float(cell)
    except ValueError:
        return ODD
    return count if 0 <= count < 2.0**64 and "_" not in cell else ODD


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.text("AZ09-_", min_size=1, max_size=20), st.lists(CELLS, min_size=4, max_size=4)), max_size=8),
    st.permutations(["a", "b", "c", "d"]),
    st.booleans(),
)
def test_cells_are_read_as_numbers_wherever_they_stand(rows: list[tuple[str, list[str]]], order: list[str], returns: bool) -> None:
    newline = "\r\n" if returns else "\n"
    lines = ["date,x,serial_number,model,a,b,,c,y,d"]
    for serial, (a, b, c, d) in rows:
        lines.append(f"2024-02-29,,{serial},MODEL 1,{a},{b},,{c},{'z' * 30},{d}")
    found, _ = read(newline.join([*lines, ""]).encode(), *order)
    assert [row[:3] for row in found] == [(19_782, serial, "MODEL 1") for serial, _ in rows]
    for (_, _, _, values), (_, cells) in zip(found, rows, strict=True):
        by_name = dict(zip("abcd", cells, strict=True))
        assert np.array_equal(values, [expected(by_name[name]) for name in order], equal_nan=True)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(",a1\n\r \x00é", max_size=40), max_size=10))
def test_no_text_stops_the_reader_and_no_row_is_made_of_two_lines(pieces: list[str]) -> None:
    text = "date,serial_number,model,a\n" + "2024-01-01,S1,M,5\n".join(pieces) + "\n2024-01-01,S2,M,6\n"
    try:
        found, _ = read(text.encode(), "a")
    except LayoutOfFileError:
        return
    assert found[-1] == (FIRST_DAY, "S2", "M", [6.0])
    assert all(line[1] and "\n" not in line[1] + line[2] for line in found if line[3] == [5.0])


@pytest.mark.parametrize(
    ("date", "day"), [("1970-01-01", 0), ("2000-02-29", 11016), ("2024-12-31", 20088), ("2013-04-10", 15805), ("2100-03-01", 47541)]
)
def test_dates_are_days_since_1970(date: str, day: int) -> None:
    assert day == int(np.datetime64(date, "D").astype(np.int64))
    assert read(f"date,serial_number,model\n{date},S,M\n".encode())[0] == [(day, "S", "M", [])]


@pytest.mark.parametrize(
    "date", ["", "2024-1-1", "24-01-01", "2024/01/01", "2024-13-01", "2024-00-10", "2024-01-32", "2024-01-010", "1969-12-31"]
)
def test_other_texts_are_no_dates(date: str) -> None:
    rows, rejected = read(f"date,serial_number,model\n{date},S,M\n".encode())
    assert rows == []
    assert rejected == ["day.csv line 2: no date"]


def test_lines_are_put_together_where_a_piece_of_the_file_ends() -> None:
    rows = [f"2024-01-01,SERIAL{i:06},MODEL,{i},{'x' * (i % 97)}" for i in range(60_000)]
    text = "\n".join(["date,serial_number,model,a,b", *rows, ""]).encode()
    assert len(text) > 3 * PIECE_BYTES
    found, rejected = read(text, "a")
    assert rejected == []
    assert [(serial, values) for _, serial, _, values in found] == [(f"SERIAL{i:06}", [float(i)]) for i in range(60_000)]
