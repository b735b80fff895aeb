"""Named readings become frames with a stable order of columns."""

from __future__ import annotations

import numpy as np

from collectors.frame import Channel, Quality
from collectors.snapshot import FORGOTTEN_MOST, SnapshotFrames
from tests.collectors.rows import NAN, same

A, B, C = (Channel(name, "temperature", "C") for name in "abc")


def test_readings_are_found_by_name() -> None:
    frame = SnapshotFrames("room", "1").frame(7, [B, A], {"a": 1.0, "b": 2.0, "unasked": 3.0}, {"a": Quality.STALE})
    assert frame.layout.columns == (B, A)
    assert frame.layout.stream == "room#1"
    assert frame.time_ns.tolist() == [7]
    assert frame.values.tolist() == [[2, 1]]
    assert frame.quality is not None
    assert frame.quality.tolist() == [[Quality.GOOD, Quality.STALE]]


def test_one_that_is_missing_is_no_reading() -> None:
    frame = SnapshotFrames("room").frame(7, [A, B], {"b": 2.0})
    assert same(frame.values, [[NAN, 2]])
    assert frame.quality is None


def test_the_order_of_the_channels_does_not_change_the_layout() -> None:
    frames = SnapshotFrames("room")
    layout = frames.frame(1, [A, B], {}).layout
    assert frames.frame(2, [B, A], {}).layout is layout
    assert frames.frame(3, [B, C, A], {}).layout.columns == (A, B, C)


def test_channels_that_come_and_go_make_few_layouts() -> None:
    """Every layout is published and kept by all readers: there must be no more of them than sets of channels."""
    frames = SnapshotFrames("room")
    rng = np.random.default_rng(1)
    channels = [Channel(f"c{i}", "temperature", "C") for i in range(5)]
    digests: dict[frozenset[str], set[str]] = {}
    for time_ns in range(300):
        chosen = [channels[i] for i in rng.permutation(5)[: rng.integers(1, 6)]]
        layout = frames.frame(time_ns, chosen, {}).layout
        digests.setdefault(frozenset(c.name for c in chosen), set()).add(layout.digest)
    assert all(len(found) == 1 for found in digests.values())


def test_a_channel_with_another_unit_is_described_anew() -> None:
    frames = SnapshotFrames("room")
    frames.frame(1, [A, B], {})
    changed = Channel("a", "temperature", "K")
    assert frames.frame(2, [A, changed, B], {"a": 300.0}).layout.columns == (changed, B)


def test_no_channels_at_all() -> None:
    frame = SnapshotFrames("room").frame(1, [], {})
    assert frame.values.shape == (1, 0)


def test_names_that_come_and_go_for_ever_are_forgotten_and_those_that_stay_keep_their_order() -> None:
    frames = SnapshotFrames("room")
    first = frames.frame(0, [A, B, C], {}).layout
    for run in range(3 * FORGOTTEN_MOST):
        frames.frame(run, [C, Channel(f"run{run}", "temperature", "C"), A, B], {})
    assert len(frames._places) < 2 * FORGOTTEN_MOST
    assert frames.frame(1, [C, B, A], {}).layout == first
