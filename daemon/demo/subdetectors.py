"""What the subdetectors of DEMO count in each lumisection: expected shapes, Poisson fluctuations, and what can break."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from daemon.demo import geometry
from daemon.demo.histograms import CountHistogram, ProfileHistogram, RegularAxis, RunHistogram

Array = NDArray[np.float64]

TOWER_HITS = 80.0
"""Mean hits of a tower per lumisection at the pile-up of the start of the fill."""
PAIR_CANDIDATES = 6_000.0
TRACKER_CLUSTERS = 20_000.0
MODULE_HITS = 400.0
CHAMBER_HITS = 150.0
TIMING_HITS = 180.0
Z_MASS_GEV, MASS_RESOLUTION_GEV = 91.2, 2.6
CLUSTER_CHARGE_KE, CLUSTER_WIDTH_KE = 24.0, 3.4
TIMING_SPREAD_NS = 1.1

_GEOMETRY_SEED = 20_260  # the detector itself (gains) is the same in every demo


def moyal(x: Array) -> Array:
    """Moyal's closed form close to Landau's distribution of energy loss (Phil. Mag. 46 (1955) 263); not normalised."""
    return np.asarray(np.exp(-0.5 * (x + np.exp(-x))))


class Calorimeter:
    """The barrel: an occupancy map, the Z peak of electron pairs and the timing of the cells.

    `efficiency` and `hot_factor` are what faults change, shape (34, 72); `energy_scale` moves the peak.
    """

    def __init__(self) -> None:
        shape = (geometry.TOWERS_ETA, geometry.TOWERS_PHI)
        self.efficiency = np.ones(shape)
        self.hot_factor = np.ones(shape)
        self.energy_scale = 1.0
        self._mean_hits = self._expected_hits(np.random.default_rng(_GEOMETRY_SEED))
        eta = RegularAxis("eta index", geometry.TOWERS_ETA, -17.0, 17.0)
        phi = RegularAxis("phi index", geometry.TOWERS_PHI, 0.5, 72.5)
        self.occupancy = CountHistogram("ECAL/occupancy_EB", (eta, phi))
        self.energy = CountHistogram("ECAL/energy", (RegularAxis("pair mass [GeV]", 100, 60.0, 120.0),))
        self.timing = ProfileHistogram("ECAL/timing_vs_eta", eta)
        self._mean_time_ns = 0.06 * np.sin(np.arange(geometry.TOWERS_ETA) / 3.0)

    @staticmethod
    def _expected_hits(rng: np.random.Generator) -> Array:
        """More hits at large eta, dips at the gaps between modules, gains that vary by supermodule, a few dead towers."""
        ring = np.abs(np.arange(geometry.TOWERS_ETA) - 16.5) + 0.5
        along_eta = 1.0 + 0.45 * (ring / 17.0) ** 2
        along_eta[np.isin(ring, (5, 9, 13))] *= 0.93
        along_phi = np.repeat(1.0 + 0.03 * rng.standard_normal(geometry.SUPERMODULES_PER_SIDE), geometry.SUPERMODULE_PHI)
        hits = TOWER_HITS * np.outer(along_eta, along_phi) * (1.0 + 0.02 * rng.standard_normal((len(ring), len(along_phi))))
        hits[tuple(np.transpose(sorted(geometry.DEAD_TOWERS)))] = 0.0
        return np.asarray(hits)

    @property
    def histograms(self) -> tuple[RunHistogram, ...]:
        """What it shows."""
        return (self.occupancy, self.energy, self.timing)

    def _expected_masses(self) -> Array:
        mass = self.energy.axes[0].centres[1:-1]
        peak = np.exp(-0.5 * ((mass - self.energy_scale * Z_MASS_GEV) / MASS_RESOLUTION_GEV) ** 2)
        continuum = 0.10 * np.exp(-(mass - 60.0) / 35.0)
        shape = peak + continuum
        return np.asarray(PAIR_CANDIDATES * shape / shape.sum())

    def fill(self, rng: np.random.Generator, pileup_ratio: float, powered: Array) -> None:
        """One lumisection; `powered` is the fraction of its voltage that each tower has, shape (34, 72)."""
        live = self.efficiency * np.clip((powered - 0.9) * 10.0, 0.0, 1.0)
        self.occupancy.add(rng.poisson(self._mean_hits * pileup_ratio * live * self.hot_factor))
        self.energy.add(rng.poisson(self._expected_masses()))
        entries = rng.poisson(TIMING_HITS, geometry.TOWERS_ETA)
        spread = TIMING_SPREAD_NS * np.sqrt(entries) * rng.standard_normal(len(entries))
        sum_y = entries * self._mean_time_ns + spread
        self.timing.add(entries, sum_y, entries * (self._mean_time_ns**2 + TIMING_SPREAD_NS**2))


class Tracker:
    """Charge of clusters and hits by module; `hot_factor` is what faults change, shape (96,)."""

    def __init__(self) -> None:
        rng = np.random.default_rng(_GEOMETRY_SEED + 1)
        self.hot_factor = np.ones(geometry.TRACKER_MODULES)
        by_layer = 1.0 / (1.0 + 0.35 * np.arange(geometry.TRACKER_LAYERS))
        spread = 1.0 + 0.04 * rng.standard_normal(geometry.TRACKER_MODULES)
        self._mean_hits = MODULE_HITS * np.repeat(by_layer, geometry.MODULES_PER_LAYER) * spread
        self.charge = CountHistogram("TRACKER/cluster_charge", (RegularAxis("cluster charge [ke]", 100, 0.0, 100.0),))
        self.occupancy = CountHistogram("TRACKER/occupancy", (RegularAxis("module", geometry.TRACKER_MODULES, 0.5, 96.5),))
        shape = moyal((self.charge.axes[0].centres[1:-1] - CLUSTER_CHARGE_KE) / CLUSTER_WIDTH_KE)
        self._mean_charges = TRACKER_CLUSTERS * shape / shape.sum()

    @property
    def histograms(self) -> tuple[RunHistogram, ...]:
        """What it shows."""
        return (self.charge, self.occupancy)

    def fill(self, rng: np.random.Generator, pileup_ratio: float) -> None:
        """One lumisection."""
        self.charge.add(rng.poisson(self._mean_charges * pileup_ratio))
        self.occupancy.add(rng.poisson(self._mean_hits * pileup_ratio * self.hot_factor))


class MuonSystem:
    """Hits by chamber."""

    def __init__(self) -> None:
        sectors = RegularAxis("sector", geometry.MUON_SECTORS, 0.5, 12.5)
        rings = RegularAxis("ring", geometry.MUON_RINGS, 0.5, 8.5)
        self.occupancy = CountHistogram("MUON/occupancy", (sectors, rings))
        rng = np.random.default_rng(_GEOMETRY_SEED + 2)
        by_ring = np.array([1.0, 0.7, 0.55, 0.5, 0.5, 0.55, 0.7, 1.0])
        self._mean_hits = CHAMBER_HITS * np.outer(1.0 + 0.05 * rng.standard_normal(geometry.MUON_SECTORS), by_ring)

    @property
    def histograms(self) -> tuple[RunHistogram, ...]:
        """What it shows."""
        return (self.occupancy,)

    def fill(self, rng: np.random.Generator, pileup_ratio: float) -> None:
        """One lumisection."""
        self.occupancy.add(rng.poisson(self._mean_hits * pileup_ratio))
