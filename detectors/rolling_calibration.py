"""Calibration that goes along: thresholds that keep a promise of so many episodes a day, from the scores of the recent past.

A threshold that is fixed at training does not keep its promise for long, because what is normal drifts. Here the thresholds
are worked out anew again and again, without labels, from the peaks of the scores within a sliding window: a peak stands for
an episode that a threshold below it would have raised, so that their number above a threshold is the number of episodes that
it would have cost (peaks over a threshold, declustered by runs: A. Davison and R. Smith, J. R. Statist. Soc. B 52 (1990) 393).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.alarm_rate import AlarmRate
from detectors.calibration import ROWS_LEAST, Calibration
from detectors.cold_start import Limits, doubt_factor
from detectors.finding import Scores, Unit
from detectors.levels import levels, usual
from detectors.rolling import RecentMaxima

Array = NDArray[np.float64]

DAY_NS = 86_400e9
ROUNDS = 168
"""How often the thresholds are worked out anew within a window: every hour in one of a week."""
BLOCKS_FOR_ONE = 100
"""Peaks are set apart by up to one block on either side for so many blocks; with few blocks, rather too many peaks are counted."""
EPISODES_KEPT, WINDOWS_MOST = 10.0, 8
"""The past that is kept holds so many promised episodes, and is at least one window long and at most so many."""
RARER = 10.0
"""No score counts as higher than one that is so much rarer than the promise. One that is, and is rarer than once in a window, is
an incident in all likelihood: it counts neither as an episode nor for the level, and is kept as infinite. As many as normal data bring
by chance are taken for such, or the thresholds would sink from week to week; they count as no higher than they are known to be."""
ALPHA_MOST = 0.5
"""No more than this part of the peaks is ever bad, however much is promised."""
COLUMNS = ("alpha", "threshold", "sure_threshold", "level", "ceiling", "peaks_per_row", "incident")


class RollingCalibration:
    """Thresholds and tail probabilities of the units of one detector. What it learned belongs to unit keys."""

    def __init__(self, per_day: float, window_ns: int) -> None:
        """per_day: promised episodes of all units together; window_ns: over which the level is taken."""
        self._per_day = per_day
        self.quiet_rows = 1
        """Good rows that end an episode."""
        self._window_ns = window_ns
        self._recent = RecentMaxima(int(np.clip(EPISODES_KEPT / per_day * DAY_NS, window_ns, WINDOWS_MOST * window_ns)))
        self._period_ns = max(1, window_ns // ROUNDS)
        self._calibration = Calibration()
        self._units: Sequence[Unit] = ()
        self._known: dict[str, Array] = {}  # of units that are not in the present layout, and after a restart
        self._of_units = np.empty((len(COLUMNS), 0))
        self.step_ns = 0
        self.due_ns = 0
        """Event time at which the thresholds are worked out next."""

    @property
    def limits(self) -> Limits:
        """When the units are bad, for lasting scores."""
        alpha, threshold, sure_threshold = self._of_units[:3]
        return Limits(alpha, threshold, sure_threshold)

    @property
    def level(self) -> Array:
        """The level that the scores of each unit have now, shape (units,): thresholds go along with it."""
        result: Array = self._of_units[3]
        return result

    @property
    def row_alpha(self) -> Array:
        """The chance in `tail_probabilities` below which a unit is bad, shape (units,)."""
        result: Array = self._of_units[0] * self._of_units[5]
        return result

    @property
    def span_ns(self) -> int:
        """The past that was taken in."""
        begins = self._recent.start_ns
        return int(begins[-1] - begins[0]) if len(begins) else 0

    def bind(self, units: Sequence[Unit]) -> None:
        """The columns of the next calls; units that are new are not judged before the thresholds are worked out next."""
        if units is self._units:
            return
        self._known.update({unit.key: column for unit, column in zip(self._units, self._of_units.T, strict=True)})
        unknown = np.full(len(COLUMNS), np.nan)
        self._of_units = np.array([self._known.pop(unit.key, unknown) for unit in units]).reshape(len(units), len(COLUMNS)).T.copy()
        self._units = units
        self._recent.bind([unit.key for unit in units])

    def learn(self, time_ns: NDArray[np.int64], scores: Array) -> None:
        """Takes in lasting scores of normal rows and works out the thresholds."""
        steps = np.diff(time_ns)
        self.step_ns = self.step_ns or (int(np.median(steps)) if len(steps) else 0)
        self._recent.add(time_ns, scores, self.step_ns)
        if len(time_ns):
            self.recalibrate(int(time_ns[-1]), AlarmRate())

    def add(self, time_ns: NDArray[np.int64], scores: Array, ceiling: Array | None = None) -> None:
        """Takes in lasting scores of rows before `due_ns`, shape (n, units); ceiling: shape (units,), its own by default."""
        capped = np.fmin(scores, self._of_units[4] if ceiling is None else ceiling)
        if ceiling is None:
            capped = np.where(scores > self._of_units[6], np.inf, capped)
        self._recent.add(time_ns, np.where(np.isnan(scores), np.nan, capped), self.step_ns)

    def recalibrate(self, now_ns: int, rate: AlarmRate) -> None:
        """Works out the thresholds from what was taken in; the next time is a round one, however the rows come.

        rate: of the episodes raised; a unit that has surely had more than promised takes in its high scores as they are.
        """
        self._recent.settle()
        self.due_ns = (now_ns // self._period_ns + 1) * self._period_ns
        begins, maxima, block_ns = self._recent.start_ns, self._recent.maxima, max(1, self._recent.block_ns)
        apart = min(self.quiet_rows * self.step_ns // block_ns, len(begins) // BLOCKS_FOR_ONE)
        before, level = levels(begins, maxima, self._window_ns)
        days = max(1, len(begins)) * block_ns / DAY_NS
        tops = peaks(maxima - before, apart)
        per_day = self._shares(np.isfinite(tops).sum(axis=0) >= ROWS_LEAST)
        incident = np.maximum(RARER, np.nan_to_num(per_day) * self._window_ns / DAY_NS)
        by_chance = np.rint(np.nan_to_num(per_day) * days / incident)
        tops = with_incidents(tops, np.isposinf(maxima), by_chance, self._of_units[6] - self._of_units[3])
        calibration = self._calibration = Calibration().fit(Scores(tuple(self._units), tops), begins)
        counts = calibration.rows_of(self._units)
        per_day = self._shares(counts >= ROWS_LEAST)
        with np.errstate(divide="ignore", invalid="ignore"):
            alpha = np.minimum(per_day * days / counts / calibration.theta_of(self._units), ALPHA_MOST)
        excess = rate.excess(self._units, per_day)
        doubt = doubt_factor(calibration, alpha, self._units)
        # what most blocks reach is never bad, however seldom it was reached above the level of its time
        least = usual(begins, maxima, self._window_ns)
        factors = (np.ones_like(alpha), doubt, RARER * excess, incident * excess)
        limits = [np.fmax(level + calibration.scores_at(alpha / by, self._units), least) for by in factors]
        rows = np.maximum(np.isfinite(maxima).sum(axis=0) * block_ns / max(1, self.step_ns), 1.0)
        self._of_units = np.stack([alpha, limits[0], limits[1], level, limits[2], np.minimum(counts / rows, 1.0), limits[3]])
        self._known.clear()

    def shift(self, key: str, by: float) -> None:
        """Moves the level of a unit, and its threshold with it."""
        self._recent.shift(key, by)
        for index, unit in enumerate(self._units):
            if unit.key == key:
                self._of_units[[1, 2, 3, 4, 6], index] += by
        if key in self._known:  # not among the present columns, or they are not known yet, after a restart
            self._known[key] = self._known[key] + np.where(np.isin(np.arange(len(COLUMNS)), (1, 2, 3, 4, 6)), by, 0.0)

    def tail_probabilities(self, scores: Array) -> Array:
        """Chance that a row of normal data brings an episode as high as each score, shape (n, units); NaN where not judged."""
        chance = self._calibration.tail_probabilities(Scores(tuple(self._units), scores - self.level))
        result: Array = np.where(chance < 1.0, chance * self._of_units[5], chance)
        return result

    def sample(self, unit: int) -> tuple[int, float, float]:
        """Rows of the past of a unit, independent peaks in them, and how many peaks a row brings."""
        peaks_per_row = float(self._of_units[5, unit])
        independent = float((self._calibration.rows_of(self._units) * self._calibration.theta_of(self._units))[unit])
        return round(independent / peaks_per_row) if peaks_per_row > 0 else 0, independent, peaks_per_row

    def reason(self, unit: int) -> str:
        """Why a unit that passes its threshold is doubtful; empty where it is not."""
        alpha = float(self._of_units[0, unit])
        return self._calibration.doubt(alpha, alpha, self._units[unit])

    def _shares(self, judged: NDArray[np.bool_]) -> Array:
        """Promised episodes a day of each unit, shape (units,); NaN where it is not judged. Conditions share evenly, so do their units."""
        number = Counter(unit.condition for unit, known in zip(self._units, judged, strict=True) if known)
        each = [
            self._per_day / len(number) / number[unit.condition] if known else np.nan
            for unit, known in zip(self._units, judged, strict=True)
        ]
        return np.array(each, dtype=np.float64)

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        known = {**self._known, **{unit.key: column for unit, column in zip(self._units, self._of_units.T, strict=True)}}
        return {
            "recent": self._recent.state(),
            "calibration": self._calibration.state(),
            "keys": list(known),
            "of_units": np.array(list(known.values())).reshape(len(known), len(COLUMNS)),
            "step_ns": self.step_ns,
            "due_ns": self.due_ns,
            "quiet_rows": self.quiet_rows,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`; the units are to be bound again."""
        self._recent.restore(state["recent"])
        self._calibration.restore(state["calibration"])
        self._known = dict(zip(state["keys"], np.asarray(state["of_units"], dtype=np.float64), strict=True))
        self.step_ns, self.due_ns, self.quiet_rows = int(state["step_ns"]), int(state["due_ns"]), int(state["quiet_rows"])
        self._units, self._of_units = (), np.empty((len(COLUMNS), 0))


def peaks(maxima: Array, apart: int) -> Array:
    """The maxima that none of the `apart` ones on either side exceeds, NaN elsewhere. Shape as given.

    Of equal ones the first counts; of those that are no higher than most, one in each stretch of that length does too: a
    constant score has peaks, and an episode has one, however long it is.
    """
    known = np.where(np.isnan(maxima), -np.inf, maxima)
    highest = np.isfinite(maxima)
    first = highest.copy()
    for back in range(1, min(apart, len(maxima) - 1) + 1):
        highest[back:] &= known[back:] >= known[:-back]
        highest[:-back] &= known[:-back] >= known[back:]
        first[back:] &= known[back:] > known[:-back]
    middle = np.sort(maxima, axis=0)[np.maximum(np.isfinite(maxima).sum(axis=0) - 1, 0) // 2, np.arange(maxima.shape[1])]
    spread = (known <= middle) & (np.arange(len(maxima)) % (2 * apart + 1) == 0)[:, None]
    return np.where(highest & (first | spread), maxima, np.nan)


def with_incidents(tops: Array, incident: NDArray[np.bool_], most: Array, least: Array) -> Array:
    """The peaks, with up to `most` incidents of each unit among them: as high as its highest peak, and at least `least`.

    most, least: of shape (units,).
    """
    if not incident.any():
        return tops
    begins = incident.copy()
    begins[1:] &= ~incident[:-1]
    counted = begins & (np.cumsum(begins, axis=0) <= most)
    highest = np.where(np.isfinite(tops), tops, -np.inf).max(axis=0, initial=-np.inf)
    known = np.isfinite(highest)
    return np.where(counted & known, np.fmax(highest, least), tops)
