"""Blocks that somebody else wrote: anything but what was agreed upon is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from collectors.frame import Axis, Channel, Frame, Histogram, Layout, Updates
from collectors.wire import MAX_BLOCK_BYTES, WireError, decode

LAYOUT = Layout("dqm", (Channel("v", "voltage", "V"), Histogram("h", (Axis("x", "", 2, 0.0, 2.0),), flow=False)), "3")
LAYOUTS = {LAYOUT.digest: LAYOUT}
TIME_NS = np.arange(3, dtype=np.int64)

METADATA = {
    b"shiftwatch": b"1",
    b"content": b"frame",
    b"stream": b"dqm#3",
    b"layout": LAYOUT.digest.encode(),
    b"epoch": b"1",
    b"sequence": b"0",
    b"complete_ns": b"5",
    b"newest_ns": b"5",
    b"problem": b"",
}
TIMES = pa.array(TIME_NS)


def rows_of(values: pa.Array, width: int = 4) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(values, width)


VALUES = rows_of(pa.array(np.zeros(12)))
GOOD = [("time_ns", TIMES), ("values", VALUES)]


def stream(columns: list[tuple[str, pa.Array]], metadata: dict[bytes, bytes], *, batches: int = 1, options: Any = None) -> bytes:
    schema = pa.schema([pa.field(name, array.type) for name, array in columns], metadata=metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        for _ in range(batches):
            writer.write_batch(pa.record_batch([array for _, array in columns], schema=schema))
    data: bytes = sink.getvalue().to_pybytes()
    return data


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({b"shiftwatch": b"2"}, "version b'2', this reader knows b'1'"),
        ({b"shiftwatch": None}, "version b'?', this reader knows b'1'"),
        *(({name: None}, f"metadata lack b'{name.decode()}'") for name in METADATA if name != b"shiftwatch"),
        ({b"content": b"plot"}, "content 'plot' is neither frame, updates nor heartbeat"),
        ({b"layout": b"0123456789abcdef"}, "layout 0123456789abcdef is not known"),
        ({b"stream": b"dqm"}, "stream 'dqm' is not that of its layout, 'dqm#3'"),
        ({b"stream": b"\xff"}, "not a block: 'utf-8' codec can't decode"),
        ({b"epoch": b"-1"}, "epoch '-1' is not a whole number"),
        ({b"sequence": b"1.5"}, "sequence '1.5' is not a whole number"),
        ({b"sequence": "٣".encode()}, "sequence '٣' is not a whole number"),
        ({b"sequence": b""}, "sequence '' is not a whole number"),
        ({b"complete_ns": b"9223372036854775808"}, "complete_ns '9223372036854775808' is not a whole number of 64 bits"),
        ({b"complete_ns": b"--1"}, "complete_ns '--1' is not a whole number"),
        ({b"newest_ns": b"1" * 5000}, "newest_ns '111111111111111111111111' is not a whole number"),
    ],
)
def test_wrong_metadata(changes: dict[bytes, bytes | None], message: str) -> None:
    metadata = {name: value for name, value in {**METADATA, **changes}.items() if value is not None}
    with pytest.raises(WireError) as raised:
        decode(stream(GOOD, metadata), LAYOUTS)
    assert str(raised.value).startswith(message)


def of_type(kind: pa.DataType) -> pa.Array:
    raw = pa.py_buffer(bytes(16 * 16))
    return rows_of(pa.Array.from_buffers(kind, 12, [None, raw]))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([("values", VALUES)], "column 'time_ns' is missing"),
        ([("time_ns", TIMES)], "column 'values' is missing"),
        ([*GOOD, ("values", VALUES)], "columns time_ns, values, values: a name is used twice"),
        ([("time_ns", TIMES), ("values", rows_of(pa.array(np.zeros(9)), 3))], "column 'values' has 3 values a row, the layout has 4"),
        ([("time_ns", TIMES), ("values", pa.array([[0.0] * 4] * 3))], "column 'values' is list<"),
        ([("time_ns", TIMES), ("values", TIMES)], "column 'values' is int64, not rows"),
        ([("time_ns", TIMES.cast(pa.float64())), ("values", VALUES)], "column 'time_ns' is double, not int64"),
        ([("time_ns", TIMES.cast(pa.timestamp("ns"))), ("values", VALUES)], "column 'time_ns' is timestamp[ns], not int64"),
        ([("time_ns", pa.array([1, None, 3])), ("values", VALUES)], "column 'time_ns' has nulls"),
        ([("time_ns", TIMES), ("values", rows_of(pa.array([None] * 12, pa.float64())))], "column 'values' has nulls"),
        ([("time_ns", TIMES), ("values", pa.array([[0.0] * 4, None, [0.0] * 4], pa.list_(pa.float64(), 4)))], "column 'values' has nulls"),
        ([("time_ns", TIMES), ("values", rows_of(pa.array(["a"] * 12)))], "column 'values' is fixed_size_list<item: string>[4], not rows"),
        ([("time_ns", TIMES), ("values", rows_of(pa.nulls(12)))], "column 'values' is fixed_size_list<item: null>[4], not rows"),
        ([*GOOD, ("quality", VALUES)], "column 'quality' is fixed_size_list<item: double>[4], not rows of uint8"),
        ([*GOOD, ("quality", of_type(pa.int8()))], "column 'quality' is fixed_size_list<item: int8>[4], not rows of uint8"),
        ([*GOOD, ("quality", rows_of(pa.array([None] * 12, pa.uint8())))], "column 'quality' has nulls"),
        *(
            ([("time_ns", TIMES), ("values", of_type(kind))], "column 'values' is fixed_size_list<item: ")
            for kind in (
                *(
                    pa.bool_(),
                    pa.float16(),
                    pa.int8(),
                    pa.int64(),
                    pa.uint64(),
                    pa.timestamp("ns"),
                    pa.date32(),
                    pa.date64(),
                    pa.time32("s"),
                ),
                *(pa.time64("ns"), pa.duration("s"), pa.month_day_nano_interval(), pa.decimal128(5), pa.binary(4)),
            )
        ),
    ],
)
def test_wrong_columns(columns: list[tuple[str, pa.Array]], message: str) -> None:
    with pytest.raises(WireError) as raised:
        decode(stream(columns, METADATA), LAYOUTS)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("column", pa.array([0, 4, 0], pa.int32()), "source 'dqm': an update names a column that the layout does not have"),
        ("column", pa.array([0, -1, 0], pa.int32()), "source 'dqm': an update names a column that the layout does not have"),
        ("column", pa.array([0, 1, 0], pa.int64()), "column 'column' is int64, not int32"),
        ("value", pa.array([0, 1, 0], pa.float32()), "column 'value' is float, not float64"),
        ("value", pa.array([0.0, None, 0.0]), "column 'value' has nulls; no reading is NaN"),
        ("quality", pa.array([False] * 3), "column 'quality' is bool, not uint8"),
        ("time_ns", pa.DictionaryArray.from_arrays(pa.array([0, 0, 0]), TIMES), "not a block: messages are schema, dictionary"),
    ],
)
def test_wrong_updates(name: str, array: pa.Array, message: str) -> None:
    columns = {
        "time_ns": TIMES,
        "column": pa.array([0, 0, 0], pa.int32()),
        "value": pa.array(np.zeros(3)),
        "quality": pa.array(np.zeros(3, "u1")),
    }
    metadata = {**METADATA, b"content": b"updates"}
    assert isinstance(decode(stream(list(columns.items()), metadata), LAYOUTS).content, Updates)
    with pytest.raises(WireError) as raised:
        decode(stream(list({**columns, name: array}.items()), metadata), LAYOUTS)
    assert str(raised.value).startswith(message)


def test_columns_that_a_later_version_may_add_are_ignored() -> None:
    block = decode(stream([*GOOD, ("remark", pa.array(["a", "b", None]))], METADATA), LAYOUTS)
    assert isinstance(block.content, Frame)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_a_small_block_that_unfolds_to_a_large_one_is_refused(codec: str) -> None:
    large = [("time_ns", pa.array(np.zeros(400_000, np.int64))), ("values", rows_of(pa.array(np.zeros(1_600_000))))]
    data = stream(large, METADATA, options=pa.ipc.IpcWriteOptions(compression=codec))
    assert len(data) < MAX_BLOCK_BYTES
    with pytest.raises(WireError, match=r"^not a block: the record batch is compressed$"):
        decode(data, LAYOUTS)


@pytest.mark.parametrize("batches", [0, 2])
def test_one_batch_and_no_other_number_of_them(batches: int) -> None:
    with pytest.raises(WireError, match=r"^not a block: messages are schema.*; expected one schema and one record batch$"):
        decode(stream(GOOD, METADATA, batches=batches), LAYOUTS)
