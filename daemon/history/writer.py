"""Writing the history: blocks of one partition are gathered in runs, and the runs become files."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from collectors.frame import Frame, concatenate
from collectors.wire import Block
from daemon.history.files import HistoryError, Reach, Run, read_head, to_table, write_layout, write_table
from detectors.path_names import path_name

log = logging.getLogger(__name__)

RECORD_BYTES = 200
"""What a gathered block takes beside its values."""
AHEAD_NS = 86_400_000_000_000
"""Rows further ahead of the clock are kept, but what comes after them is not taken for a repetition."""


@dataclass(slots=True)
class _Gathered:
    """A run that is not on disk yet."""

    first_offset: int
    last_offset: int
    reach: Reach
    frames: list[Frame] = field(default_factory=list)


@dataclass(slots=True)
class _Stream:
    """What is known of a stream: what is on disk or gathered, and whether a producer sends again what it had sent before."""

    reach: Reach
    newest_ns: int
    catching_up: bool = False
    runs: list[_Gathered] = field(default_factory=list)


class Writer:
    """Gathers the blocks of one partition of a topic.

    Each file says up to which block of its stream all is on disk, files are written in that order, and offsets are committed
    only then: after a crash the same blocks come again, and those that are on disk are recognised and left out.
    """

    def __init__(self, root: Path, topic: str, partition: int) -> None:
        self._root = root
        self._topic = topic
        self._origin = f"{topic}-{partition}"
        self._streams: dict[str, _Stream] = {}
        self.bytes = 0
        self.blocks = 0

    def take(self, block: Block, offset: int) -> None:
        """Gathers a block; one that is there already adds nothing."""
        self.blocks += 1
        if not isinstance(block.content, Frame) or not len(block.content):
            return
        name = block.identity.stream
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = self._known(name)
        frame = self._unseen(stream, block)
        if frame is None:
            return
        run = stream.runs[-1] if stream.runs else None
        if run is None or not _alike(run.frames[0], frame):
            run = _Gathered(offset, offset, stream.reach)
            stream.runs.append(run)
        run.frames.append(frame)
        run.last_offset, run.reach = offset, stream.reach
        self.bytes += frame.values.nbytes + frame.time_ns.nbytes + RECORD_BYTES

    def close(self) -> int:
        """Writes all that was gathered; the number of rows. Raises OSError, and what was not written then is still gathered."""
        rows = 0
        for stream in self._streams.values():
            while stream.runs:
                rows += self._write(stream.runs[0])
                stream.runs.pop(0)
        self.bytes = self.blocks = 0
        return rows

    def drop(self) -> int:
        """Gives up what was gathered; the number of rows."""
        rows = sum(len(frame) for stream in self._streams.values() for run in stream.runs for frame in run.frames)
        for stream in self._streams.values():
            stream.runs.clear()
        self.bytes = self.blocks = 0
        return rows

    def _write(self, run: _Gathered) -> int:
        whole = concatenate(run.frames)
        span = Run(int(whole.time_ns.min()), int(whole.time_ns.max()), self._origin, run.first_offset, run.last_offset)
        write_layout(self._root, whole.layout)
        write_table(to_table(whole, run.reach), self._root / self._topic / path_name(whole.layout.stream) / span.name)
        return len(whole)

    def _unseen(self, stream: _Stream, block: Block) -> Frame | None:
        """The rows of a block that are not in the history yet; None where there are none."""
        frame = block.content
        assert isinstance(frame, Frame)
        identity = Reach(block.identity.epoch, block.identity.sequence)
        if identity <= stream.reach:
            return None
        stream.catching_up |= identity.epoch > stream.reach.epoch >= 0
        stream.reach = identity
        if stream.catching_up:  # a producer that was started again may begin with what it had sent before
            new = frame.time_ns > stream.newest_ns
            stream.catching_up = not new.any()
            frame = frame if new.all() else frame.rows(np.asarray(new))
        if not len(frame):
            return None
        believed = frame.time_ns[frame.time_ns <= time.time_ns() + AHEAD_NS]
        stream.newest_ns = int(believed.max(initial=stream.newest_ns))
        return frame

    def _known(self, stream: str) -> _Stream:
        """What is on disk of a stream."""
        reach, newest_ns = Reach(), -(2**62)
        for path in sorted((self._root / self._topic / path_name(stream)).glob("*.parquet")):
            run = Run.of(path)
            if run is None:
                continue
            try:
                reach = max(reach, read_head(path).reach)
                if run.last_ns <= time.time_ns() + AHEAD_NS:
                    newest_ns = max(newest_ns, run.last_ns)
            except HistoryError as error:
                log.warning("history skipped reason=%r", str(error))
        return _Stream(reach, newest_ns)


def _alike(run: Frame, frame: Frame) -> bool:
    return run.layout.digest == frame.layout.digest and run.values.dtype == frame.values.dtype
