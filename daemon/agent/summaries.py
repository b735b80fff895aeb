"""Minimum, mean, maximum and number of readings of each gauge in each minute: what is told first of the time without a broker.

They are a stream of their own ("node17#summary") with an order of its own, so that they may arrive before the blocks that
they summarise, and stand for those that found no room. They are sums of what is good only, and nothing judges them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Kind, Layout, Quality
from collectors.split import Splitter
from collectors.wire import JUDGED_ALL, Block, Identity, WireError, decode, decode_layout, encode, encode_layout, pieces
from daemon.bus.spool import SUMMARY_PART

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
Publication = tuple[str, str, bytes]
"""Topic, key and value."""


@dataclass(slots=True)
class Minute:
    """Sums over the rows of one stream since `start_ns`; shape (gauges,)."""

    start_ns: int
    layout: Layout
    least: Array
    most: Array
    total: Array
    count: Array
    away: bool = False


@dataclass(slots=True)
class _Stream:
    minute: Minute | None = None
    sequence: dict[str, int] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    layouts: dict[str, Layout] = field(default_factory=dict)
    splitter: Splitter = field(default_factory=Splitter)


class Summaries:
    """Follows all blocks of a process; yields summaries of the intervals in which the broker was away. Thread safe."""

    def __init__(self, period_ns: int, epoch: int) -> None:
        """`epoch`: start of this process, as in the identity of a block."""
        self._period_ns = period_ns
        self._epoch = epoch
        self._layouts: dict[str, Layout] = {}
        self._streams: dict[str, _Stream] = {}
        self._lock = threading.Lock()

    def take(self, topic: str, value: bytes, *, away: bool) -> list[Publication]:
        """Takes note of a record that was published; what is to be published of the interval that it ends."""
        if topic not in ("layouts", "frames"):
            return []
        with self._lock:
            try:
                if topic == "layouts":
                    layout = decode_layout(value)
                    self._layouts[layout.digest] = layout
                    return []
                return list(self._follow(decode(value, self._layouts), away))
            except WireError as error:
                log.warning("not summarised reason=%r", str(error))
                return []

    def _follow(self, block: Block, away: bool) -> Iterator[Publication]:
        stream = self._streams.setdefault(block.identity.stream, _Stream())
        interval_ns = block.complete_ns // self._period_ns * self._period_ns
        frame = block.content if isinstance(block.content, Frame) and len(block.content) else None
        held = stream.minute
        if held is not None and (interval_ns > held.start_ns or (frame is not None and frame.layout.digest != held.layout.digest)):
            stream.minute = None
            if held.away or away:
                yield from self._publications(stream, held)
        if frame is None:
            return
        part = _sums(frame, interval_ns)
        stream.minute = part if stream.minute is None else _together(stream.minute, part)
        stream.minute.away |= away

    def _publications(self, stream: _Stream, minute: Minute) -> Iterator[Publication]:
        summary = stream.layouts.get(minute.layout.digest)
        if summary is None:
            stream.layouts = {minute.layout.digest: (summary := summary_layout(minute.layout))}
        if not summary.columns:
            return
        with np.errstate(invalid="ignore"):
            mean = np.where(minute.count > 0, minute.total / np.maximum(minute.count, 1), np.nan)
        row = np.stack([minute.least, mean, minute.most, minute.count], axis=1).reshape(1, -1)
        end_ns = minute.start_ns + self._period_ns - 1
        for part in stream.splitter.split(Frame(summary, np.array([end_ns]), row)):
            for piece in pieces(part):
                yield from self._encoded(stream, piece, end_ns)

    def _encoded(self, stream: _Stream, frame: Frame, end_ns: int) -> Iterator[Publication]:
        layout = frame.layout
        if layout.digest not in stream.told:
            stream.told.add(layout.digest)
            yield "layouts", layout.digest, encode_layout(layout)
        sequence = stream.sequence.get(layout.stream, 0)
        stream.sequence[layout.stream] = sequence + 1
        block = Block(Identity(layout.stream, self._epoch, sequence), frame, end_ns, newest_ns=end_ns, judged=JUDGED_ALL)
        yield "frames", layout.stream, encode(block)


def summary_layout(layout: Layout) -> Layout:
    """For each gauge its least, mean and greatest reading and how many there were, in this order."""
    columns: list[Channel] = []
    for column in layout.columns:
        if isinstance(column, Channel) and column.kind is Kind.GAUGE:
            columns += [replace(column, name=f"{column.name}/{what}") for what in ("min", "mean", "max")]
            columns.append(replace(column, name=f"{column.name}/count", quantity="count", unit="1"))
    return Layout(layout.source, tuple(columns), f"{layout.part}.{SUMMARY_PART}" if layout.part else SUMMARY_PART)


def _sums(frame: Frame, start_ns: int) -> Minute:
    gauges = frame.layout.of_kind(Kind.GAUGE)
    values = frame.values[:, gauges].astype(np.float64)
    good = np.isfinite(values)
    if frame.quality is not None:
        good &= frame.quality[:, gauges] == Quality.GOOD
    count = good.sum(axis=0).astype(np.float64)
    empty = count == 0
    least = np.where(empty, np.nan, np.where(good, values, np.inf).min(axis=0))
    most = np.where(empty, np.nan, np.where(good, values, -np.inf).max(axis=0))
    return Minute(start_ns, frame.layout, least, most, np.where(good, values, 0.0).sum(axis=0), count)


def _together(first: Minute, then: Minute) -> Minute:
    return Minute(
        first.start_ns,
        first.layout,
        np.fmin(first.least, then.least),
        np.fmax(first.most, then.most),
        first.total + then.total,
        first.count + then.count,
        first.away,
    )
