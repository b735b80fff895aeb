"""A broker for tests of the spool that can be away, and readers of what it holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from collectors.wire import decode
from daemon.bus.bus import BusError, Record, Unacknowledged, read_existing
from daemon.bus.memory import MemoryBus
from daemon.bus.spool import SpoolBus
from daemon.bus.spool_options import SpoolOptions

PATIENCE_S = 20.0


class Broker:
    """What a SpoolBus connects to: memory that outlives connections, and can be away in several ways."""

    def __init__(self) -> None:
        self.memory = MemoryBus()
        self.here = True
        self.silent = False  # takes records, acknowledges none
        self.arrived: list[tuple[str, str, bytes | None]] = []

    def connect(self) -> Connection:
        if not self.here:
            raise BusError("no broker answers")
        return Connection(self)

    def records(self, *topics: str) -> list[Record]:
        subscription = self.memory.subscribe(topics, None)
        found = read_existing(subscription, 5.0)
        subscription.close()
        return found


class Connection:
    """As a KafkaBus: what is published without a flush may be lost."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._sent: list[tuple[str, str, bytes | None]] = []
        self.subscribe = broker.memory.subscribe

    def publish(self, topic: str, key: str, value: bytes | None) -> None:
        if not self._broker.here:
            raise BusError("the broker is gone")
        self._sent.append((topic, key, value))

    def flush(self, timeout_s: float) -> None:
        if self._broker.silent:
            time.sleep(min(timeout_s, 0.02))
            raise Unacknowledged("not acknowledged")
        if not self._broker.here:
            raise BusError("given up")
        for topic, key, value in self._sent:
            self._broker.memory.publish(topic, key, value)
            self._broker.arrived.append((topic, key, value))
        self._sent.clear()

    def close(self) -> None:
        self._sent.clear()


def spool_bus(folder: Path, connect: Callable[[], object], **options: object) -> SpoolBus:
    settings = {"folder": folder, "linger_s": 0.0, "flush_s": 0.1, "longest_pause_s": 0.05, **options}
    return SpoolBus(SpoolOptions.model_validate(settings), connect)  # type: ignore[arg-type] # the test's connections are buses


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.01)


def accepted(records: list[Record]) -> list[tuple[str, int, int]]:
    """Stream, epoch and sequence of the blocks that a reader takes which goes by their identity, as the detect stage does."""
    newest: dict[str, tuple[int, int]] = {}
    taken = []
    for record in records:
        identity = decode(record.value, {}).identity
        if (identity.epoch, identity.sequence) > newest.get(identity.stream, (-1, -1)):
            newest[identity.stream] = identity.epoch, identity.sequence
            taken.append((identity.stream, identity.epoch, identity.sequence))
    return taken
