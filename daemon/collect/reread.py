"""Recorded data in a live daemon: a file that others add to is read from its beginning in every turn, and only what is new counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from collectors.collector import Collected, Rejected
from collectors.frame import Frame, Updates


class Reread:
    """Passes over what earlier turns have yielded: rows up to the newest time of each part, and what was rejected before."""

    def __init__(self) -> None:
        self._until_ns: dict[str, int] = {}
        self._rejected: set[tuple[str, str]] = set()

    def unread(self, items: Iterable[Collected]) -> Iterator[Collected]:
        """What is new among all that a turn yields. A turn that breaks off is taken again from where it broke off."""
        until_ns, rejected = dict(self._until_ns), set[tuple[str, str]]()
        try:
            for item in items:
                if isinstance(item, Rejected):
                    rejected.add((item.subject, item.reason))
                    if (item.subject, item.reason) not in self._rejected:
                        yield item
                    continue
                part = item.layout.part
                is_new = item.time_ns > self._until_ns.get(part, 0)
                if len(item):
                    until_ns[part] = max(until_ns.get(part, 0), int(item.time_ns.max()))
                if is_new.all():
                    yield item
                elif is_new.any():
                    yield _some(item, is_new)
        finally:
            self._until_ns, self._rejected = until_ns, rejected


def _some(item: Frame | Updates, rows: NDArray[np.bool_]) -> Frame | Updates:
    if isinstance(item, Frame):
        return item.rows(rows)
    return Updates(item.layout, item.time_ns[rows], item.column[rows], item.value[rows], item.quality[rows])
