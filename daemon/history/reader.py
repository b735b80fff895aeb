"""Reading the history: the rows of a stream between two times, in order and each once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from collectors.frame import Frame, Layout, concatenate
from daemon.history.files import HistoryError, Run, read_frame, read_head, read_layout
from detectors.path_names import path_name

log = logging.getLogger(__name__)

EVER_NS = (-(2**62), 2**62)
MAX_READ_BYTES = 1_000_000_000
"""Values that are read at once."""
ATTEMPTS = 5
"""How often files are listed again where some were merged or removed while they were read; it happens once an hour at most."""


class _Gone(Exception):  # noqa: N818 - what happened
    """A file is not there any more: it was merged with others or has expired since it was listed."""


class History:
    """The files below a folder. Safe to use while a daemon writes them: what is being written is not seen."""

    def __init__(self, root: Path, topic: str = "frames") -> None:
        """`topic`: "frames", or "conditions" for the sources of that role."""
        self._root = root
        self._topic = topic
        self._layouts: dict[str, Layout] = {}

    def streams(self) -> list[str]:
        """Those that anything is there of, in order of their names."""
        found = set()
        for folder in sorted((self._root / self._topic).glob("*/")):
            for path in sorted(folder.glob("*.parquet")):
                try:
                    found.add(read_head(path).stream)
                    break
                except HistoryError as error:
                    log.warning("history skipped reason=%r", str(error))
        return sorted(found)

    def files(self, stream: str, from_ns: int | None = None, to_ns: int | None = None) -> list[Path]:
        """Files that may have rows from a time to before another, in order of their first row."""
        first_ns, end_ns = _interval(from_ns, to_ns)
        folder = self._root / self._topic / path_name(stream)
        runs = [(run, path) for path in folder.glob("*.parquet") if (run := Run.of(path)) is not None]
        kept = [(run, path) for run, path in runs if run.last_ns >= first_ns and run.first_ns < end_ns]
        return [path for _, path in sorted(kept, key=lambda entry: (entry[0].first_ns, entry[0].last_ns, entry[1].name))]

    def frames(self, stream: str, from_ns: int | None = None, to_ns: int | None = None) -> Iterator[Frame]:
        """The rows file by file, as they were written: one file in memory at a time. A damaged file is left out and named in the log."""
        return self._read_files(self.files(stream, from_ns, to_ns), _interval(from_ns, to_ns))

    def _read_files(self, paths: Iterable[Path], between_ns: tuple[int, int], *, whole: bool = False) -> Iterator[Frame]:
        """Raises _Gone where all are wanted as a `whole` and one has gone."""
        for path in paths:
            try:
                frame = read_frame(path, self._layout(read_head(path).layout), between_ns)
            except HistoryError as error:
                if path.exists():
                    log.warning("history skipped reason=%r", str(error))
                elif whole:
                    raise _Gone from None
                continue
            if len(frame):
                yield frame

    def read(self, stream: str, from_ns: int | None = None, to_ns: int | None = None, max_bytes: int = MAX_READ_BYTES) -> tuple[Frame, ...]:
        """One frame for each layout that the stream had, in the order in which they came; rows rise in time, each is there once.

        Where all would be more than `max_bytes`, the newest rows that fit, by whole files.
        """
        for _ in range(ATTEMPTS):
            with suppress(_Gone):
                return self._read(stream, (from_ns, to_ns), max_bytes, whole=True)
        return self._read(stream, (from_ns, to_ns), max_bytes, whole=False)

    def _read(self, stream: str, between: tuple[int | None, int | None], max_bytes: int, *, whole: bool) -> tuple[Frame, ...]:
        of_layout: dict[str, list[Frame]] = {}
        size = 0
        for frame in self._read_files(reversed(self.files(stream, *between)), _interval(*between), whole=whole):
            size += frame.values.nbytes
            if size > max_bytes and of_layout:
                log.warning(
                    "history read in part stream=%s from_ns=%d reason=%r", stream, int(frame.time_ns[-1]), f"more than {max_bytes} bytes"
                )
                break
            of_layout.setdefault(frame.layout.digest, []).insert(0, frame)
        found = [in_order(concatenate(frames)) for frames in of_layout.values()]
        return tuple(sorted(found, key=lambda frame: int(frame.time_ns[-1])))

    def _layout(self, digest: str) -> Layout:
        if digest not in self._layouts:
            self._layouts[digest] = read_layout(self._root, digest)
        return self._layouts[digest]


def in_order(frame: Frame) -> Frame:
    """The rows in order of their time; of several of one time the one that came first."""
    if len(frame) < 2 or (np.diff(frame.time_ns) > 0).all():
        return frame
    _, first = np.unique(frame.time_ns, return_index=True)
    return frame.rows(first)


def _interval(from_ns: int | None, to_ns: int | None) -> tuple[int, int]:
    return EVER_NS[0] if from_ns is None else from_ns, EVER_NS[1] if to_ns is None else to_ns
