"""Tails of many units that are calibrated together."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.calibration import Calibration
from detectors.finding import Scores, Unit

UNITS, ROWS = 400, 640
MINUTE_NS = 60_000_000_000


def scores(seed: int, freedom: float) -> NDArray[np.float64]:
    """Independent scores of units with spreads of their own."""
    rng = np.random.default_rng(seed)
    result: NDArray[np.float64] = np.abs(rng.standard_t(freedom, (ROWS, UNITS))) * np.random.default_rng(0).uniform(0.5, 2.0, UNITS)
    return result


@pytest.mark.parametrize(("freedom", "least", "most"), [(3.0, 0.6, 2.0), (4.0, 0.6, 2.0), (1000.0, 0.05, 1.2)])
def test_what_a_promise_over_many_units_asks_for_is_as_rare_as_said(freedom: float, least: float, most: float) -> None:
    """1 in 25,600, 40 times rarer than any unit has seen: only all units together have. Light tails are taken with care."""
    units = tuple(Unit(f"u{i}", f"u{i}", "", "outlier") for i in range(UNITS))
    chance = 1.0 / (40 * ROWS)
    bad = []
    for seed in range(3):
        calibration = Calibration().fit(Scores(units, scores(seed, freedom)), np.arange(ROWS) * MINUTE_NS)
        bad += [calibration.tail_probabilities(Scores(units, scores(100 * seed + k, freedom))) <= chance for k in range(1, 5)]
    assert least < np.mean(bad) / chance < most
