"""What stands of a source after some turns."""

from __future__ import annotations

import numpy as np
import pytest

from collectors.frame import Channel, Frame, Layout, Quality, Updates
from daemon.inspection.reading import Standing

A, B, C = (Channel(name, name, "V") for name in "abc")


def frame(*columns: Channel, values: list[list[float]], start_ns: int = 10) -> Frame:
    return Frame(Layout("s", columns), np.arange(start_ns, start_ns + len(values), dtype=np.int64), np.array(values, dtype=np.float64))


def updates(columns: tuple[Channel, ...], *events: tuple[int, int, float, Quality]) -> Updates:
    time_ns, column, value, quality = zip(*events, strict=True) if events else ((), (), (), ())
    return Updates(
        Layout("s", columns),
        np.array(time_ns, dtype=np.int64),
        np.array(column, dtype=np.int32),
        np.array(value, dtype=np.float64),
        np.array(quality, dtype=np.uint8),
    )


def shown(standing: Standing) -> dict[str, tuple[float, int, str]]:
    return {r.column.name: (r.value, r.time_ns, r.quality.name if r.quality is not None else "") for r in standing.readings()}


def test_the_newest_row_of_a_frame_stands() -> None:
    standing = Standing()
    standing.take(frame(A, B, values=[[1, 2], [3, 4]]))
    assert shown(standing) == {"a": (3, 11, "GOOD"), "b": (4, 11, "GOOD")}
    assert standing.awaited == 0


def test_a_column_that_is_no_longer_shown_is_gone_and_another_layout_stays() -> None:
    standing = Standing()
    standing.take(frame(A, B, values=[[1, 2]]))
    standing.take(frame(C, values=[[5]]))
    standing.take(frame(A, values=[[3]]))
    assert {name: value for name, (value, _, _) in shown(standing).items()} == {"c": 5, "a": 3}


def test_updates_wait_for_every_column_and_the_last_one_counts() -> None:
    standing = Standing()
    assert standing.is_empty
    standing.take(updates((A, B)))
    assert not standing.is_empty
    assert standing.awaited == 2
    standing.take(updates((A, B), (5, 0, 1.0, Quality.GOOD), (6, 0, 2.0, Quality.GOOD), (6, 1, np.nan, Quality.DISCONNECTED)))
    assert standing.awaited == 1
    standing.take(updates((A, B), (7, 1, 9.0, Quality.INVALID)))
    assert standing.awaited == 0
    assert shown(standing) == {"a": (2, 6, "GOOD"), "b": (9, 7, "INVALID")}


def test_what_is_described_anew_keeps_its_value() -> None:
    standing = Standing()
    standing.take(updates((A, B), (5, 0, 1.0, Quality.GOOD)))
    standing.take(updates((B, A, C), (6, 2, 3.0, Quality.GOOD)))
    assert shown(standing) == {"b": (pytest.approx(np.nan, nan_ok=True), 0, ""), "a": (1, 5, "GOOD"), "c": (3, 6, "GOOD")}
