"""Blocks and layouts on the wire: what goes out comes back, and nothing that arrives does harm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from collectors.frame import Axis, Channel, Frame, Histogram, Layout, Updates, concatenate
from collectors.wire import MAX_BLOCK_BYTES, Block, Identity, UnknownLayout, WireError, decode, encode, pieces
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


@settings(deadline=None)
@given(st.data())
def test_frames_come_back_bit_by_bit(data: st.DataObject) -> None:
    layout = data.draw(layouts())
    identity = Identity(layout.stream, data.draw(WHOLE), data.draw(WHOLE))
    problem = data.draw(st.text(max_size=20))
    complete_ns = data.draw(st.integers(-(2**63) + 1, 2**63 - 1))
    block = Block(identity, data.draw(frames(layout)), complete_ns, problem, data.draw(WHOLE))
    assert_same(decode(encode(block), {layout.digest: layout}), block)


@settings(deadline=None)
@given(st.data())
def test_updates_come_back_bit_by_bit(data: st.DataObject) -> None:
    layout = data.draw(layouts(min_size=1))
    block = Block(Identity(layout.stream, 1, 0), data.draw(updates(layout)), 3)
    assert_same(decode(encode(block), {layout.digest: layout}), block)


@settings(deadline=None)
@given(st.text(), WHOLE, WHOLE, st.text(max_size=600))
def test_heartbeats_need_no_layout_and_their_problem_is_cut(stream: str, epoch: int, sequence: int, problem: str) -> None:
    block = Block(Identity(stream, epoch, sequence), None, 9, problem, 8)
    assert decode(encode(block), {}) == replace(block, problem=problem[:500])


def test_a_problem_that_names_a_file_with_bytes_that_are_no_text() -> None:
    assert decode(encode(Block(IDENTITY, None, 1, "run\udcff.root: gone")), {}).problem == "run\\udcff.root: gone"


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


@settings(max_examples=500, deadline=None)
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


@settings(deadline=None)
@given(st.sampled_from(sorted(BLOCKS)), st.integers(0), st.binary(max_size=16), st.integers(0, 16))
def test_spliced_bytes(name: str, at: int, inserted: bytes, removed: int) -> None:
    encoded = encode(BLOCKS[name])
    at %= len(encoded)
    decoded_or_refused(encoded[:at] + inserted + encoded[at + removed :])


@settings(deadline=None)
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


@settings(deadline=None)
@given(TIMES_NS)
def test_times_of_any_sign_come_back(time_ns: int) -> None:
    frame = Frame(LAYOUT, np.array([time_ns]), np.zeros((1, 4)))
    block = Block(IDENTITY, frame, max(time_ns, -(2**63) + 1))
    assert_same(decode(encode(block), LAYOUTS), block)
