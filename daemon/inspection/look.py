"""Asks a collector, as the framework would, and keeps what it says; nothing is published."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from collectors.collector import CollectError, Collector, Rejected
from collectors.frame import Frame, Updates
from collectors.ramping import Ramping
from daemon.inspection.reading import Reading, Standing

AGAIN_S = 0.25
"""Pause before a source that has said nothing yet is asked again."""
MOST_REJECTED = 1000
"""Rejections that are kept; the rest is counted."""
FIRST_ROWS = 3


@dataclass(slots=True)
class Refused:
    """Input that could not be used: the first ones, and how many in all."""

    kept: list[Rejected] = field(default_factory=list)
    total: int = 0

    def add(self, item: Rejected) -> None:
        """Takes one more in."""
        self.total += 1
        if len(self.kept) < MOST_REJECTED:
            self.kept.append(item)


class LiveLook:
    """A source that is asked again and again; what it does not repeat still stands."""

    def __init__(self, collector: Collector, ramping: Ramping) -> None:
        self._collector = collector
        self._ramping = ramping
        self.standing = Standing()
        self.refused = Refused()

    def first(self, wait_s: float) -> None:
        """Asks until every channel has a value, at most for `wait_s`. Raises CollectError."""
        deadline_s = time.monotonic() + wait_s
        self.again()
        while (self.standing.is_empty or self.standing.awaited) and time.monotonic() < deadline_s:
            time.sleep(AGAIN_S)
            self._ask()

    def again(self) -> None:
        """Asks once; `refused` is what this turn could not use. Raises CollectError."""
        self.refused = Refused()
        self._ask()

    def _ask(self) -> None:
        for item in self._collector.collect():
            if isinstance(item, Rejected):
                self.refused.add(item)
            else:
                self.standing.take(self._ramping.mark(item))


@dataclass(slots=True)
class Recording:
    """The beginning of recorded data, and how much there is of it.

    `columns`: for each column its first readings, at most FIRST_ROWS, one a row. `rows` (or single readings, where `is_sparse`)
    were counted; there are more where `is_whole` is not set. `later_columns` appear only in later blocks.
    """

    columns: list[tuple[Reading, ...]] = field(default_factory=list)
    rows: int = 0
    first_ns: int = 0
    last_ns: int = 0
    is_sparse: bool = False
    is_whole: bool = True
    later_columns: int = 0
    refused: Refused = field(default_factory=Refused)


def read_recording(collector: Collector, ramping: Ramping, wait_s: float) -> Recording:
    """Reads a finite source from its beginning, and counts on for at most `wait_s`. Raises CollectError."""
    found = Recording()
    names: set[str] = set()
    later: set[str] = set()
    deadline_s = time.monotonic() + wait_s
    items = iter(collector.collect())
    for item in items:
        if isinstance(item, Rejected):
            found.refused.add(item)
        elif len(item):
            if not found.columns:
                found.is_sparse = isinstance(item, Updates)
                found.columns = list(_beginning(ramping.mark(item)))
                names = {column.name for column in item.layout.columns}
            later |= {column.name for column in item.layout.columns if column.name not in names}
            _count(found, item)
        if time.monotonic() > deadline_s and found.columns:
            found.is_whole = False
            break
    if isinstance(items, Iterator) and hasattr(items, "close"):
        items.close()  # files that are still open
    found.later_columns = len(later)
    return found


def failure_words(error: Exception) -> str:
    """What went wrong, on one line, as the framework says it of a source."""
    said = str(error) if isinstance(error, CollectError) else f"{type(error).__name__}: {error}"
    return " ".join(said.split())


def _count(found: Recording, item: Frame | Updates) -> None:
    first_ns, last_ns = int(item.time_ns.min()), int(item.time_ns.max())
    found.first_ns = min(found.first_ns, first_ns) if found.rows else first_ns
    found.last_ns = max(found.last_ns, last_ns)
    found.rows += len(item)


def _beginning(item: Frame | Updates) -> Iterator[tuple[Reading, ...]]:
    """The first rows of a frame; of updates the first one of each column."""
    standings = []
    if isinstance(item, Frame):
        for row in range(min(FIRST_ROWS, len(item))):
            standings.append(Standing())
            standings[-1].take(item.rows(slice(row, row + 1)))
    else:
        _, first = np.unique(item.column, return_index=True)
        standings.append(Standing())
        standings[0].take(Updates(item.layout, item.time_ns[first], item.column[first], item.value[first], item.quality[first]))
    return zip(*(standing.readings() for standing in standings), strict=True)
