"""The simulated experiment as a whole: how its parts act on one another, lumisection by lumisection."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from daemon.demo import geometry
from daemon.demo.data_acquisition import DaqReadings, DataAcquisition
from daemon.demo.drives import Drives
from daemon.demo.high_voltage import HighVoltageCrate, Reading
from daemon.demo.histograms import RunHistogram
from daemon.demo.subdetectors import Calorimeter, MuonSystem, Tracker

PEAK_LUMINOSITY_1E34 = 1.9
PEAK_PILEUP = 52.0
LUMINOSITY_LIFETIME_H = 24.0
BEAM_ENERGY_GEV = 6_800.0
STABLE_BEAMS = 4
"""Beam mode, counted from 0: no beam, injection, ramp, adjust, stable beams."""
UNPOWERED_BUSY = 0.12
"""Fraction of time that a front end is busy with resynchronising while part of what it reads has no voltage."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What everybody in the control room knows."""

    run: int
    lumisection: int
    luminosity_1e34: float
    pileup: float
    beam_mode: int = STABLE_BEAMS
    beam_energy_gev: float = BEAM_ENERGY_GEV


@dataclass(frozen=True, slots=True)
class Shown:
    """What the experiment shows at the end of a lumisection, besides its histograms and disks."""

    time_ns: int
    conditions: Conditions
    high_voltage: tuple[Reading, ...]
    daq: DaqReadings


class Experiment:
    """All parts of DEMO in one fill. The same seed and the same times give the same data."""

    def __init__(self, seed: int, start_ns: int) -> None:
        self._rng = np.random.default_rng([seed, 1])
        self._start_ns = start_ns
        self.calorimeter = Calorimeter()
        self.tracker = Tracker()
        self.muons = MuonSystem()
        self.crate = HighVoltageCrate()
        self.daq = DataAcquisition()
        self.drives = Drives(start_ns, np.random.default_rng([seed, 2]))
        self.run = geometry.FIRST_RUN
        self._lumisection = 0

    @property
    def histograms(self) -> tuple[RunHistogram, ...]:
        """All histograms of the run."""
        return (*self.calorimeter.histograms, *self.tracker.histograms, *self.muons.histograms)

    def start_run(self) -> None:
        """The next run begins: its number rises, all totals begin at zero."""
        self.run += 1
        self._lumisection = 0
        self.daq.start_run()
        for histogram in self.histograms:
            histogram.reset()

    def advance(self, time_ns: int) -> Shown:
        """One lumisection, which ends at `time_ns`."""
        self._lumisection += 1
        hours = (time_ns - self._start_ns) / 3.6e12
        luminosity_ratio = math.exp(-hours / LUMINOSITY_LIFETIME_H)
        high_voltage = self.crate.advance(self._rng, time_ns, luminosity_ratio)
        daq = self.daq.advance(self._rng, luminosity_ratio, self._unpowered_busy())
        # The share of bunch crossings that DQM sees is fixed, so dead-time does not thin its histograms; pile-up does.
        pileup_ratio = luminosity_ratio * float(self._rng.normal(1.0, 0.002))
        self.calorimeter.fill(self._rng, pileup_ratio, self._tower_power())
        self.tracker.fill(self._rng, pileup_ratio)
        self.muons.fill(self._rng, pileup_ratio)
        conditions = Conditions(
            self.run, self._lumisection, round(PEAK_LUMINOSITY_1E34 * luminosity_ratio, 4), round(PEAK_PILEUP * pileup_ratio, 2)
        )
        return Shown(time_ns, conditions, tuple(high_voltage), daq)

    def _tower_power(self) -> NDArray[np.float64]:
        """Fraction of its voltage that each tower has, shape (34, 72)."""
        power = np.ones((geometry.TOWERS_ETA, geometry.TOWERS_PHI))
        for channel, fraction in zip(geometry.CHANNELS, self.crate.powered, strict=True):
            if channel.supermodule is not None:
                power[channel.supermodule.towers] = fraction
        return power

    def _unpowered_busy(self) -> NDArray[np.float64]:
        """How busy each FED is because part of what it reads has no voltage, shape (16,)."""
        busy = np.zeros(len(geometry.FEDS))
        for channel, fraction in zip(geometry.CHANNELS, self.crate.powered, strict=True):
            if channel.fed is not None and fraction < 0.9:
                busy[geometry.FEDS.index(channel.fed)] += UNPOWERED_BUSY
        return busy
