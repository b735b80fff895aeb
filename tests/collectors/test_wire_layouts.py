"""Layouts on the wire."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.frame import Axis, Channel, Histogram, Kind, Layout, Storage
from collectors.wire import MAX_BLOCK_BYTES, MAX_LAYOUT_BYTES, WireError, decode_layout, encode_layout
from tests.collectors.strategies import layouts

LAYOUT = Layout("dqm", (Channel("v", "voltage", "V"), Histogram("h", (Axis("x", "", 2, 0.0, 2.0),), flow=False)), "3")


@settings(deadline=None)
@given(layouts())
def test_layouts_come_back_with_their_digest_and_keys(layout: Layout) -> None:
    read = decode_layout(encode_layout(layout))
    assert read == layout
    assert read.digest == layout.digest
    assert read.keys == layout.keys
    assert np.array_equal(read.starts, layout.starts)


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


@settings(deadline=None)
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


@settings(deadline=None)
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
