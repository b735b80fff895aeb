"""From frames to messages: layouts before what needs them, sequences, parts, heartbeats."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from collectors.frame import Axis, Channel, Frame, Histogram, Layout
from collectors.split import MAX_COLUMNS
from collectors.wire import MAX_BLOCK_BYTES
from daemon.bus.memory import MemoryBus
from daemon.collect.publisher import Publisher
from tests.daemon.collecting import Output
from tests.daemon.reports import S


@pytest.fixture
def bus() -> Iterator[MemoryBus]:
    made = MemoryBus()
    yield made
    made.close()


def publisher(bus: MemoryBus, epoch: int = 7) -> Publisher:
    return Publisher(bus, "hv", "frames", epoch, lambda: 10_000 * S)


def frame(layout: Layout, *times_s: float) -> Frame:
    return Frame(layout, np.array([int(t * S) for t in times_s], dtype=np.int64), np.zeros((len(times_s), layout.width)))


VOLTS = Layout("hv", (Channel("a", "voltage", "V"),))
MAP = Layout("hv", (*VOLTS.columns, Histogram("map", (Axis("x", "", 300, 0, 300), Axis("y", "", 400, 0, 400)))))


def test_a_layout_is_published_once_and_before_its_blocks(bus: MemoryBus) -> None:
    reader = bus.subscribe(["layouts"], None)
    sent = publisher(bus)
    for at in range(3):
        sent.frame(frame(VOLTS, 1000 + at))
    assert [record.key for record in reader.poll(0.0)] == [VOLTS.digest]
    reader.close()


def test_blocks_of_a_stream_are_numbered_and_complete_up_to_their_last_row(bus: MemoryBus) -> None:
    output, sent = Output(bus), publisher(bus)
    sent.heartbeat(999 * S)
    sent.frame(frame(VOLTS, 1000, 1010))
    sent.frame(frame(VOLTS))
    sent.heartbeat(1011 * S, "slow")
    assert [(b.identity.epoch, b.identity.sequence, b.complete_ns // S, b.problem) for b in output.blocks] == [
        (7, 0, 999, ""),
        (7, 1, 1010, ""),
        (7, 2, 1011, "slow"),
    ]
    assert [b.newest_ns // S for b in output.blocks] == [0, 1010, 1010]


def test_a_frame_that_is_too_long_becomes_several_blocks_and_only_the_last_is_complete(bus: MemoryBus) -> None:
    output, sent = Output(bus), publisher(bus)
    rows = MAX_BLOCK_BYTES // 16 + 10
    sent.frame(frame(VOLTS, *range(1, rows + 1)), complete_ns=rows * 2 * S)
    first, second = output.data
    assert first.content is not None
    assert second.content is not None
    assert len(first.content) + len(second.content) == rows
    assert first.complete_ns == first.content.time_ns[-1]
    assert second.complete_ns == rows * 2 * S


def test_a_source_that_is_too_wide_becomes_parts_which_are_streams_of_their_own(bus: MemoryBus) -> None:
    output, sent = Output(bus), publisher(bus)
    assert MAP.width > MAX_COLUMNS
    sent.frame(frame(MAP, 1000))
    sent.heartbeat(1005 * S)
    parts = {block.identity.stream for block in output.data}
    assert parts == {f"hv#{number}" for number in range(len(parts))}
    assert len(parts) > 1
    assert {block.identity.stream for block in output.beats} == parts | {"hv"}
    assert {(block.complete_ns // S, block.newest_ns // S) for block in output.beats} == {(1005, 1000)}


def test_a_sequence_given_by_the_caller_makes_a_repeat_recognisable(bus: MemoryBus) -> None:
    output = Output(bus)
    for sequence in (41, 42, 42):
        publisher(bus, epoch=1).numbered(frame(VOLTS, 1000), sequence)
    assert [(block.identity.epoch, block.identity.sequence) for block in output.data] == [(1, 41), (1, 42), (1, 42)]
