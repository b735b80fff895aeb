"""Persistence and hysteresis: from bad rows to episodes that begin and end.

A unit is raised after `raise_rows` bad rows in a row and cleared after `clear_rows` good ones. Rows that could not be
judged count as neither. Only units that are bad or active are looked at one by one; all others cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.finding import Severity, Unit


@dataclass(frozen=True, slots=True)
class Episode:
    """A unit was raised (cleared_ns None) or cleared in a row of the block. Times of rows, ns since 1970.

    index: into the units of the call; row: of the block, at which it was raised or cleared; since_ns: first bad row;
    last_ns: last bad row so far.
    """

    unit: Unit
    index: int
    row: int
    since_ns: int
    raised_ns: int
    last_ns: int
    cleared_ns: int | None


@dataclass(slots=True)
class _Run:
    """Where a unit stands: bad or good rows in a row, and the episode it is in."""

    unit: Unit
    since_ns: int = 0
    raised_ns: int = 0
    last_ns: int = 0
    bad_rows: int = 0
    good_rows: int = 0


class Episodes:
    """The episodes of all units of one rule or detector; state belongs to unit keys and survives changes of the units."""

    def __init__(self, raise_rows: int, clear_rows: int, critical_raise_rows: int | None = None) -> None:
        """`critical_raise_rows` is for units of critical severity; the same as `raise_rows` by default."""
        critical_raise_rows = critical_raise_rows or raise_rows
        if min(raise_rows, critical_raise_rows, clear_rows) < 1:
            raise ValueError(f"raise_rows {raise_rows}, {critical_raise_rows} and clear_rows {clear_rows} must be at least 1")
        self._raise_rows = raise_rows
        self._critical_raise_rows = critical_raise_rows
        self._clear_rows = clear_rows
        self._runs: dict[str, _Run] = {}

    @property
    def active(self) -> int:
        """Units that are raised."""
        return sum(run.raised_ns > 0 for run in self._runs.values())

    def advance(
        self, units: Sequence[Unit], bad: NDArray[np.bool_], judged: NDArray[np.bool_], time_ns: NDArray[np.int64]
    ) -> list[Episode]:
        """Takes in a block of rows in order; what began or ended in it, in order of time. bad, judged: shape (n, units).

        A unit that is no longer among `units` counts as good in every row: what a rule does not name does not break it.
        """
        bad = bad & judged
        at = {unit.key: index for index, unit in enumerate(units)}
        concerned = {units[int(i)].key for i in np.flatnonzero(bad.any(axis=0))} | self._runs.keys()
        found: list[Episode] = []
        for key in sorted(concerned):
            index = at.get(key, -1)
            if index < 0:
                rows = np.zeros(len(time_ns), dtype=bool), np.ones(len(time_ns), dtype=bool)
                unit = self._runs[key].unit
            else:
                rows = bad[:, index], judged[:, index]
                unit = units[index]
            found += self._advance_unit(unit, index, *rows, time_ns)
        return sorted(found, key=lambda e: (e.row, e.unit.key))

    def _advance_unit(
        self, unit: Unit, index: int, bad: NDArray[np.bool_], judged: NDArray[np.bool_], time_ns: NDArray[np.int64]
    ) -> list[Episode]:
        run = self._runs.setdefault(unit.key, _Run(unit))
        needed = self._critical_raise_rows if unit.severity is Severity.CRITICAL else self._raise_rows
        found: list[Episode] = []
        for row in np.flatnonzero(judged):
            at_ns = int(time_ns[row])
            if bad[row]:
                run.since_ns = run.since_ns or at_ns
                run.last_ns, run.good_rows = at_ns, 0
                run.bad_rows += 1
                if not run.raised_ns and run.bad_rows >= needed:
                    run.raised_ns = at_ns
                    found.append(Episode(unit, index, int(row), run.since_ns, at_ns, at_ns, None))
                continue
            run.good_rows += 1
            if not run.raised_ns:
                run = self._runs[unit.key] = _Run(unit)
            elif run.good_rows >= self._clear_rows:
                found.append(Episode(unit, index, int(row), run.since_ns, run.raised_ns, run.last_ns, at_ns))
                run = self._runs[unit.key] = _Run(unit)
        if not run.since_ns:
            del self._runs[unit.key]
        return found

    def state(self) -> dict[str, Any]:
        """As plain values."""
        return {
            key: [
                [u.key, u.name, u.place, u.condition, str(u.severity)],
                run.since_ns,
                run.raised_ns,
                run.last_ns,
                run.bad_rows,
                run.good_rows,
            ]
            for key, run in self._runs.items()
            for u in (run.unit,)
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        self._runs = {}
        for key, (unit, *counts) in state.items():
            self._runs[key] = _Run(Unit(*unit[:4], Severity(unit[4])), *(int(count) for count in counts))
