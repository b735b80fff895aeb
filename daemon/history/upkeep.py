"""What the history needs now and then: small files are merged, old ones removed, and what a crash left behind goes."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path

from collectors.frame import Frame, Layout, concatenate
from daemon.history.files import PARTIAL, Head, HistoryError, Run, read_frame, read_head, read_layout, to_table, write_table
from daemon.history.reader import in_order

log = logging.getLogger(__name__)

MERGED_FROM = 16
"""So many small files of a stream in a row are merged to one."""
MERGED_BYTES = 32_000_000
"""Bytes on disk beyond which a file is not small any more."""
MERGED_VALUE_BYTES = 256_000_000
"""The same in memory: what hardly changes is packed a hundredfold."""
SETTLED_S = 3600.0
"""Partial files that are older than this are nobody's any more."""
DAY_S = 86_400.0
LOCK = ".tidy"


def tidy(root: Path, retention_days: float, now_ns: int) -> None:
    """Merges, and removes what is older than the retention; a folder that cannot be tidied is named in the log.

    One process at a time: where another one is at it, nothing is done.
    """
    with _alone(root) as alone:
        if not alone:
            return
        now_s = _believed_s(root)
        for folder in (root / "layouts", *sorted(root.glob("*/*/"))):
            try:
                expire(folder, retention_days, now_ns, now_s)
                merge_small(root, folder)
            except (HistoryError, OSError) as error:
                log.warning("history not tidied folder=%s reason=%r", folder, " ".join(str(error).split()))


@contextmanager
def _alone(root: Path) -> Iterator[bool]:
    """Whether no other process is at it; a lock ends with its process."""
    with (root / LOCK).open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except BlockingIOError:
            alone = False
        yield alone


def _believed_s(root: Path) -> float:
    """Wall time, but at most a day after the newest file was written: a clock that jumps ahead must not remove the history."""
    written_s = [_written_s(path) for path in root.glob("*/*/*.parquet")]
    return min(time.time(), max(written_s, default=0.0) + DAY_S)


def _written_s(path: Path) -> float:
    with suppress(FileNotFoundError):  # another process has merged it
        return path.stat().st_mtime
    return 0.0


def expire(folder: Path, retention_days: float, now_ns: int, now_s: float) -> int:
    """Removes files whose rows are older than the retention and that were written before it, too; how many.

    now_ns: event time, now_s: wall time.
    """
    removed = 0
    for path in folder.glob("*.parquet"):
        run = Run.of(path)
        written_before = now_s - path.stat().st_mtime > retention_days * DAY_S  # recordings of long ago have a time of their own
        if run is not None and written_before and now_ns - run.last_ns > retention_days * DAY_S * 1e9:
            path.unlink()
            removed += 1
    for path in folder.glob(f"*{PARTIAL}"):
        with suppress(FileNotFoundError):  # it has just got its name
            if time.time() - path.stat().st_mtime > SETTLED_S:
                path.unlink()
    return removed


def merge_small(root: Path, folder: Path) -> int:
    """Merges runs of small files of one layout and producer; how many files went into others.

    The merged file is there before the small ones go: a crash in between leaves rows twice, which readers see once.
    A damaged file stays what it is, and where it is.
    """
    gone = 0
    for found in _mergeable(folder):
        layout = read_layout(root, read_head(found[0]).layout)
        frames = {path: frame for path in found if (frame := _read(path, layout)) is not None}
        if len(frames) < 2:
            continue
        paths = list(frames)
        heads = [read_head(path) for path in paths]
        whole = in_order(concatenate(list(frames.values())))
        runs = [run for path in paths if (run := Run.of(path)) is not None]
        span = Run(
            int(whole.time_ns[0]),
            int(whole.time_ns[-1]),
            runs[0].origin,
            min(run.first_offset for run in runs),
            max(run.last_offset for run in runs),
        )
        written_s = max(path.stat().st_mtime for path in paths)
        target = folder / span.name
        write_table(to_table(whole, max(head.reach for head in heads)), target)
        os.utime(target, (written_s, written_s))
        for path in paths:
            if path != target:
                path.unlink()
                gone += 1
    return gone


def _mergeable(folder: Path) -> Iterator[Sequence[Path]]:
    """Neighbouring small files that belong together, MERGED_FROM or more, the newest ones left alone: they may still be few."""
    small = [path for path in sorted(folder.glob("*.parquet")) if Run.of(path) is not None and path.stat().st_size < MERGED_BYTES // 2]
    if len(small) < MERGED_FROM:
        return
    known = {path: _head(path) for path in small}
    for _, paths in groupby((path for path in small if known[path] is not None), key=lambda path: _kind(path, known[path])):
        group: list[Path] = []
        size = memory = 0
        for path in paths:
            head = known[path]
            assert head is not None
            if size + path.stat().st_size > MERGED_BYTES or memory + head.bytes > MERGED_VALUE_BYTES:
                if len(group) >= 2:
                    yield group
                group, size, memory = [], 0, 0
            group.append(path)
            size += path.stat().st_size
            memory += head.bytes
        if len(group) >= MERGED_FROM:
            yield group


def _read(path: Path, layout: Layout) -> Frame | None:
    try:
        return read_frame(path, layout)
    except HistoryError as error:
        log.warning("history skipped reason=%r", str(error))
        return None


def _head(path: Path) -> Head | None:
    try:
        return read_head(path)
    except HistoryError as error:
        log.warning("history skipped reason=%r", str(error))
        return None


def _kind(path: Path, head: Head | None) -> tuple[str, str]:
    run = Run.of(path)
    assert run is not None
    assert head is not None
    return head.layout, run.origin
