"""Tables of lumisections while somebody writes to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collectors.collector import CollectError, Origin, Rejected
from collectors.frame import Frame
from collectors.lumisections import LumisectionsCollector, LumisectionsOptions
from daemon.collect.reread import Reread

S = 1_000_000_000
START = "2024-03-08T10:00:00"


def save(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def collector(files: Path, now_ns: int = 0, **options: Any) -> LumisectionsCollector:
    given_time = {} if "runs" in options else {"start": START}
    made = LumisectionsOptions.model_validate({"files": str(files), **given_time, **options})
    return LumisectionsCollector(Origin("luminosity", "CMS", lambda: now_ns), made)


def blocks(source: LumisectionsCollector) -> tuple[list[Frame], list[str]]:
    collected = list(source.collect())
    frames = [item for item in collected if isinstance(item, Frame)]
    return frames, [f"{item.subject}: {item.reason}" for item in collected if isinstance(item, Rejected)]


def channel(frame: Frame, name: str) -> list[float]:
    column: list[float] = frame.values[:, frame.layout.position(name)].tolist()
    return column


def test_empty_table_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(CollectError, match="it is empty"):
        blocks(collector(save(tmp_path / "t.csv", "")))


def test_run_whose_start_is_told_later_is_not_lost(tmp_path: Path) -> None:
    path = save(tmp_path / "t.csv", "run,ls,x\n7,1,1\n8,1,2\n")
    runs = save(tmp_path / "runs.csv", f"run,start_time\n7,{START}\n")
    source = collector(path, runs={"file": str(runs)})
    (frame,), rejected = blocks(source)
    assert channel(frame, "x") == [1]
    assert "has no time" in rejected[0]
    save(tmp_path / "runs.csv", f"run,start_time\n7,{START}\n8,2024-03-08T12:00:00\n")
    (frame,), rejected = blocks(source)
    assert channel(frame, "x") == [2]
    assert not rejected
    assert blocks(source) == ([], [])


def test_row_that_is_still_being_written_never_gives_half_a_number(tmp_path: Path) -> None:
    """As the daemon reads it, which takes of a table that it has read before only rows that are later."""
    path = Path(save(tmp_path / "t.csv", "run,ls,x\n7,1,1\n7,2,12"))
    now_ns = [path.stat().st_mtime_ns]
    options = LumisectionsOptions.model_validate({"files": str(path), "start": START})
    source, reread = LumisectionsCollector(Origin("luminosity", "CMS", lambda: now_ns[0]), options), Reread()

    def turn() -> list[float]:
        return [x for item in reread.unread(source.collect()) if isinstance(item, Frame) for x in channel(item, "x")]

    assert turn() == [1]
    save(path, "run,ls,x\n7,1,1\n7,2,1234\n7,3,5")
    assert turn() == [1234]
    now_ns[0] = path.stat().st_mtime_ns + 3600 * S
    assert turn() == [5]  # nobody writes to it any more
    assert turn() == []
