"""Collectors that do what a test tells them, a clock that the test moves, and what comes out on the bus."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import ClassVar

from collectors.collector import Collected, Options
from collectors.frame import Layout
from collectors.wire import Block, decode, decode_layout
from daemon import messages
from daemon.bus.memory import MemoryBus
from daemon.messages import DeadLetter
from tests.daemon.reports import S


class ManualClock:
    """Time that passes when the test says so."""

    speed = 1.0

    def __init__(self, now_s: float = 10_000) -> None:
        self.now_s = now_s

    def now_ns(self) -> int:
        return int(self.now_s * S)

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        raise AssertionError(f"nothing waits here, but somebody did for {seconds} s until {stop}")


class ScriptedCollector:
    """Yields what `script` returns at each call; what is an exception is raised."""

    options_model: ClassVar[type[Options]] = Options
    finite: ClassVar[bool] = False

    def __init__(self, script: Callable[[], Iterable[Collected | Exception]]) -> None:
        self.script = script
        self.closed = 0

    def collect(self) -> Iterable[Collected]:
        for item in self.script():
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self) -> None:
        self.closed += 1


class Output:
    """What was published on a bus, read as the stages read it."""

    def __init__(self, bus: MemoryBus) -> None:
        self._subscription = bus.subscribe(["layouts", "frames", "conditions", "dead-letters"], None)
        self._layouts: dict[str, Layout] = {}
        self._blocks: list[Block] = []
        self._letters: list[DeadLetter] = []

    @property
    def blocks(self) -> list[Block]:
        """Everything on frames and conditions."""
        self._read()
        return self._blocks

    @property
    def data(self) -> list[Block]:
        """Blocks with rows."""
        return [block for block in self.blocks if block.content is not None]

    @property
    def beats(self) -> list[Block]:
        """Heartbeats."""
        return [block for block in self.blocks if block.content is None]

    @property
    def letters(self) -> list[DeadLetter]:
        """Dead letters."""
        self._read()
        return self._letters

    def _read(self) -> None:
        records = self._subscription.poll(0.0, 100_000)
        for record in records:
            if record.topic == "layouts":
                layout = decode_layout(record.value)
                self._layouts[layout.digest] = layout
        for record in records:
            if record.topic in ("frames", "conditions"):
                self._blocks.append(decode(record.value, self._layouts))
            elif record.topic == "dead-letters":
                message = messages.decode(record.value)
                assert isinstance(message, DeadLetter)
                self._letters.append(message)

    def close(self) -> None:
        self._subscription.close()
