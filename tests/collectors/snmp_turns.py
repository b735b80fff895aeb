"""Turns of the SNMP collector, for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from collectors.collector import Origin, Rejected
from collectors.frame import Channel, Frame, Quality
from collectors.snmp import SnmpCollector, SnmpOptions

NOW_NS = 1_700_000_000_000_000_000
COMMUNITY = "c0mmunity-of-the-test"
Build = Callable[..., SnmpCollector]


@contextmanager
def building() -> Iterator[Build]:
    """Builds collectors by the agent's address and options, and closes them; nothing may go on running."""
    built: list[SnmpCollector] = []
    before = threading.active_count()

    def start(address: str, **options: Any) -> SnmpCollector:
        fields = {"address": address, "timeout_s": 2, "retries": 1, **({} if "user" in options else {"community": COMMUNITY}), **options}
        built.append(SnmpCollector(Origin("mpod", "LAB/HV", lambda: NOW_NS), SnmpOptions.model_validate(fields)))
        return built[-1]

    yield start
    for collector in built:
        collector.close()
    assert threading.active_count() == before


def turn(collector: SnmpCollector) -> tuple[Frame, list[Rejected]]:
    items = list(collector.collect())
    (frame,) = (item for item in items if isinstance(item, Frame))
    return frame, [item for item in items if isinstance(item, Rejected)]


def channel(frame: Frame, name: str) -> Channel:
    column = frame.layout.column(name)
    assert isinstance(column, Channel)
    return column


def value(frame: Frame, name: str) -> float:
    return float(frame.values[0, frame.layout.position(name)])


def quality(frame: Frame, name: str) -> Quality:
    return Quality.GOOD if frame.quality is None else Quality(int(frame.quality[0, frame.layout.position(name)]))
