"""Turns of the Modbus collector, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from collectors.collector import Origin, Rejected
from collectors.frame import Frame, Quality
from collectors.modbus import ModbusCollector, ModbusOptions
from tests.collectors.modbus_server import Server

NOW_NS = 1_700_000_000_000_000_000
Build = Callable[..., ModbusCollector]


@contextmanager
def building(server: Server) -> Iterator[Build]:
    """Builds collectors of a server by registers and options, and closes them."""
    built: list[ModbusCollector] = []

    def start(*registers: dict[str, Any], **options: Any) -> ModbusCollector:
        fields = {"address": server.address, "registers": registers, "timeout_s": 5, **options}
        built.append(ModbusCollector(Origin("lv", "LAB/LV", lambda: NOW_NS), ModbusOptions.model_validate(fields)))
        return built[-1]

    yield start
    for collector in built:
        collector.close()


def turn(collector: ModbusCollector) -> tuple[Frame, list[Rejected]]:
    items = list(collector.collect())
    (frame,) = (item for item in items if isinstance(item, Frame))
    return frame, [item for item in items if isinstance(item, Rejected)]


def values(frame: Frame) -> dict[str, float]:
    return dict(zip((c.name for c in frame.layout.columns), frame.values[0].tolist(), strict=True))


def quality(frame: Frame, name: str) -> Quality:
    return Quality.GOOD if frame.quality is None else Quality(int(frame.quality[0, frame.layout.position(name)]))
