"""Single readings written out one by one, and the rows that become of them."""

from __future__ import annotations

import numpy as np

from collectors.frame import Channel, Frame, Kind, Layout, Quality, Updates
from tests.collectors.rows import S

V = Channel("v", "voltage", "V", place="CMS/HV")
I = Channel("i", "current", "A")  # noqa: E741 - its symbol
POWER = Channel("power", "power", "", Kind.STATE, states=("OFF", "ON"))
LAYOUT = Layout("hv", (V, I))
GOOD, STALE, INVALID, DISCONNECTED = (int(q) for q in (Quality.GOOD, Quality.STALE, Quality.INVALID, Quality.DISCONNECTED))

Update = tuple[float, int, float] | tuple[float, int, float, int]


def updates(*given_updates: Update, layout: Layout = LAYOUT) -> Updates:
    """Each: time in s, column, value, quality (good by default)."""
    time_s, column, value, quality = zip(*((*u, GOOD)[:4] for u in given_updates), strict=True) if given_updates else ((), (), (), ())
    time_ns = np.array([round(t * S) for t in time_s], dtype=np.int64)
    return Updates(layout, time_ns, np.array(column, np.int32), np.array(value, np.float64), np.array(quality, np.uint8))


def rows(frames: list[Frame]) -> dict[float, list[float]]:
    """Values of all rows by their time in s."""
    return {int(t) / S: row.tolist() for frame in frames for t, row in zip(frame.time_ns, frame.values, strict=True)}


def qualities(frames: list[Frame]) -> list[list[int]]:
    """Qualities of all rows."""
    return [row for f in frames for row in (np.zeros(f.values.shape, np.uint8) if f.quality is None else f.quality).tolist()]
