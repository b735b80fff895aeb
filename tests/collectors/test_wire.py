"""Blocks and layouts on the wire: what goes out comes back, and nothing that arrives does harm."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from collectors.frame import Axis, Channel, Frame, Histogram, Kind, Layout, Storage, Updates, concatenate
from collectors.wire import (
    MAX_BLOCK_BYTES,
    MAX_LAYOUT_BYTES,
    Block,
    Identity,
    UnknownLayout,
    WireError,
    decode,
    decode_layout,
    encode,
    encode_layout,
    pieces,
)
from tests.collectors.strategies import TIMES_NS, frames, layouts, updates

LAYOUT = Layout("dqm", (Channel("v", "voltage", "V"), Histogram("h", (Axis("x", "", 2, 0.0, 2.0),), flow=False)), "3")
LAYOUTS = {LAYOUT.digest: LAYOUT}
IDENTITY = Identity("dqm#3", 1_700_000_000_000_000_000, 7)
TIME_NS = np.arange(3, dtype=np.int64)
FRAME = Frame(LAYOUT, TIME_NS, np.arange(12.0).reshape(3, 4), np.arange(12, dtype=np.uint8).reshape(3, 4) % 6)
UPDATES = Updates(LAYOUT, TIME_NS, np.array([0, 3, 0], np.int32), np.array([1.0, 2.0, np.nan]), np.array([0, 0, 3], np.uint8))
CONTENTS: dict[str, Frame | Updates | None] = {"frame": FRAME, "updates": UPDATES, "heartbeat": None}
BLOCKS = {name: Block(IDENTITY, content, 5, "no answer", 4) for name, content in CONTENTS.items()}


def same(one: Any, other: Any) -> bool:
    """Equal as bytes, so that NaN and the sign of zero count."""
    return (one is None and other is None) or (one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())


def assert_same(block: Block, other: Block) -> None:
    assert replace(block, content=None) == replace(other, content=None)
    assert type(block.content) is type(other.content)
    for name in ("time_ns", "values", "quality", "column", "value"):
        assert same(getattr(block.content, name, None), getattr(other.content, name, None)), name


WHOLE = st.integers(0, 2**63 - 1)


@given(st.data())
def test_frames_come_back_bit_by_bit(data: st.DataObject) -> None:
    layout = data.draw(layouts())
    identity = Identity(layout.stream, data.draw(WHOLE), data.draw(WHOLE))
    problem = data.draw(st.text(max_size=20))
    complete_ns = data.draw(st.integers(-(2**63) + 1, 2**63 - 1))
    block = Block(identity, data.draw(frames(layout)), complete_ns, problem, data.draw(WHOLE))
    assert_same(decode(encode(block), {layout.digest: layout}), block)


@given(st.data())
def test_updates_come_back_bit_by_bit(data: st.DataObject) -> None:
    layout = data.draw(layouts(min_size=1))
    block = Block(Identity(layout.stream, 1, 0), data.draw(updates(layout)), 3)
    assert_same(decode(encode(block), {layout.digest: layout}), block)


@given(st.text(), WHOLE, WHOLE, st.text(max_size=600))
def test_heartbeats_need_no_layout_and_their_problem_is_cut(stream: str, epoch: int, sequence: int, problem: str) -> None:
    block = Block(Identity(stream, epoch, sequence), None, 9, problem, 8)
    assert decode(encode(block), {}) == replace(block, problem=problem[:500])


def test_a_problem_that_names_a_file_with_bytes_that_are_no_text() -> None:
    assert decode(encode(Block(IDENTITY, None, 1, "run\udcff.root: gone")), {}).problem == "run\\udcff.root: gone"


@given(layouts())
def test_layouts_come_back_with_their_digest_and_keys(layout: Layout) -> None:
    read = decode_layout(encode_layout(layout))
    assert read == layout
    assert read.digest == layout.digest
    assert read.keys == layout.keys
    assert np.array_equal(read.starts, layout.starts)


@pytest.mark.parametrize("part", ["time_ns", "values", "quality", "column", "value"])
@pytest.mark.parametrize("name", ["frame", "updates"])
def test_decoded_arrays_are_views_into_the_bytes(name: str, part: str) -> None:
    encoded = np.frombuffer(encode(BLOCKS[name]), dtype=np.uint8)
    content = decode(encoded.data, LAYOUTS).content
    if hasattr(content, part):
        array: NDArray[Any] = getattr(content, part)
        assert np.shares_memory(array, encoded)
        assert not array.flags.writeable


def test_views_of_other_frames_are_encoded_by_their_values() -> None:
    large = Frame(LAYOUT, np.arange(40, dtype=np.int64), np.random.default_rng(1).normal(size=(40, 4)))
    for part in (
        large.rows(slice(3, 30, 5)),
        large.rows(slice(None, None, -1)),
        Frame(LAYOUT, large.time_ns, np.asfortranarray(large.values)),
    ):
        block = Block(IDENTITY, part, 1)
        assert_same(decode(encode(block), LAYOUTS), block)


def test_any_arrow_reader_opens_a_block() -> None:
    with pa.ipc.open_stream(encode(BLOCKS["frame"])) as reader:
        table = reader.read_all()
    assert table.column_names == ["time_ns", "values", "quality"]
    assert table["values"].to_pylist()[1] == [4, 5, 6, 7]
    assert table.schema.metadata[b"layout"].decode() == LAYOUT.digest


@pytest.mark.parametrize("name", BLOCKS)
def test_truncated_at_every_length(name: str) -> None:
    encoded = encode(BLOCKS[name])
    for length in range(len(encoded)):
        with pytest.raises(WireError):
            decode(encoded[:length], LAYOUTS)
        decoded_or_refused(encoded[length:])


def decoded_or_refused(data: bytes) -> None:
    """A block that is read all the same has the shape of its layout, or it is a heartbeat."""
    try:
        block = decode(data, LAYOUTS)
    except WireError as error:
        assert len(str(error)) < 400  # noqa: PT017 - either outcome is right
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert block.content is None or block.content.layout is LAYOUT
    assert block.identity.stream == IDENTITY.stream or block.content is None
    assert max(block.identity.epoch, block.identity.sequence, block.complete_ns, block.newest_ns) < 2**63
    if isinstance(block.content, Frame):
        assert block.content.values.shape == (len(block.content), 4)


@settings(max_examples=500)
@given(st.sampled_from(sorted(BLOCKS)), st.lists(st.tuples(st.integers(0), st.integers(0, 7)), min_size=1, max_size=4))
def test_flipped_bits(name: str, flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(encode(BLOCKS[name]))
    for position, bit in flips:
        damaged[position % len(damaged)] ^= 1 << bit
    decoded_or_refused(bytes(damaged))


def test_every_bit_of_the_headers_flipped_alone() -> None:
    for block in BLOCKS.values():
        encoded = encode(block)
        for position in range(len(encoded)):
            damaged = bytearray(encoded)
            damaged[position] ^= 1 << position % 8
            decoded_or_refused(bytes(damaged))


@given(st.sampled_from(sorted(BLOCKS)), st.integers(0), st.binary(max_size=16), st.integers(0, 16))
def test_spliced_bytes(name: str, at: int, inserted: bytes, removed: int) -> None:
    encoded = encode(BLOCKS[name])
    at %= len(encoded)
    decoded_or_refused(encoded[:at] + inserted + encoded[at + removed :])


@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    for rubbish in (data, data + b"\xff\xff\xff\xff\x00\x00\x00\x00", b"\xff\xff\xff\xff" + data):
        with pytest.raises(WireError):
            decode(rubbish, LAYOUTS)


def test_oversized_blocks_are_neither_written_nor_read() -> None:
    with pytest.raises(WireError, match=r"^512001 bytes, more than 512000$"):
        decode(b"x" * (MAX_BLOCK_BYTES + 1), LAYOUTS)
    rows = MAX_BLOCK_BYTES // (8 + 4 * 8) + 1
    with pytest.raises(WireError, match=r"^block of 'dqm#3': \d+ bytes, more than 512000$"):
        encode(Block(IDENTITY, Frame(LAYOUT, np.zeros(rows, np.int64), np.zeros((rows, 4))), 1))


def test_a_layout_that_is_not_known_is_told_apart() -> None:
    with pytest.raises(UnknownLayout) as raised:
        decode(encode(BLOCKS["frame"]), {})
    assert raised.value.digest == LAYOUT.digest
    assert LAYOUT.digest in str(raised.value)


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


def test_frames_without_columns_or_rows() -> None:
    """Dividing by a width of 0 ended the process once."""
    for width, rows in ((0, 3), (0, 0), (2, 0)):
        layout = Layout("s", tuple(Channel(f"c{i}", "q", "") for i in range(width)))
        block = Block(Identity("s", 1, 0), Frame(layout, np.arange(rows, dtype=np.int64), np.zeros((rows, width))), 1)
        assert_same(decode(encode(block), {layout.digest: layout}), block)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_pieces_fit_and_make_up_the_frame(data: st.DataObject) -> None:
    width, rows = data.draw(st.integers(1, 3000)), data.draw(st.integers(0, 900))
    layout = Layout("é" * data.draw(st.integers(1, 100)), tuple(Channel(f"c{i}", "q", "V") for i in range(width)))
    rng = np.random.default_rng(0)
    quality = rng.integers(0, 6, (rows, width), dtype=np.uint8) if data.draw(st.booleans()) else None
    values = rng.normal(size=(rows, width)).astype(data.draw(st.sampled_from([np.float32, np.float64])))
    frame = Frame(layout, np.arange(rows, dtype=np.int64), values, quality)
    parts = list(pieces(frame))
    for part in parts:
        assert len(encode(Block(Identity(layout.stream, 2**62, 2**62), part, 2**62, "", 2**62))) < MAX_BLOCK_BYTES
    if rows:
        joined = concatenate(parts)
        assert same(joined.values, values)
        assert same(joined.quality, quality)
        assert same(joined.time_ns, frame.time_ns)
        most = max(len(part) for part in parts)
        assert all(len(part) == most for part in parts[:-1])  # no more blocks than it takes
    assert bool(parts) is bool(rows)


def test_a_row_that_no_block_can_hold_is_refused() -> None:
    layout = Layout("dqm", (Histogram("map", (Axis("x", "", 300, 0, 300), Axis("y", "", 300, 0, 300))),))
    with pytest.raises(WireError, match=r"^a row of 'dqm' takes 729648 bytes, more than a block may hold$"):
        list(pieces(Frame(layout, np.zeros(1, np.int64), np.zeros((1, layout.width)))))


TEXT = json.loads(encode_layout(LAYOUT))
CHANNEL, HISTOGRAM = TEXT["columns"]
AXIS = HISTOGRAM[2][0]


def with_axis(*axes: Any) -> dict[str, Any]:
    return {**TEXT, "columns": [[*HISTOGRAM[:2], list(axes), *HISTOGRAM[3:]]]}


@pytest.mark.parametrize(
    "description",
    [
        {**TEXT, "version": 2},
        {**TEXT, "columns": [CHANNEL, CHANNEL]},
        {**TEXT, "columns": [["gauge", *CHANNEL[1:]]]},
        {**TEXT, "columns": [CHANNEL[:-1]]},
        {**TEXT, "columns": [[*CHANNEL[:4], "guage", *CHANNEL[5:]]]},
        {**TEXT, "columns": [[*CHANNEL[:-1], [1, None]]]},
        {**TEXT, "columns": [[CHANNEL[0], 5, *CHANNEL[2:]]]},
        {**TEXT, "columns": [[CHANNEL[0], "half \ud800 of a character", *CHANNEL[2:]]]},
        {**TEXT, "columns": CHANNEL},
        {**TEXT, "columns": None},
        {**TEXT, "source": None},
        {**TEXT, "source": "\udfff"},
        {**TEXT, "part": 3},
        {name: value for name, value in TEXT.items() if name != "part"},
        [TEXT],
        "text",
        None,
        3,
        with_axis(),
        with_axis(*[AXIS] * 65),
        with_axis("abcdefg"),
        with_axis([*AXIS[:2], 2.0, *AXIS[3:]]),
        with_axis([*AXIS[:2], True, *AXIS[3:]]),
        with_axis([*AXIS[:2], 0, *AXIS[3:]]),
        with_axis([*AXIS[:2], -1, *AXIS[3:]]),
        with_axis([*AXIS[:2], 2_000_000, *AXIS[3:]]),
        with_axis(*[[*AXIS[:2], 1_000_000, *AXIS[3:]]] * 4),
        with_axis([*AXIS[:2], 600_000, *AXIS[3:]]),
        with_axis([*AXIS[:3], 0.0, math.inf, [], []]),
        with_axis([*AXIS[:3], 0.0, 10**400, [], []]),
        with_axis([*AXIS[:3], 0.0, "wide", [], []]),
        with_axis([*AXIS[:3], 0.0, 2.0, [0.0, math.nan, 2.0], []]),
        with_axis([*AXIS[:3], 0.0, 2.0, [0.0, 2.0], []]),
        with_axis([*AXIS[:3], 0.0, 2.0, [], ["one"]]),
        with_axis([*AXIS[:3], 0.0, 2.0, [], [1, 2]]),
        with_axis([5, *AXIS[1:]]),
        with_axis(AXIS[:-1]),
        {**TEXT, "columns": [[*HISTOGRAM[:3], "sums", *HISTOGRAM[4:]]]},
        {**TEXT, "columns": [[*HISTOGRAM[:5], 1]]},
    ],
)
def test_layouts_that_cannot_be(description: Any) -> None:
    with pytest.raises(WireError) as raised:
        decode_layout(json.dumps(description).encode())
    assert len(str(raised.value)) < 300
    str(raised.value).encode()  # it goes to the dead letters


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["channel", "histogram", "gauge", "count", 1]),
    lambda inner: (
        st.lists(inner, max_size=8) | st.dictionaries(st.sampled_from(["version", "source", "part", "columns"]) | st.text(), inner)
    ),
    max_leaves=20,
)


@given(
    JSON
    | st.builds(
        lambda columns: {**TEXT, "columns": columns},
        JSON | st.lists(st.builds(lambda a, b: [*a, *b], st.just(CHANNEL[:3]), st.lists(JSON))),
    )
)
def test_any_json_is_a_layout_or_refused(description: Any) -> None:
    try:
        layout = decode_layout(json.dumps(description).encode())
    except WireError:
        return
    assert encode_layout(layout)
    assert layout.width < MAX_BLOCK_BYTES


@given(st.binary(max_size=100))
def test_random_bytes_are_no_layout(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_layout(data)


def test_truncated_layouts_and_flipped_bits() -> None:
    encoded = encode_layout(LAYOUT)
    for length in range(len(encoded)):
        with pytest.raises(WireError):
            decode_layout(encoded[:length])
    for position in range(8 * len(encoded)):
        damaged = bytearray(encoded)
        damaged[position // 8] ^= 1 << position % 8
        try:
            read = decode_layout(bytes(damaged))
        except WireError:
            continue
        assert read.digest != LAYOUT.digest


def test_oversized_and_deeply_nested_layouts() -> None:
    with pytest.raises(WireError, match=f"^layout of {MAX_LAYOUT_BYTES + 1} bytes"):
        decode_layout(b"x" * (MAX_LAYOUT_BYTES + 1))
    with pytest.raises(WireError, match=r"^not a layout: RecursionError"):
        decode_layout(b"[" * 1_000_000)
    with pytest.raises(WireError, match=r"^not a layout: ValueError"):
        decode_layout(b'{"version":' + b"1" * 10_000 + b"}")


def test_layouts_of_every_kind_and_storage() -> None:
    kinds = [Channel(f"č{kind}", "q", "µV", kind, "CMS/π", ("ÖN", "OFF")) for kind in Kind]
    axes = (Axis("η", "", 2, -1, 1), Axis.variable("pT", "GeV", [0, 1, 10]), Axis("Zustand", "", 2, 0, 2, labels=("gut", "schlecht ☹")))
    shapes = [Histogram(f"{storage} {i}", axes[: i + 1], storage, "CMS", flow=i == 1) for storage in Storage for i in range(3)]
    layout = Layout("früh", (*kinds, *shapes), "3.0")
    assert decode_layout(encode_layout(layout)) == layout


@given(TIMES_NS)
def test_times_of_any_sign_come_back(time_ns: int) -> None:
    frame = Frame(LAYOUT, np.array([time_ns]), np.zeros((1, 4)))
    block = Block(IDENTITY, frame, max(time_ns, -(2**63) + 1))
    assert_same(decode(encode(block), LAYOUTS), block)
