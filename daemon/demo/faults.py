"""Faults that can be put into the simulated experiment, each with what a good shifter would say about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from daemon.demo import geometry
from daemon.demo.drives import FAILING_ATTRIBUTES
from daemon.demo.experiment import Experiment

ECAL, TRACKER, HV, DAQ, COMPUTING = "ECAL", "TRACKER", "HV", "DAQ", "COMPUTING"


class Fault(ABC):
    """One thing that breaks. Where it strikes is drawn when it is made.

    places: where its effects are seen. cause: the place that is to blame where effects are seen elsewhere too, or None.
    subsystems: the parts of the experiment it touches, so that faults in turn can be kept apart.
    """

    kind: ClassVar[str]
    slow: ClassVar[bool] = False
    """It needs a long time to show and is alone in its part of the experiment: it may lie beside others."""
    subsystems: frozenset[str]
    places: tuple[str, ...]
    cause: str | None = None
    sentence: str

    def inject(self, experiment: Experiment) -> None:
        """The fault begins; it acts on the next lumisection."""
        self._apply(experiment, 0)

    def progress(self, experiment: Experiment, age: int) -> None:
        """Called before each further lumisection while it lasts; `age` is 1 for the second."""
        self._apply(experiment, age)

    def clear(self, experiment: Experiment) -> None:
        """Somebody repairs it."""
        self._apply(experiment, None)

    @abstractmethod
    def _apply(self, experiment: Experiment, age: int | None) -> None:
        """What is broken after so many lumisections; None makes it whole."""


class DeadRegion(Fault):
    """A readout unit of 5 x 4 towers in a supermodule sends nothing, with its high voltage on."""

    kind = "dead region"

    def __init__(self, rng: np.random.Generator) -> None:
        powered_elsewhere = [sm for sm in geometry.SUPERMODULES if all(sm != channel.supermodule for channel in geometry.CHANNELS)]
        supermodule = powered_elsewhere[rng.integers(len(powered_elsewhere))]
        eta, phi = supermodule.towers
        first = eta.start + int(rng.integers(geometry.SUPERMODULE_ETA - 4))
        self._towers = (slice(first, first + 5), phi)
        self.subsystems = frozenset({ECAL})
        self.places = (supermodule.place,)
        self.sentence = f"dead region of 5 x 4 towers in {supermodule.name}"

    def _apply(self, experiment: Experiment, age: int | None) -> None:
        experiment.calorimeter.efficiency[self._towers] = 1.0 if age is None else 0.0


class HotTower(Fault):
    """One tower of the calorimeter fires eight times as often as it should."""

    kind = "hot channel"

    def __init__(self, rng: np.random.Generator) -> None:
        alive = [tower for tower in np.ndindex(geometry.TOWERS_ETA, geometry.TOWERS_PHI) if tower not in geometry.DEAD_TOWERS]
        self._tower = alive[rng.integers(len(alive))]
        supermodule = geometry.supermodule_of(*self._tower)
        self.subsystems = frozenset({ECAL})
        self.places = (geometry.tower_place(supermodule, *self._tower),)
        self.sentence = f"hot tower in {supermodule.name}, 8 times its usual hits"

    def _apply(self, experiment: Experiment, age: int | None) -> None:
        experiment.calorimeter.hot_factor[self._tower] = 1.0 if age is None else 8.0


class HotModule(Fault):
    """One module of the tracker fires three times as often as it should."""

    kind = "hot channel"

    def __init__(self, rng: np.random.Generator) -> None:
        self._module = int(rng.integers(geometry.TRACKER_MODULES))
        place = geometry.tracker_module_place(self._module)
        self.subsystems = frozenset({TRACKER})
        self.places = (place,)
        self.sentence = f"hot module {place.removeprefix(geometry.TRACKER_PLACE + '/')}, 3 times its usual hits"

    def _apply(self, experiment: Experiment, age: int | None) -> None:
        experiment.tracker.hot_factor[self._module] = 1.0 if age is None else 3.0


class MovedPeak(Fault):
    """The energy scale of the calorimeter is off by two per cent: the Z peak sits 1.8 GeV too low."""

    kind = "moved peak"
    sentence = "energy scale 2 % low, the Z peak moves by 1.8 GeV"

    def __init__(self, rng: np.random.Generator) -> None:  # noqa: ARG002 (every fault is made the same way)
        self.subsystems = frozenset({ECAL})
        self.places = (geometry.ECAL_PLACE,)

    def _apply(self, experiment: Experiment, age: int | None) -> None:
        experiment.calorimeter.energy_scale = 1.0 if age is None else 0.98


class ChamberTrip(Fault):
    """A high-voltage channel trips that feeds nothing seen elsewhere."""

    kind = "high-voltage trip"

    def __init__(self, rng: np.random.Generator) -> None:
        alone = [channel for channel in geometry.CHANNELS if channel.fed is None]
        channel = alone[rng.integers(len(alone))]
        self._number = channel.number
        self.subsystems = frozenset({HV})
        self.places = (channel.place,)
        self.sentence = f"{geometry.CRATE} {channel.name} trips; nothing that is read out hangs on it"

    def _apply(self, experiment: Experiment, age: int | None) -> None:
        if age is None:
            experiment.crate.recover(self._number)
        elif age == 0:
            experiment.crate.trip(self._number)


class CurrentDrift(Fault):
    """The leakage current of a channel creeps up to 1.6 times its value without a trip."""

    kind = "current drift"
    _STEP, _LARGEST = 0.05, 1.6

    def __init__(self, rng: np.random.Generator) -> None:
        channel = geometry.CHANNELS[rng.integers(len(geometry.CHANNELS))]
        self._number = channel.number
        self.subsystems = frozenset({HV})
        self.places = (channel.place,)
        self.sentence = f"current of {geometry.CRATE} {channel.name} creeps up, no trip"

    def _apply(self, experiment: Experiment, age: int | None) -> None:
        experiment.crate.leakage[self._number] = 1.0 if age is None else min(1.0 + self._STEP * (age + 1), self._LARGEST)


class FailingDisk(Fault):
    """A disk reallocates sectors and can no longer read some, more and more, until they are written anew."""

    kind = "failing disk"
    slow = True
    _EVERY = 5
    _GROWTH: ClassVar[dict[int, int]] = dict(zip(FAILING_ATTRIBUTES, (8, 1, 3, 2), strict=True))

    def __init__(self, rng: np.random.Generator) -> None:
        spinning = [i for i, disk in enumerate(geometry.DISKS) if disk.protocol == "ATA"]
        self._number = spinning[rng.integers(len(spinning))]
        disk = geometry.DISKS[self._number]
        self.subsystems = frozenset({COMPUTING})
        self.places = (disk.place,)
        self.sentence = f"{disk.node} {disk.device} loses sectors"

    def _apply(self, experiment: Experiment, age: int | None) -> None:
        drive = experiment.drives.drives[self._number]
        if age is None:
            drive.remap()
        elif age % self._EVERY == 0:
            for attribute, growth in self._GROWTH.items():
                drive.errors[attribute] += growth


class BusyFrontEnd(Fault):
    """One front-end driver holds up the trigger for 30 % of the time."""

    kind = "dead-time"

    def __init__(self, rng: np.random.Generator) -> None:
        others = [i for i, fed in enumerate(geometry.FEDS) if not fed.partition.startswith("EB")]
        self._number = others[rng.integers(len(others))]
        fed = geometry.FEDS[self._number]
        self.subsystems = frozenset({DAQ})
        self.places = (fed.place,)
        self.sentence = f"FED {fed.number} of {fed.partition} is busy 30 % of the time"

    def _apply(self, experiment: Experiment, age: int | None) -> None:
        experiment.daq.extra_busy[self._number] = 0.0 if age is None else 0.30


class SupermoduleTrip(Fault):
    """A high-voltage channel trips, its supermodule goes dead and the front end that reads it becomes busy: one incident."""

    kind = "high-voltage trip with victims"

    def __init__(self, rng: np.random.Generator) -> None:
        feeding = [channel for channel in geometry.CHANNELS if channel.fed is not None]
        channel = feeding[rng.integers(len(feeding))]
        assert channel.supermodule is not None
        assert channel.fed is not None
        self._number = channel.number
        self.subsystems = frozenset({HV, ECAL, DAQ})
        self.places = (channel.place, channel.supermodule.place, channel.fed.place)
        self.cause = channel.place
        self.sentence = f"{geometry.CRATE} {channel.name} trips: {channel.supermodule.name} dead, FED {channel.fed.number} busy"

    def _apply(self, experiment: Experiment, age: int | None) -> None:
        if age is None:
            experiment.crate.recover(self._number)
        elif age == 0:
            experiment.crate.trip(self._number)
