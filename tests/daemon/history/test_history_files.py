"""Files of the history: what is written is read, by us and by any reader of Parquet; what is damaged is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Layout
from daemon.history.files import HistoryError, Reach, Run, read_frame, read_head, read_layout, to_table, write_layout, write_table
from detectors.path_names import path_name
from tests.daemon.historic import LAYOUT, START_NS, S, frame

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=1, max_size=4, unique=True)


@given(names=NAMES, rows=st.integers(0, 5), single=st.booleans(), marked=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], rows: int, *, single: bool, marked: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    layout = Layout("s", tuple(Channel(name, "q", "1") for name in names))
    choices: NDArray[np.float64 | np.float32] = np.array([0.5, -1e30, np.nan, np.inf, 3.25], dtype=np.float32 if single else np.float64)
    values = choices[rng.integers(0, len(choices), size=(rows, layout.width))]
    quality = rng.integers(0, 6, size=values.shape).astype(np.uint8) if marked else None
    written = Frame(layout, START_NS + np.arange(rows) * S, values, quality)
    path = tmp_path_factory.mktemp("files") / "one.parquet"
    write_table(to_table(written, Reach(7, 3)), path)
    read = read_frame(path, layout)
    assert (read.time_ns == written.time_ns).all()
    assert read.values.dtype == written.values.dtype or not rows
    np.testing.assert_array_equal(read.values, written.values)
    np.testing.assert_array_equal(read.quality if read.quality is not None else 0, quality if quality is not None else 0)
    assert read_head(path).reach == Reach(7, 3)
    assert read_head(path).rows == rows


def test_any_reader_of_parquet_finds_channels_by_name(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    write_table(to_table(frame(0, 4), Reach(1, 0)), path)
    table = pq.read_table(path).to_pydict()
    assert list(table) == ["_time_ns", "__a", "b", "h"]
    assert table["b"] == [1.0, 9.0, 17.0, 25.0]
    assert [len(bins) for bins in table["h"]] == [6] * 4


@pytest.mark.parametrize("damage", [b"", b"PAR1 not really", None])
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "one.parquet"
    write_table(to_table(frame(0, 4), Reach(1, 0)), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with pytest.raises(HistoryError, match=r"one\.parquet"):
        read_frame(path, LAYOUT)
    with pytest.raises(HistoryError, match=r"one\.parquet"):
        read_head(path)


def test_a_layout_under_another_name_is_refused(tmp_path: Path) -> None:
    write_layout(tmp_path, LAYOUT)
    assert read_layout(tmp_path, LAYOUT.digest) == LAYOUT
    (tmp_path / "layouts" / f"{LAYOUT.digest}.json").rename(tmp_path / "layouts" / "0123456789abcdef.json")
    with pytest.raises(HistoryError, match="it is the layout"):
        read_layout(tmp_path, "0123456789abcdef")


@given(st.text(max_size=300), st.text(max_size=300))
@settings(deadline=None)
def test_names_of_streams_are_names_of_files(first: str, second: str) -> None:
    name = path_name(first)
    assert name
    assert "/" not in name
    assert "\0" not in name
    assert not name.startswith(".")
    assert len(name.encode()) < 255
    assert (name == path_name(second)) == (first == second)


@given(st.integers(-(2**62), 2**62), st.integers(-(2**62), 2**62), st.integers(0, 2**62), st.integers(0, 2**62))
def test_a_run_is_read_from_its_name(first_ns: int, last_ns: int, first: int, last: int) -> None:
    run = Run(first_ns, last_ns, "frames-3", first, last)
    assert Run.of(Path("/anywhere") / run.name) == run


@pytest.mark.parametrize("name", ["notes.txt", "1_2_3.parquet", "a_b_frames-0_0_0.parquet", "x.parquet.partial"])
def test_other_files_are_no_runs(name: str) -> None:
    assert Run.of(Path(name)) is None
