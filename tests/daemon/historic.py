"""Blocks of one stream on a bus, and a history stage that reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Axis, Channel, Frame, Histogram, Layout
from collectors.wire import Block, Identity, encode, encode_layout
from daemon.bus.memory import MemoryBus
from daemon.clock import SystemClock
from daemon.history.stage import HistoryStage
from daemon.history_sections import HistorySettings

S = 1_000_000_000
START_NS = 1_790_000_000 * S
LAYOUT = Layout("hv", (Channel("_a", "voltage", "V"), Channel("b", "voltage", "V"), Histogram("h", (Axis("x", "", 3, 0, 3),))))


def frame(first: int, rows: int, layout: Layout = LAYOUT, *, dtype: type[np.float64] | type[np.float32] = np.float64) -> Frame:
    """Rows of 10 s each; every value is different."""
    values: NDArray[np.float64 | np.float32] = (np.arange(rows * layout.width).reshape(rows, layout.width) + 1000 * first).astype(dtype)
    return Frame(layout, START_NS + (first + np.arange(rows)) * 10 * S, values)


class Producer:
    """Numbers the blocks of a stream and publishes them."""

    def __init__(self, bus: MemoryBus, epoch: int = 1, topic: str = "frames") -> None:
        self._bus, self._epoch, self._topic, self._sequence = bus, epoch, topic, 0

    def send(self, content: Frame, sequence: int | None = None) -> None:
        self._bus.publish("layouts", content.layout.digest, encode_layout(content.layout))
        number = self._sequence if sequence is None else sequence
        self._sequence = number + 1
        identity = Identity(content.layout.stream, self._epoch, number)
        self._bus.publish(self._topic, content.layout.stream, encode(Block(identity, content, int(content.time_ns.max()))))


def stage(bus: MemoryBus, root: Path, *, outlives: bool = True, close_after_s: float = 3600.0) -> HistoryStage:
    return HistoryStage(HistorySettings(path=root, close_after_s=close_after_s), bus, SystemClock(), bus_outlives_us=outlives)


def drain(history: HistoryStage) -> None:
    """Until nothing comes any more."""
    while history.step(0.0):
        pass
