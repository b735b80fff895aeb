"""What the history needs now and then: small files are merged, old ones removed, and what a crash left behind goes."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from collectors.frame import concatenate
from daemon.history.files import PARTIAL, Head, HistoryError, Run, read_frame, read_head, read_layout, to_table, write_table
from daemon.history.reader import in_order

log = logging.getLogger(__name__)

MERGED_FROM = 16
"""So many small files of a stream in a row are merged to one."""
MERGED_BYTES = 32_000_000
"""Bytes on disk beyond which a file is not small any more."""
SETTLED_S = 3600.0
"""Partial files that are older than this are nobody's any more."""
DAY_S = 86_400.0


def tidy(root: Path, retention_days: float, now_ns: int) -> None:
    """Merges, and removes what is older than the retention; a folder that cannot be tidied is named in the log."""
    for folder in sorted(root.glob("*/*/")):
        try:
            expire(folder, retention_days, now_ns)
            merge_small(root, folder)
        except (HistoryError, OSError) as error:
            log.warning("history not tidied folder=%s reason=%r", folder, " ".join(str(error).split()))


def expire(folder: Path, retention_days: float, now_ns: int) -> int:
    """Removes files whose rows are older than the retention and that were written before it, too; how many."""
    removed = 0
    for path in folder.glob("*.parquet"):
        run = Run.of(path)
        written_before = time.time() - path.stat().st_mtime > retention_days * DAY_S  # recordings of long ago have a time of their own
        if run is not None and written_before and now_ns - run.last_ns > retention_days * DAY_S * 1e9:
            path.unlink()
            removed += 1
    for path in folder.glob(f"*{PARTIAL}"):
        if time.time() - path.stat().st_mtime > SETTLED_S:
            path.unlink()
    return removed


def merge_small(root: Path, folder: Path) -> int:
    """Merges runs of small files of one layout and producer; how many files went into others.

    The merged file is there before the small ones go: a crash in between leaves rows twice, which readers see once.
    """
    gone = 0
    for paths in _mergeable(folder):
        heads = [read_head(path) for path in paths]
        layout = read_layout(root, heads[0].layout)
        whole = in_order(concatenate([read_frame(path, layout) for path in paths]))
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
        size = 0
        for path in paths:
            if size + path.stat().st_size > MERGED_BYTES:
                if len(group) >= 2:
                    yield group
                group, size = [], 0
            group.append(path)
            size += path.stat().st_size
        if len(group) >= MERGED_FROM:
            yield group


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
