"""Persistence and hysteresis: from bad rows to episodes that begin and end.

A unit is raised after `raise_rows` bad rows in a row, or within `window_rows`, and cleared after `clear_rows` good ones in a
row. Rows that could not be judged count as neither, as if they were not there. Only units that are bad or active are looked at
one by one, and in them only where they change; all others cost nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
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
    """Where a unit stands between blocks.

    raised_ns: 0 where it is not raised; recent: bad rows that still count, as (judged rows ago, time); of a raised unit only
    the last one.
    """

    unit: Unit
    recent: list[tuple[int, int]] = field(default_factory=list)
    since_ns: int = 0
    raised_ns: int = 0


class Episodes:
    """The episodes of all units of one rule or detector; state belongs to unit keys and survives changes of the units."""

    def __init__(self, raise_rows: int, clear_rows: int, critical_raise_rows: int | None = None, window_rows: int | None = None) -> None:
        """`critical_raise_rows` is for units of critical severity; the same as `raise_rows` by default.

        Without `window_rows` the bad rows must follow each other.
        """
        critical_raise_rows = critical_raise_rows or raise_rows
        if min(raise_rows, critical_raise_rows, clear_rows) < 1:
            raise ValueError(f"raise_rows {raise_rows}, {critical_raise_rows} and clear_rows {clear_rows} must be at least 1")
        if window_rows is not None and window_rows < max(raise_rows, critical_raise_rows):
            raise ValueError(f"window_rows {window_rows} must be at least raise_rows {max(raise_rows, critical_raise_rows)}")
        self._raise_rows = raise_rows
        self._critical_raise_rows = critical_raise_rows
        self._clear_rows = clear_rows
        self._window_rows = window_rows
        self._runs: dict[str, _Run] = {}

    @property
    def active(self) -> int:
        """Units that are raised."""
        return sum(run.raised_ns > 0 for run in self._runs.values())

    def advance(
        self,
        units: Sequence[Unit],
        bad: NDArray[np.bool_],
        judged: NDArray[np.bool_],
        time_ns: NDArray[np.int64],
        awake: NDArray[np.bool_] | None = None,
    ) -> list[Episode]:
        """Takes in a block of rows in order; what began or ended in it, in order of time. bad, judged: shape (n, units).

        A unit that is no longer among `units` counts as good in every row that is `awake`, shape (n,), all by default: what a
        rule does not name does not break it, unless it could not say anything at all.
        """
        bad = bad & judged
        said = np.arange(len(time_ns)) if awake is None else np.flatnonzero(awake)
        concerned = {units[int(i)].key for i in np.flatnonzero(bad.any(axis=0))} | self._runs.keys()
        at = {unit.key: index for index, unit in enumerate(units)} if concerned else {}
        found: list[Episode] = []
        for key in concerned:
            index = at.get(key, -1)
            if index < 0:
                found += self._advance_unit(self._runs[key].unit, index, said, np.empty(0, np.int64), time_ns)
                continue
            rows = np.flatnonzero(judged[:, index])
            found += self._advance_unit(units[index], index, rows, np.flatnonzero(bad[rows, index]), time_ns)
        return sorted(found, key=lambda e: (e.row, e.unit.key, e.cleared_ns is None))

    def _advance_unit(
        self, unit: Unit, index: int, rows: NDArray[np.int64], bad: NDArray[np.int64], time_ns: NDArray[np.int64]
    ) -> list[Episode]:
        """rows: those that are judged; bad: positions among them that are bad. Earlier bad rows have negative positions."""
        run = self._runs.setdefault(unit.key, _Run(unit))
        needed = self._critical_raise_rows if unit.severity is Severity.CRITICAL else self._raise_rows
        window = self._window_rows or needed
        position = np.concatenate([np.array([-ago for ago, _ in run.recent], dtype=np.int64), bad])
        bad_ns = np.concatenate([np.array([at_ns for _, at_ns in run.recent], dtype=np.int64), time_ns[rows[bad]]])
        found: list[Episode] = []
        first = 0  # bad rows before this one do not count any more; of a raised unit it is the last bad row so far
        while True:
            if run.raised_ns:
                last = first + _first_true(np.diff(position[first:], append=len(rows)) > self._clear_rows)
                if last < first:
                    first = len(position) - 1
                    break
                row = int(rows[position[last] + self._clear_rows])
                found.append(Episode(unit, index, row, run.since_ns, run.raised_ns, int(bad_ns[last]), int(time_ns[row])))
                run.since_ns = run.raised_ns = 0
                first = last + 1
            else:
                spans = position[first + needed - 1 :] - position[first : max(first, len(position) - needed + 1)]
                begun = first + _first_true(spans < window)
                if begun < first:
                    break
                first = begun + needed - 1
                run.since_ns, run.raised_ns = int(bad_ns[begun]), int(bad_ns[first])
                found.append(Episode(unit, index, int(rows[position[first]]), run.since_ns, run.raised_ns, run.raised_ns, None))
        ago = len(rows) - position[first:]
        counts = ago < window if not run.raised_ns else np.ones(len(ago), dtype=np.bool_)
        run.recent = [(int(a), int(t)) for a, t in zip(ago[counts], bad_ns[first:][counts], strict=True)]
        if not run.recent:
            del self._runs[unit.key]
        return found

    def renew(self, key: str, raised_ns: int) -> None:
        """The episode of a raised unit counts as begun and raised at a later time: what was before was another one."""
        run = self._runs[key]
        if run.raised_ns != raised_ns:
            run.since_ns = run.raised_ns = raised_ns

    def interrupt(self, at_ns: int, keys: Collection[str] | None = None) -> list[Episode]:
        """Ends all episodes, or those of some units, at a time: the rows before it say nothing about those after.

        Their row and index are -1.
        """
        concerned = sorted(self._runs if keys is None else self._runs.keys() & set(keys))
        runs = [self._runs.pop(key) for key in concerned]
        return [Episode(run.unit, -1, -1, run.since_ns, run.raised_ns, run.recent[-1][1], at_ns) for run in runs if run.raised_ns]

    def state(self) -> dict[str, Any]:
        """As plain values."""
        return {
            key: {
                "unit": [run.unit.key, run.unit.name, run.unit.place, run.unit.condition, str(run.unit.severity)],
                "recent": [list(pair) for pair in run.recent],
                "since_ns": run.since_ns,
                "raised_ns": run.raised_ns,
            }
            for key, run in self._runs.items()
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        self._runs = {}
        for key, kept in state.items():
            unit_key, name, place, condition, severity = kept["unit"]
            unit = Unit(unit_key, name, place, condition, Severity(severity))
            recent = [(int(ago), int(at_ns)) for ago, at_ns in kept["recent"]]
            self._runs[key] = _Run(unit, recent, int(kept["since_ns"]), int(kept["raised_ns"]))


def _first_true(values: NDArray[np.bool_]) -> int:
    """Position of the first one that is true, -1 where none is."""
    first = int(np.argmax(values)) if len(values) else 0
    return first if len(values) and values[first] else -1
