"""State as bytes: plain values and arrays come back, and nothing else goes in or comes out."""

from __future__ import annotations

import io
import math
import pickle
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from daemon.messages import MessageError, encode
from daemon.records import Incident, Label, LabelKind
from daemon.store.packing import pack, read_incident, unpack, write_incident
from tests.daemon.message_strategies import INCIDENTS


def same(one: Any, other: Any) -> bool:
    """Equal in type, shape and every bit; NaN is equal to NaN."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


DTYPES = st.sampled_from([np.dtype(name) for name in ("f8", "f4", "i8", "i4", "u1", "?", "<U3", "S2", ">f8", "i2, f4")])
ARRAYS = DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)))
KEYS = st.text().filter(lambda key: key not in ("__array__", "__number__"))
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
STATES = st.recursive(PLAIN | ARRAYS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=10)


@settings(deadline=None)
@given(STATES)
def test_state_comes_back_bit_by_bit(state: Any) -> None:
    assert same(unpack(pack(state)), state)


def test_numbers_of_numpy_become_plain_and_tuples_lists() -> None:
    state = {"n": np.int64(3), "x": np.float32(0.5), "nan": np.float64("nan"), "yes": np.bool_(True), "pair": (1, (2.0, np.arange(2)))}
    assert same(unpack(pack(state)), {"n": 3, "x": 0.5, "nan": math.nan, "yes": True, "pair": [1, [2.0, np.arange(2)]]})


def test_arrays_may_be_changed_afterwards() -> None:
    array = np.arange(6.0)[::2]
    restored = unpack(pack({"a": array}))["a"]
    restored[:] = 0
    assert array.tolist() == [0, 2, 4]


def test_the_same_state_gives_the_same_bytes() -> None:
    assert pack({"a": np.arange(3), "b": 1}) == pack({"a": np.arange(3), "b": 1})


@pytest.mark.parametrize(
    "state",
    [
        {"a": np.array([object()])},
        {"a": np.array(["x", None], dtype=object)},
        {"a": {1, 2}},
        {"a": b"bytes"},
        {"a": 1j},
        {"a": Label("k", "i", LabelKind.REAL, "who", 1)},
        {1: "a key that would come back as text"},
        {("a", 1): 2},
        {"__array__": 0},
        {"x": {"__number__": "nan"}},
    ],
)
def test_what_would_not_come_back_is_refused_at_once(state: Any) -> None:
    """And not when the state is needed, after a crash."""
    with pytest.raises((TypeError, ValueError)):
        pack(state)


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        for name, content in members.items():
            written.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def npy(array: Any, *, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def text(content: bytes) -> bytes:
    return npy(np.frombuffer(content, dtype=np.uint8))


HUGE = npy(np.zeros(3)).replace(b"(3,), }" + b" " * 10, b"(99999999999,), }")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"rubbish",
        b"PK\x03\x04rubbish",
        pickle.dumps({"a": 1}),
        npy(np.zeros(3)),
        HUGE,
        archive(),
        archive(text=b"no array"),
        archive(text__npy=b"no array"),
        archive(other__npy=text(b"{}")),
        archive(text__npy=text(b"{")),
        archive(text__npy=text(b"[" * 100_000)),
        archive(text__npy=text(b'{"__array__":0}')),
        archive(text__npy=text(b'{"__array__":5}'), a0__npy=npy(np.zeros(1))),
        archive(text__npy=text(b'{"__array__":[]}'), a0__npy=npy(np.zeros(1))),
        archive(text__npy=text(b'{"__array__":"x"}'), a0__npy=npy(np.zeros(1))),
        archive(text__npy=text(b'{"__number__":[]}')),
        archive(text__npy=text(b'{"__number__":"many"}')),
        archive(text__npy=text(b"{}"), a0__npy=npy(np.array([None]), allow_pickle=True)),
        archive(text__npy=text(b"{}"), a0__npy=HUGE),
        archive(text__npy=text(b"{}"), b0__npy=npy(np.zeros(1))),
        archive(text__npy=npy(np.array([None]), allow_pickle=True)),
    ],
)
def test_what_is_no_state_is_refused(content: bytes) -> None:
    for data in (content, zlib.compress(content)):
        with pytest.raises(ValueError, match=r"^not a packed state: "):
            unpack(data)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_no_state(content: bytes) -> None:
    for data in (content, zlib.compress(content), zlib.compress(b"PK\x03\x04" + content), zlib.compress(b"\x93NUMPY\x01\x00" + content)):
        with pytest.raises(ValueError, match=r"^not a packed state: "):
            unpack(data)


STATE = {"a": np.arange(50.0), "b": [np.zeros((2, 2), np.uint8), "text", math.nan]}
PACKED = pack(STATE)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0), st.integers(0, 7)), min_size=1, max_size=4))
def test_damaged_archives_are_read_or_refused(flips: list[tuple[int, int]]) -> None:
    """Bits flipped before compression, or its checksum would catch them all."""
    damaged = bytearray(zlib.decompress(PACKED))
    for position, bit in flips:
        damaged[position % len(damaged)] ^= 1 << bit
    try:
        unpack(zlib.compress(bytes(damaged)))
    except ValueError as error:
        assert str(error).startswith("not a packed state")  # noqa: PT017 - either outcome is right


def test_truncated_and_flipped_bytes_are_refused() -> None:
    for length in range(len(PACKED)):
        with pytest.raises(ValueError, match=r"^not a packed state: "):
            unpack(PACKED[:length])
    for position in range(len(PACKED)):
        damaged = bytearray(PACKED)
        damaged[position] ^= 16
        try:
            restored = unpack(bytes(damaged))
        except ValueError:
            continue
        assert same(restored, STATE)  # a bit that stands for nothing


@settings(deadline=None)
@given(INCIDENTS)
def test_incidents_as_text(incident: Incident) -> None:
    assert read_incident(write_incident(incident)) == incident


def test_the_text_of_something_else_is_no_incident() -> None:
    with pytest.raises(MessageError, match="something else"):
        read_incident(encode(Label("k", "i", LabelKind.REAL, "who", 1)).decode())
    with pytest.raises(MessageError):
        read_incident("")
