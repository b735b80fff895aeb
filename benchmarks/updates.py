"""What 100,000 channel updates a second cost, from the monitors' events to the bus, on one core.

10,000 channels, half of them with a status word that can say "ramping", send ten updates a second each, in any order. A turn
takes one second's events: decoded (`decoder_core`: seconds of CPU for each second of data), then marked, aligned to one row
and encoded for the bus (`frame_to_bus_core`). Both together stand against the usual way (`naive_core`): a Python object for
each channel, updated by each event, and one JSON message for each channel and second.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from benchmarks.measure import Round, main
from collectors.collector import Collected, Options
from collectors.frame import Channel, Kind, Layout, Updates
from collectors.slow_control.monitored import Decoder, Event
from daemon.bus.memory import MemoryBus, MemoryOptions
from daemon.collect.publisher import Publisher
from daemon.collect.source import Source
from daemon.sections import SourceSettings

CHANNELS, RATE_HZ, TURNS = 10_000, 10, 10
START_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000
NAMES = [f"crate{i // 200:02d}:{i % 200 // 2:03d}:{'Status' if i % 2 else 'VMon'}" for i in range(CHANNELS)]
KINDS = [Kind.BITS if i % 2 else Kind.GAUGE for i in range(CHANNELS)]
LAYOUT = Layout("hv", tuple(Channel(name, name, "", kind, "CMS/HV") for name, kind in zip(NAMES, KINDS, strict=True)))


class _Clock:
    speed = 1.0
    time_ns = START_NS

    def now_ns(self) -> int:
        return self.time_ns

    def wait(self, _seconds: float, _stop: object) -> bool:
        return False


class _Given:
    """A collector that yields what it was given."""

    options_model: ClassVar[type[Options]] = Options
    finite: ClassVar[bool] = False
    block: Updates | None = None

    def collect(self) -> list[Collected]:
        return [] if self.block is None else [self.block]

    def close(self) -> None:
        self.block = None


@dataclass
class _Reading:
    name: str
    value: float = 0.0
    time_ns: int = 0


def events(turn: int) -> list[Event]:
    """One second of monitors' messages: voltages that move, status words that do not."""
    rng = np.random.default_rng(turn)
    column = np.tile(np.arange(CHANNELS), RATE_HZ)
    rng.shuffle(column)
    time_ns = START_NS + turn * SECOND_NS + np.sort(rng.integers(0, SECOND_NS, len(column)))
    value = np.where(column % 2, 1.0, rng.normal(1500.0, 1.0, len(column)))
    return [Event(c, v, t, t) for c, v, t in zip(column.tolist(), value.tolist(), time_ns.tolist(), strict=True)]


def ours() -> tuple[float, float]:
    """Seconds of CPU for each second of data: of the decoder, and from its updates to the bus."""
    clock, given, decoder = _Clock(), _Given(), Decoder()
    rule = {"status": "*:Status", "readings": ["{1}:VMon"], "bits": [1, 2]}
    settings = SourceSettings.model_validate({"collector": "epics", "period_s": 1.0, "ramping": [rule]})
    bus = MemoryBus(MemoryOptions())
    reader = bus.subscribe(["frames"], None)
    source = Source("hv", settings, given, Publisher(bus, "hv", "frames", 1, clock.now_ns), clock)
    decoding_s = passing_s = 0.0
    for turn in range(TURNS):
        arrived = events(turn)
        started = time.process_time()
        given.block, _ = decoder.decode(LAYOUT, arrived)
        decoded = time.process_time()
        clock.time_ns = START_NS + (turn + 1) * SECOND_NS
        source.run()
        if turn:  # the first turn describes the channels
            decoding_s += decoded - started
            passing_s += time.process_time() - decoded
        reader.poll(0.0)
    bus.close()
    return decoding_s / (TURNS - 1), passing_s / (TURNS - 1)


def naive() -> float:
    """The same with an object for each channel and a message for each of them and second."""
    readings = [_Reading(name) for name in NAMES]
    spent_s = 0.0
    for turn in range(3):
        arrived = events(turn)
        started = time.process_time()
        for event in arrived:
            reading = readings[event.column]
            assert isinstance(event.value, float)
            reading.value, reading.time_ns = event.value, event.time_ns
        for reading in readings:
            json.dumps({"channel": reading.name, "time": reading.time_ns, "value": reading.value}).encode()
        spent_s += time.process_time() - started
    return spent_s / 3


def measure(number: int) -> Round:
    """One round; the order of the two sides alternates."""
    plain = naive() if number % 2 else 0.0
    decoder, to_bus = ours()
    plain = plain or naive()
    return {"frame_to_bus_core": to_bus, "decoder_core": decoder, "naive_core": plain, "all_vs_half_a_core": 0.5 / (decoder + to_bus)}


if __name__ == "__main__":
    main("updates", __doc__.splitlines()[0], measure)
