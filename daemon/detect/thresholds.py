"""At which tail probability a unit is bad, and at which that is beyond doubt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from detectors.calibration import EXTRAPOLATION, Calibration
from detectors.finding import Severity, Unit


class Thresholds:
    """The thresholds of a detector's units for its share of the budget; worked out once for each set of units.

    Where the promise asks for odds far beyond what normal rows have shown, the threshold rests on a fitted tail. What passes
    it only by a little is then a doubtful unit: it says that it is unsure, is for the record, and opens no incident alone.
    """

    def __init__(self, calibration: Calibration, per_day: float, raise_rows: int) -> None:
        self._calibration = calibration
        self._per_day = per_day
        self._raise_rows = raise_rows
        self._units: Sequence[Unit] = ()
        self._bounds = np.empty((2, 0))
        self.doubtful: tuple[Unit, ...] = ()

    def of(self, units: Sequence[Unit]) -> NDArray[np.float64]:
        """Tail probabilities below which a unit is bad, and is bad beyond doubt; shape (2, units), NaN for unknown units."""
        if units is not self._units:
            alpha = self._calibration.alphas(units, self._per_day, self._raise_rows)
            beyond = [self._calibration.extrapolation(a, u) / EXTRAPOLATION if a > 0 else 1.0 for a, u in zip(alpha, units, strict=True)]
            self._bounds = np.stack([alpha, alpha / np.maximum(1.0, beyond)])
            self.doubtful = tuple(replace(u, key=f"{u.key}?", severity=Severity.INFO) for u in units)
            self._units = units
        return self._bounds

    def reason(self, unit: int) -> str:
        """Why a finding of this unit between the two thresholds is doubtful."""
        return self._calibration.doubt(float(self._bounds[0, unit]), float(self._bounds[0, unit]), self._units[unit])
