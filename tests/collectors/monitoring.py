"""What tests ask of a collector that monitors: what came last of a channel, and turns until something has come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from collectors.collector import Collected, CollectError, Collector, Rejected
from collectors.frame import Quality, Updates


def updates_of(collected: Any) -> Updates:
    items: list[Collected] = list(collected)
    (updates,) = (item for item in items if isinstance(item, Updates))
    return updates


def last(updates: Updates, name: str) -> tuple[float, Quality] | None:
    """Value and quality of the newest update of a channel."""
    found = np.flatnonzero(updates.column == updates.layout.position(name))
    return (float(updates.value[found[-1]]), Quality(int(updates.quality[found[-1]]))) if len(found) else None


def wait_for(collector: Collector, name: str, is_there: Callable[[tuple[float, Quality]], bool], timeout_s: float = 60) -> Updates:
    """Turns until a channel has the update that is waited for."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            updates = updates_of(collector.collect())
        except CollectError:
            time.sleep(0.05)
            continue
        found = last(updates, name)
        if found is not None and is_there(found):
            return updates
        time.sleep(0.05)
    raise AssertionError(f"no such update of {name}")


def turn_for(collector: Collector, seconds: float) -> None:
    """Turns for some time, whatever they give."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        list(collector.collect())
        time.sleep(0.02)


def problems(collected: Any) -> list[tuple[str, str]]:
    """Who was rejected in a turn, and why."""
    return [(item.subject, item.reason) for item in collected if isinstance(item, Rejected)]
