"""Trigger and data acquisition: rates, dead-time by cause, and what the front ends say about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from daemon.demo.geometry import FEDS, LUMISECTION_NS, PARTITIONS

INPUT_RATE_HZ = 92_000.0
TTS_READY, TTS_WARNING, TTS_BUSY = range(3)
"""States of the trigger throttling system."""

_PARTITION_OF = np.array([PARTITIONS.index(fed.partition) for fed in FEDS])
BASE_CAUSES = {"trigger_rules": 0.0085, "calibration": 0.0035, "retri": 0.0006, "daq_backpressure": 0.0004}
"""Ordinary dead-time by cause: fraction of time."""


@dataclass(frozen=True, slots=True)
class DaqReadings:
    """What the trigger and the front ends show at the end of a lumisection; ratios are fractions of its time."""

    trigger_rate_hz: float
    deadtime_ratio: dict[str, float]
    partition_deadtime_ratio: dict[str, float]
    fed_busy_ratio: NDArray[np.float64]
    fed_warning_ratio: NDArray[np.float64]
    fed_tts_state: NDArray[np.int64]
    events: int


class DataAcquisition:
    """`extra_busy` is what faults change: the fraction of time for which each FED holds up the trigger, shape (16,)."""

    def __init__(self) -> None:
        self.extra_busy = np.zeros(len(FEDS))
        self._events = 0

    def start_run(self) -> None:
        """Event counters begin at zero."""
        self._events = 0

    def advance(self, rng: np.random.Generator, luminosity_ratio: float, unpowered_busy: NDArray[np.float64]) -> DaqReadings:
        """One lumisection; `unpowered_busy` is the fraction of time that FEDs are busy for want of high voltage, shape (16,)."""
        extra = self.extra_busy + unpowered_busy
        busy = np.minimum(rng.gamma(4.0, 5e-5, len(FEDS)) + extra * (1.0 + 0.03 * rng.standard_normal(len(FEDS))), 1.0)
        warning = np.minimum(rng.gamma(4.0, 2e-4, len(FEDS)) + 0.5 * extra, 1.0 - busy)
        partition = 1.0 - np.array([np.prod(1.0 - busy[number == _PARTITION_OF]) for number in range(len(PARTITIONS))])
        causes = {name: ratio * float(rng.normal(1.0, 0.05)) for name, ratio in BASE_CAUSES.items()}
        causes["tts"] = float(1.0 - np.prod(1.0 - partition))
        total = 1.0 - float(np.prod([1.0 - ratio for ratio in causes.values()]))
        rate_hz = INPUT_RATE_HZ * luminosity_ratio * (1.0 - total) * float(rng.normal(1.0, 0.003))
        self._events += int(rate_hz * LUMISECTION_NS / 1e9)
        drawn = rng.random(len(FEDS))
        state = np.where(drawn < busy, TTS_BUSY, np.where(drawn < busy + warning, TTS_WARNING, TTS_READY))
        return DaqReadings(
            rate_hz, {"total": total, **causes}, dict(zip(PARTITIONS, partition.tolist(), strict=True)), busy, warning, state, self._events
        )
