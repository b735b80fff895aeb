"""Episodes that become far worse than they were: a new episode then begins, because a person would want to hear of it.

An incident that begins while an older and weaker episode lasts would otherwise never be told. On normal data this costs little:
what is ESCALATED times rarer than rows that were bad already comes that much more seldom than the promise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import compiled
from detectors.episodes import Episode, Episodes
from detectors.finding import Unit

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

ESCALATED = 5.0
"""A score is far worse than others where it is so many times rarer on normal data."""
RAREST = 1e-300
"""Chances that are rarer are taken for as rare as this."""


@dataclass(slots=True)
class _Raised:
    """A unit that is raised. since_ns, raised_ns, last_ns: as in `Episode`, of the last bad row so far.

    number: so many quiet times after it was raised its last bad row came; now, before: the highest surprise of the bad rows of
    that quiet time and of the one before.
    """

    since_ns: int
    raised_ns: int
    last_ns: int
    number: int = 0
    now: float = -np.inf
    before: float = -np.inf


class Escalations:
    """Raises units anew. Belongs to unit keys; blocks of any size say the same.

    That is so where an episode has lasted for a quiet time, and a bad row is ESCALATED times rarer than all bad ones of this
    and the last quiet time, counted from when it was raised.
    """

    def __init__(self, quiet_ns: int) -> None:
        """quiet_ns: the time without bad rows after which episodes end, unless many are promised."""
        self._quiet_ns = max(1, quiet_ns)
        self._raised: dict[str, _Raised] = {}

    @property
    def lasting(self) -> int:
        """Units that are raised."""
        return len(self._raised)

    def renew(
        self, episodes: Episodes, found: Sequence[Episode], units: Sequence[Unit], bad: NDArray[np.bool_], tail: Array, time_ns: Rows
    ) -> list[Episode]:
        """What began or ended in a block of rows, in order of time, with the units that were raised anew among it.

        episodes: that took in the block, and said `found`; bad: shape (n, units); tail: chance of a score as high on normal data,
        same shape; time_ns: shape (n,).
        """
        if not found and not self._raised:
            return []
        of_units: dict[str, list[Episode]] = {key: [] for key in self._raised}
        for episode in found:
            of_units.setdefault(episode.unit.key, []).append(episode)
        said: list[Episode] = []
        for index, unit in enumerate(units):
            if unit.key in of_units:
                rows = np.flatnonzero(bad[:, index])
                surprise = -np.log(np.maximum(tail[rows, index], RAREST))
                said += self._of_unit(unit, index, of_units.pop(unit.key), rows, surprise, time_ns)
                if unit.key in self._raised:
                    episodes.renew(unit.key, self._raised[unit.key].raised_ns)
        for key, events in of_units.items():  # units that are no longer there can only end
            said += events
            if events:
                self._raised.pop(key, None)
        return sorted(said, key=lambda e: (e.row, e.unit.key, e.cleared_ns is None))

    def _of_unit(self, unit: Unit, index: int, events: Sequence[Episode], rows: Rows, surprise: Array, time_ns: Rows) -> list[Episode]:
        """rows, surprise: of its bad rows in the block, shape (k,)."""
        said: list[Episode] = []
        first = 0
        for event in events:
            end = int(np.searchsorted(rows, event.row))
            if event.cleared_ns is None:
                self._raised[unit.key] = _Raised(event.since_ns, event.raised_ns, event.raised_ns)
                said.append(event)
            else:
                said += self._anew(unit, index, rows[first:end], surprise[first:end], time_ns)
                ended = self._raised.pop(unit.key)
                said.append(Episode(unit, index, event.row, ended.since_ns, ended.raised_ns, event.last_ns, event.cleared_ns))
            first = end
        if unit.key in self._raised:
            said += self._anew(unit, index, rows[first:], surprise[first:], time_ns)
        return said

    def _anew(self, unit: Unit, index: int, rows: Rows, surprise: Array, time_ns: Rows) -> list[Episode]:
        """A raised unit with its bad rows."""
        raised = self._raised[unit.key]
        least = float(np.log(ESCALATED))
        at, raised.number, raised.now, raised.before = _renewals(
            time_ns[rows], surprise, least, raised.raised_ns, self._quiet_ns, raised.number, raised.now, raised.before
        )
        said: list[Episode] = []
        for position in at:
            row = int(rows[position])
            at_ns = int(time_ns[row])
            last_ns = int(time_ns[rows[position - 1]]) if position else raised.last_ns
            said.append(Episode(unit, index, row, raised.since_ns, raised.raised_ns, last_ns, at_ns))
            said.append(Episode(unit, index, row, at_ns, at_ns, at_ns, None))
            raised.since_ns = raised.raised_ns = at_ns
        raised.last_ns = int(time_ns[rows[-1]]) if len(rows) else raised.last_ns
        return said

    def forget(self, keys: Collection[str] | None = None) -> None:
        """The episodes of these units, or of all, have ended in another way."""
        self._raised = {key: raised for key, raised in self._raised.items() if keys is not None and key not in keys}

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {key: [r.since_ns, r.raised_ns, r.last_ns, int(r.number), float(r.now), float(r.before)] for key, r in self._raised.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`."""
        self._raised = {key: _Raised(*map(int, kept[:4]), *map(float, kept[4:])) for key, kept in state.items()}


@compiled
def _renewals(
    time_ns: Rows, surprise: Array, least: float, raised_ns: int, quiet_ns: int, number: int, now: float, before: float
) -> tuple[Rows, int, float, float]:
    """Which of the bad rows of a raised unit raise it anew (positions), and what to go on with."""
    found = np.empty(len(time_ns), dtype=np.int64)
    count = 0
    for row in range(len(time_ns)):
        quiet = (time_ns[row] - raised_ns) // quiet_ns
        if quiet > number:
            before = now if quiet == number + 1 else max(now, before)
            now = -np.inf
            number = quiet
        if number >= 1 and surprise[row] > max(now, before) + least:
            found[count] = row
            count += 1
            raised_ns = time_ns[row]
            number, now, before = 0, -np.inf, -np.inf
        now = max(now, surprise[row])
    return found[:count], number, now, before
