"""What false-discovery control in two levels adds to the thresholds that the judge has, at the same rate of false alarms.

Scores of many units in groups (channels of crates), a row a minute: noise that is independent, that the units of a group and of
all groups have in common in part, that has heavy tails, or both. Faults are on one unit strongly, on half of a group, or on a
whole group mildly or (loud) strongly. The ways to spend one promise of false alarms a day:

- `units`: a threshold for each unit, which shares the promise evenly (`detectors.rolling_calibration`, as the judge does);
- `two levels`: in each row, the units that are discovered among all (`detectors.discovery`), at the level that brings the promise
  if all is normal: groups by Simes' test, then units in the groups that are found;
- `units+simes`: units with half of the promise, and each group as one more unit with the other half; its score is Simes' test, its
  threshold is calibrated as those of units are, so that it keeps the promise whatever the units have in common;
- `units+group`: the same, where the score of the group is that of detectors with the condition group_outlier: a moving mean of
  the mean of the highest five scores.

`episodes`, `incidents`: false ones a day in parts of the promise; an incident is the episodes of one group that begin within two
minutes of each other, taken as one. All else is compared where each way is given that budget with which it has as many false
incidents a day as were promised: `one`, `half`, `whole`, `loud` are the parts of these faults that are found within their half hour,
`_delay` the median minutes until then, `_named` the part of the affected units that are bad by then. Spreads are standard
deviations over seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has none

from detectors.discovery import discoveries, simes
from detectors.finding import Unit
from detectors.rolling_calibration import RollingCalibration

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

STEP_NS, ROWS_A_DAY = 60_000_000_000, 1440
DAY_NS = STEP_NS * ROWS_A_DAY
SIZES = ((50, 10), (400, 20), (2000, 50))
"""Units and groups."""
NOISES = ("independent", "common", "heavy", "heavy common")
LEARNED_DAYS, WINDOW_DAYS = 10, 7
CLEAR_ROWS, FOLD_ROWS = 20, 2
FAULT_ROWS, BEFORE_ROWS, FAULTS = 30, 30, 30
SIZE_OF = {"one": 0.9, "half": 0.5, "whole": 0.35, "loud": 0.7}
"""Shift of a fault, in parts of the reading that one of a unit's rows in 10,000 exceeds."""
PART_OF = {"one": 0.0, "half": 0.5, "whole": 1.0, "loud": 1.0}
"""Part of the units of a group that it shifts, at least one."""
MEMORY, COMMON_MEMORY, COMMON_SHARE, FREEDOM = 0.5, 0.9, 0.4, 4.0
TOP, EMA = 5, 0.3
PROMISES = (1.0, 10.0)
BUDGETS = np.geomspace(0.1, 100.0, 10)
"""Alarms a day that thresholds are set for, from which those are chosen that bring as many incidents as promised."""
LIKELY = 0.1
"""Rows above which not even the units on which a discovery rests can be are left out."""
NONE = 1e-2
"""Incidents a day that stand for none at all, which have no logarithm."""
SHOWN = ("episodes", "incidents", "one", "half", "whole", "loud", "loud_delay", "loud_named")
WAYS = ("units", "two levels", "units+simes", "units+group")


@dataclass(frozen=True)
class Noise:
    """Readings without faults: of which kind, of how many units in how many groups of the same size."""

    kind: str
    units: int
    groups: int

    @property
    def group_of(self) -> Numbers:
        """The group of each unit."""
        return np.arange(self.units) // (self.units // self.groups)

    def rows(self, number: int, rng: np.random.Generator) -> Array:
        """Successive rows, shape (number, units), each unit with spread 1."""
        own = self._remembering(number, self.units, MEMORY, rng)
        if "common" not in self.kind:
            return own
        of_group = self._remembering(number, self.groups, COMMON_MEMORY, rng)[:, self.group_of]
        of_all = self._remembering(number, 1, COMMON_MEMORY, rng)
        result: Array = np.sqrt(1 - COMMON_SHARE) * own + np.sqrt(COMMON_SHARE / 2) * (of_group + of_all)
        return result

    def _remembering(self, number: int, columns: int, memory: float, rng: np.random.Generator) -> Array:
        new = rng.standard_normal((number, columns))
        if "heavy" in self.kind:  # one factor for all units of a burst would be common; this is of each unit alone
            new *= np.sqrt((FREEDOM - 2.0) / rng.chisquare(FREEDOM, new.shape))
        result: Array = lfilter([np.sqrt(1.0 - memory**2)], [1.0, -memory], new, axis=0)
        return result


class Scored:
    """Calibrated units and groups of one kind of noise; what is said of rows is sparse, as hardly any row matters."""

    def __init__(self, noise: Noise, seed: int) -> None:
        self.noise = noise
        self._rng = np.random.default_rng((seed, NOISES.index(noise.kind), noise.units))
        self._units = self._calibrated("outlier", self._absolute(LEARNED_DAYS * ROWS_A_DAY))
        of_groups = [self._of_groups(self._probabilities(z)[1], z) for z in self._days(WINDOW_DAYS)]
        self._groups = {way: self._calibrated(way, np.concatenate([scores[way] for scores in of_groups])) for way in of_groups[0]}

    def _absolute(self, number: int) -> Array:
        return np.abs(self.noise.rows(number, self._rng))

    def _days(self, days: int) -> Iterator[Array]:
        return (self._absolute(ROWS_A_DAY) for _ in range(days))

    def _calibrated(self, condition: str, scores: Array) -> RollingCalibration:
        calibration = RollingCalibration(1.0, WINDOW_DAYS * DAY_NS)
        calibration.quiet_rows = CLEAR_ROWS
        calibration.bind(tuple(Unit(f"{condition}{i}", str(i), "", condition) for i in range(scores.shape[1])))
        calibration.learn(np.arange(len(scores)) * STEP_NS, scores)
        if condition == "outlier":
            self._likely = np.quantile(scores, 1.0 - LIKELY, axis=0)
            self.size = float(np.quantile(scores, 0.9999))
        return calibration

    def _probabilities(self, z: Array) -> tuple[Array, Array]:
        """Of each unit, 1 where unremarkable, and of each group by Simes' test."""
        p = self._units.tail_probabilities(np.where(z > self._likely, z, np.nan))
        p = np.where(np.isnan(p), 1.0, p)
        return p, simes(p, self.noise.group_of, LIKELY)

    def _of_groups(self, combined: Array, z: Array) -> dict[str, Array]:
        """Scores of groups, shape (n, groups) each."""
        highest = -np.partition(-z.reshape(len(z), self.noise.groups, -1), TOP - 1, axis=2)[:, :, :TOP].mean(axis=2)
        smooth, _ = lfilter([EMA], [1.0, EMA - 1.0], highest, axis=0, zi=(1.0 - EMA) * highest[:1])
        return {"units+simes": -np.log(combined), "units+group": smooth}

    def said(self, z: Array) -> dict[str, list[tuple[Numbers, Numbers]]]:
        """Of rows, for each way and each of BUDGETS: the rows and units that are bad; groups are numbered after the units."""
        p, combined = self._probabilities(np.abs(z))
        scores = self._of_groups(combined, np.abs(z))
        of_groups = {way: self._groups[way].tail_probabilities(scores[way]) for way in scores}
        result: dict[str, list[tuple[Numbers, Numbers]]] = {way: [] for way in WAYS}
        for budget in BUDGETS:
            result["units"].append(_where(p <= budget * self._units.row_alpha))
            result["two levels"].append(_where(discoveries(p, self.noise.group_of, budget / ROWS_A_DAY)))
            half = p <= 0.5 * budget * self._units.row_alpha
            for way, chance in of_groups.items():
                bad = chance <= 0.5 * budget * self._groups[way].row_alpha
                result[way].append(_where(np.concatenate([half, bad], axis=1)))
        return result

    def false_a_day(self, days: int) -> dict[str, Array]:
        """Episodes and incidents a day without faults, shape (2, budgets)."""
        bad: dict[str, list[list[tuple[Numbers, Numbers]]]] = {way: [[] for _ in BUDGETS] for way in WAYS}
        for day, z in enumerate(self._days(days)):
            for way, of_budgets in self.said(z).items():
                for kept, (row, unit) in zip(bad[way], of_budgets, strict=True):
                    kept.append((row + day * ROWS_A_DAY, unit))
        return {way: np.array([self._counted(parts) for parts in of_budgets]).T / days for way, of_budgets in bad.items()}

    def _counted(self, parts: list[tuple[Numbers, Numbers]]) -> tuple[int, int]:
        """Episodes, and incidents made of them."""
        row, unit = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        order = np.lexsort((row, unit))
        row, unit = row[order], unit[order]
        begins = (np.diff(unit, prepend=-1) != 0) | (np.diff(row, prepend=0) > CLEAR_ROWS)
        row, unit = row[begins], unit[begins]
        group = np.append(self.noise.group_of, np.arange(self.noise.groups))[unit]
        order = np.lexsort((row, group))
        row, group = row[order], group[order]
        folded = (np.diff(group, prepend=-1) == 0) & (np.diff(row, prepend=0) <= FOLD_ROWS)
        return len(row), int(np.count_nonzero(~folded))

    def found(self) -> dict[str, Array]:
        """Of faults of each kind in SIZE_OF: part found, median minutes until then, part of its units named; shape (budgets, kinds, 3)."""
        rows = BEFORE_ROWS + FAULT_ROWS
        z = self.noise.rows(len(SIZE_OF) * FAULTS * rows, self._rng)
        affected = np.zeros((len(SIZE_OF) * FAULTS, self.noise.units), dtype=np.bool_)
        group = self._rng.integers(self.noise.groups, size=len(affected))
        inside = self.noise.units // self.noise.groups
        for i, (kind, size) in enumerate(SIZE_OF.items()):
            number = max(1, int(PART_OF[kind] * inside))
            for fault in range(i * FAULTS, (i + 1) * FAULTS):
                affected[fault, group[fault] * inside + self._rng.permutation(inside)[:number]] = True
                z[fault * rows + BEFORE_ROWS : (fault + 1) * rows] += size * self.size * affected[fault]
        counted = np.concatenate([affected, np.eye(self.noise.groups, dtype=np.bool_)[group]], axis=1)
        said = self.said(z)
        return {way: np.array([_found(*bad, rows, counted, affected) for bad in said[way]]) for way in WAYS}


def _where(bad: Flags) -> tuple[Numbers, Numbers]:
    row, unit = np.nonzero(bad)
    return row.astype(np.int64), unit.astype(np.int64)


def _found(row: Numbers, unit: Numbers, rows: int, counted: Flags, affected: Flags) -> Array:
    """Of bad rows and units, where `rows` belong to each fault; counted, affected: shape (faults, units), with groups and without."""
    fault, minute = row // rows, row % rows - BEFORE_ROWS
    hit = (minute >= 0) & counted[fault, unit]
    first = np.full(len(counted), np.inf)
    np.minimum.at(first, fault[hit], minute[hit])
    named = np.zeros(counted.shape, dtype=np.bool_)
    named[fault[hit], unit[hit]] = True
    part = (named[:, : affected.shape[1]] & affected).sum(axis=1) / affected.sum(axis=1)
    result = np.empty((len(SIZE_OF), 3))
    for i, (of_kind, part_of_kind) in enumerate(zip(first.reshape(len(SIZE_OF), -1), part.reshape(len(SIZE_OF), -1), strict=True)):
        seen = np.isfinite(of_kind)
        result[i] = seen.mean(), np.median(of_kind[seen]) if seen.any() else np.nan, part_of_kind.mean()
    return result


Figures = dict[str, dict[str, list[float]]]
"""Of each way and name, one of each seed."""


def figures(promise: float, rounds: list[tuple[dict[str, Array], dict[str, Array]]]) -> Figures:
    """What `main` prints; rounds: `false_a_day` and `found` of each seed."""
    result: Figures = {way: {} for way in WAYS}
    promised = int(np.argmin(np.abs(np.log(BUDGETS / promise))))
    for way, of_way in result.items():
        for false, found in rounds:
            episodes, incidents = false[way]
            budget = matched(incidents, promise)
            new = {"episodes": episodes[promised] / promise, "incidents": incidents[promised] / promise, "budget": budget / promise}
            at = np.array(
                [[np.interp(np.log(budget), np.log(BUDGETS), found[way][:, i, j]) for j in range(3)] for i in range(len(SIZE_OF))]
            )
            new |= {kind: at[i, 0] for i, kind in enumerate(SIZE_OF)}
            new |= {f"{kind}_delay": at[i, 1] for i, kind in enumerate(SIZE_OF)}
            new |= {f"{kind}_named": at[i, 2] for i, kind in enumerate(SIZE_OF)}
            for name, value in new.items():
                of_way.setdefault(name, []).append(float(value))
    return result


def matched(incidents: Array, promise: float) -> float:
    """The budget with as many incidents a day as promised; incidents: of each of BUDGETS."""
    rising = np.maximum.accumulate(np.log(np.maximum(incidents, NONE)))
    return float(np.exp(np.interp(np.log(promise), rising, np.log(BUDGETS))))


def simulate(size: tuple[int, int], kind: str, seeds: int, days: int) -> dict[float, Figures]:
    """Figures of units and groups under one kind of noise, for each promise."""
    rounds = []
    for seed in range(seeds):
        scored = Scored(Noise(kind, *size), seed)
        rounds.append((scored.false_a_day(days), scored.found()))
    return {promise: figures(promise, rounds) for promise in PROMISES}


def row(of_way: Mapping[str, list[float]]) -> str:
    """Means and spreads of what the table has."""
    known = {name: [value for value in of_way[name] if np.isfinite(value)] for name in SHOWN}
    return "".join(f"{np.mean(of):8.2f}±{np.std(of):4.2f}" if of else f"{'-':>13}" for of in known.values())


def main() -> None:
    """Simulates and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.discoveries", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--days", type=int, default=8, help="judged without faults (default: 8)")
    parser.add_argument("--seeds", type=int, default=2, help="independent simulations (default: 2)")
    parser.add_argument("--units", type=int, choices=[units for units, _ in SIZES], help="of this size only")
    parser.add_argument("--json", action="store_true", help="one object on stdout, with all figures of all seeds")
    arguments = parser.parse_args()
    found = []
    if not arguments.json:
        print(f"{'units':>5} {'noise':13}{'a day':>6} {'way':12}" + "".join(f"{name:>13}" for name in SHOWN))
    for size in SIZES:
        for kind in NOISES if arguments.units in (None, size[0]) else ():
            of_promises = simulate(size, kind, arguments.seeds, arguments.days)
            for promise, of_ways in of_promises.items():
                found.append({"units": size[0], "groups": size[1], "noise": kind, "promise": promise, "ways": of_ways})
                for way, of_way in of_ways.items() if not arguments.json else ():
                    print(f"{size[0]:5} {kind:13}{promise:6g} {way:12}{row(of_way)}", flush=True)
    if arguments.json:
        print(json.dumps({"name": "discoveries", "figures": found}))


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
