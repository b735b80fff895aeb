"""From frames to messages: layouts once, blocks with the producer's identity, dead letters."""

from __future__ import annotations

import threading
from collections.abc import Callable

from collectors.collector import Rejected
from collectors.frame import Frame, Layout
from collectors.split import Splitter
from collectors.wire import Block, Identity, encode, encode_layout, pieces
from daemon import messages, metrics
from daemon.bus.bus import Bus
from daemon.messages import DeadLetter


class Publisher:
    """Publishes what one source yields. `epoch` tells this producer's blocks from those of an earlier one.

    Not safe for use by several threads at once, except that heartbeats may come from another one.
    """

    def __init__(self, bus: Bus, source: str, topic: str, epoch: int, now_ns: Callable[[], int], judged: tuple[str, ...] = ()) -> None:
        """`judged`: the detectors that judge in this process; those elsewhere leave it to them."""
        self._bus = bus
        self._source = source
        self._topic = topic
        self._epoch = epoch
        self._now_ns = now_ns
        self._judged = judged
        self._splitter = Splitter()
        self._sequence: dict[str, int] = {source: 0}
        self._published: set[str] = set()
        self._newest_ns = 0
        self._lock = threading.Lock()

    def frame(self, frame: Frame, complete_ns: int | None = None) -> None:
        """Publishes a frame, in as many blocks as it takes; `complete_ns` is its last row by default."""
        if not len(frame):
            return
        newest_ns = int(frame.time_ns.max()) if complete_ns is None else complete_ns
        self.note(int(frame.time_ns.max()))
        metrics.ROWS.labels(source=self._source).inc(len(frame))
        metrics.LAST_DATA.labels(source=self._source).set(newest_ns / 1e9)
        for part in self._splitter.split(frame):
            for piece in pieces(part):
                last = piece.time_ns[-1] == part.time_ns[-1]
                self._block(piece.layout, piece, newest_ns if last else int(piece.time_ns.max()))

    def numbered(self, frame: Frame, sequence: int) -> None:
        """Publishes a small frame under a sequence of the caller's; the same sequence again is recognised as a repeat."""
        for part in self._splitter.split(frame):
            with self._lock:
                self._sequence[part.layout.stream] = sequence
        self.frame(frame)

    def note(self, newest_ns: int) -> None:
        """Takes note of the newest row of the source, also where another publisher published it."""
        self._newest_ns = max(self._newest_ns, newest_ns)

    def heartbeat(self, complete_ns: int, problem: str = "") -> None:
        """Says that the source is complete up to a time, and why its last run failed."""
        with self._lock:
            streams = list(self._sequence)
        for stream in streams:
            self._send(stream, None, complete_ns, problem)

    def rejected(self, item: Rejected) -> None:
        """Sends input that could not be used to the dead letters."""
        now_ns = self._now_ns() if item.time_ns is None else item.time_ns
        letter = DeadLetter.of(now_ns, self._source, item.subject, item.reason, item.payload)
        metrics.DEAD_LETTERS.labels(origin=self._source).inc()
        self._bus.publish("dead-letters", self._source, messages.encode(letter))

    def _block(self, layout: Layout, frame: Frame, complete_ns: int) -> None:
        if layout.digest not in self._published:
            self._bus.publish("layouts", layout.digest, encode_layout(layout))
            self._published.add(layout.digest)
        self._send(layout.stream, frame, complete_ns, "")

    def _send(self, stream: str, frame: Frame | None, complete_ns: int, problem: str) -> None:
        with self._lock:
            sequence = self._sequence.get(stream, 0)
            self._sequence[stream] = sequence + 1
            block = Block(Identity(stream, self._epoch, sequence), frame, complete_ns, problem, self._newest_ns, self._judged)
            self._bus.publish(self._topic, stream, encode(block))
