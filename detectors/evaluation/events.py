"""How alarms meet events: which are found, after how long, and how many alarms are false."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.episodes import Episode
from detectors.evaluation.vus import runs

EARLY_ROWS: Final = 10
"""An alarm that begins up to so many rows before an event belongs to it."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An episode of an alarm as rows, both included."""

    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Met:
    """What alarms say of the events of one item.

    found: shape (events,); delay_rows: from the beginning of an event to the alarm, shape (events,), 0 for one that came
    before, NaN where it was not found; false_alarms: those that belong to no event; false_rows: their first rows.
    """

    found: NDArray[np.bool_]
    delay_rows: NDArray[np.float64]
    false_rows: NDArray[np.int64]

    @property
    def false_alarms(self) -> int:
        """How many alarms belong to no event."""
        return len(self.false_rows)


def meet(alarms: Sequence[Alarm], labels: NDArray[np.bool_], early_rows: int = EARLY_ROWS) -> Met:
    """Which events (runs of true labels, shape (n,)) the alarms find.

    An alarm belongs to the events in which, or up to `early_rows` before which, it begins; one that has been on for longer
    finds nothing, or a detector that never falls silent would find everything.
    """
    first, last = runs(labels)
    found, delay = np.zeros(len(first), dtype=np.bool_), np.full(len(first), np.nan)
    false = []
    for alarm in sorted(alarms, key=lambda a: a.first):
        own = (alarm.first >= first - early_rows) & (alarm.first <= last) & (alarm.last >= first)
        if not own.any():
            false.append(alarm.first)
        new = own & ~found
        delay[new] = np.maximum(alarm.first - first[new], 0)
        found |= own
    return Met(found, delay, np.array(false, dtype=np.int64))


def alarms_of(episodes: Sequence[Episode], time_ns: NDArray[np.int64]) -> list[Alarm]:
    """Episodes as they were reported, raised and cleared, in any order, as alarms; times of rows: shape (n,), rising.

    An alarm begins with the row in which it was raised: before, nobody knew. One that was not cleared lasts to the end.
    """
    ends: dict[tuple[str, int], int] = {}
    for episode in episodes:
        end_ns = int(time_ns[-1]) if episode.cleared_ns is None else episode.last_ns
        key = (episode.unit.key, episode.raised_ns)
        ends[key] = end_ns if key not in ends or episode.cleared_ns is not None else ends[key]
    rows = [(int(np.searchsorted(time_ns, raised)), int(np.searchsorted(time_ns, end))) for (_, raised), end in ends.items()]
    return [Alarm(first, max(first, min(last, len(time_ns) - 1))) for first, last in sorted(rows)]
