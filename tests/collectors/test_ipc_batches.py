"""Arrow streams of third parties: read whole, or refused; never larger than the bytes that they came in."""

from __future__ import annotations

import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.ipc import read_batches

BATCH = pa.record_batch(
    {"pv": pa.array(["a", "b", "a"]).dictionary_encode(), "value": pa.array([1.0, None, 3.0]), "on": [True, False, None]}
)


def stream(*batches: pa.RecordBatch, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def test_all_batches_are_read() -> None:
    assert read_batches(stream(BATCH, BATCH.slice(1))) == [BATCH, BATCH.slice(1)]
    empty = BATCH.slice(0, 0)
    assert [batch.num_rows for batch in read_batches(stream(empty))] == [0]


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_batches_and_dictionaries_are_refused(codec: str) -> None:
    with pytest.raises(ValueError, match="compressed"):
        read_batches(stream(pa.record_batch({"x": pa.array([0.0] * 100)}), compression=codec))
    with pytest.raises(ValueError, match="compressed"):
        read_batches(stream(BATCH, compression=codec))


def test_claims_beyond_their_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="more cells"):
        read_batches(stream(pa.record_batch({"x": pa.nulls(1_000_000)})))
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int8()), pa.array(["x" * 10_000]))
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        read_batches(stream(pa.record_batch({"x": long})))


@given(st.integers(0, 2000))
def test_half_a_stream_is_never_a_whole_one(length: int) -> None:
    whole = stream(BATCH)
    if length < len(whole):
        with pytest.raises((ValueError, OSError, pa.ArrowException, struct.error)):
            read_batches(whole[:length])


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=5))
def test_damage_is_an_error_or_still_a_valid_stream(damage: list[tuple[int, int]]) -> None:
    data = bytearray(stream(BATCH))
    for at, value in damage:
        data[at % len(data)] = value
    try:
        batches = read_batches(bytes(data))
    except (ValueError, OSError, pa.ArrowException, struct.error):
        return
    assert all(batch.num_rows * batch.num_columns <= 8 * len(data) for batch in batches)
