"""What the simulated experiment DEMO is made of, and where each part lies in the tree of places.

Numbers follow a small collider detector: an electromagnetic barrel calorimeter of 34 x 72 trigger towers in 36
supermodules, a tracker of 96 modules in 6 layers, a muon system of 12 sectors x 8 rings, one high-voltage crate of
12 channels, 16 front-end drivers (FEDs) in 4 partitions, 6 disks on 3 nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

EXPERIMENT = "DEMO"
LUMISECTION_NS = 23_300_000_000
LUMISECTION_WALL_S = 0.2
SPEED = LUMISECTION_NS / 1e9 / LUMISECTION_WALL_S
"""Data time runs this much faster than wall time."""
FIRST_RUN = 382_711

TOWERS_ETA, TOWERS_PHI = 34, 72
SUPERMODULE_ETA, SUPERMODULE_PHI = 17, 4
SUPERMODULES_PER_SIDE = TOWERS_PHI // SUPERMODULE_PHI
TRACKER_LAYERS, MODULES_PER_LAYER = 6, 16
TRACKER_MODULES = TRACKER_LAYERS * MODULES_PER_LAYER
MUON_SECTORS, MUON_RINGS = 12, 8
DEAD_TOWERS = frozenset({(3, 11), (4, 11), (9, 58), (15, 33), (20, 4), (26, 47), (31, 69)})
"""Towers, as (eta, phi) indices of the map, that have been dead for years: they are normal."""

ECAL_PLACE = f"{EXPERIMENT}/ECAL"
BARREL_PLACE = f"{ECAL_PLACE}/EB"
TRACKER_PLACE = f"{EXPERIMENT}/TRACKER"
MUON_PLACE = f"{EXPERIMENT}/MUON"
DAQ_PLACE = f"{EXPERIMENT}/DAQ"
HV_PLACE = f"{EXPERIMENT}/HV"
COMPUTING_PLACE = f"{EXPERIMENT}/COMPUTING"
CONDITIONS_PLACE = f"{EXPERIMENT}/CONDITIONS"

CRATE = "crate1"


@dataclass(frozen=True, slots=True)
class Supermodule:
    """17 x 4 towers of the barrel calorimeter on one side ("+" or "-"), numbered from 1 along phi."""

    side: str
    number: int

    @property
    def place(self) -> str:
        """Its place in the tree."""
        return f"{BARREL_PLACE}/{self.name}"

    @property
    def name(self) -> str:
        """What a shifter calls it."""
        return f"EB{self.side}{self.number:02d}"

    @property
    def towers(self) -> tuple[slice, slice]:
        """Its towers in the (eta, phi) map."""
        first_eta = SUPERMODULE_ETA if self.side == "+" else 0
        first_phi = (self.number - 1) * SUPERMODULE_PHI
        return slice(first_eta, first_eta + SUPERMODULE_ETA), slice(first_phi, first_phi + SUPERMODULE_PHI)


SUPERMODULES = tuple(Supermodule(side, number) for side in "-+" for number in range(1, SUPERMODULES_PER_SIDE + 1))


def supermodule_of(eta: int, phi: int) -> Supermodule:
    """The supermodule of a tower; eta and phi are indices of the map."""
    return Supermodule("+" if eta >= SUPERMODULE_ETA else "-", phi // SUPERMODULE_PHI + 1)


@dataclass(frozen=True, slots=True)
class Fed:
    """A front-end driver: it reads one part of the detector and can hold up the trigger."""

    number: int
    partition: str

    @property
    def place(self) -> str:
        """Its place in the tree."""
        return f"{DAQ_PLACE}/{self.partition}/FED{self.number}"


PARTITIONS = ("EB-", "EB+", "TRACKER", "MUON")
_FIRST_FED = {"EB-": 610, "EB+": 630, "TRACKER": 50, "MUON": 830}
FEDS = tuple(Fed(_FIRST_FED[partition] + i, partition) for partition in PARTITIONS for i in range(4))


@dataclass(frozen=True, slots=True)
class HighVoltageChannel:
    """One channel of the crate. `supermodule` and `fed` are what it feeds, where that can be seen elsewhere."""

    number: int
    set_volts: float
    current_ua: float
    supermodule: Supermodule | None = None
    fed: Fed | None = None

    @property
    def name(self) -> str:
        """Its name in the crate ("ch03")."""
        return f"ch{self.number:02d}"

    @property
    def place(self) -> str:
        """Its place in the tree."""
        return f"{HV_PLACE}/{CRATE}/{self.name}"


def _channels() -> tuple[HighVoltageChannel, ...]:
    """Eight for one supermodule of each ECAL front end, four for demonstrator chambers that are not read out."""
    fed_supermodules = [Supermodule(side, number) for side in "-+" for number in (2, 6, 11, 15)]
    ecal_feds = [fed for fed in FEDS if fed.partition.startswith("EB")]
    pairs = zip(fed_supermodules, ecal_feds, strict=True)
    ecal = [HighVoltageChannel(i, 380.0 + 2.5 * (i % 4), 2.4 + 0.11 * i, sm, fed) for i, (sm, fed) in enumerate(pairs)]
    chambers = [HighVoltageChannel(8 + i, 3600.0, 8.0 + 0.4 * i) for i in range(4)]
    return (*ecal, *chambers)


CHANNELS = _channels()


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of a node, as smartctl shows it."""

    node: str
    device: str
    model: str
    serial: str
    protocol: str = "ATA"

    @property
    def name(self) -> str:
        """Its name in file names ("node01-sda")."""
        return f"{self.node}-{self.device}"

    @property
    def place(self) -> str:
        """Its place in the tree: a disk is known by model and serial number, because devices change their names."""
        return f"{COMPUTING_PLACE}/{self.node}/{self.model.replace(' ', '_')}-{self.serial}"


DISKS = (
    Disk("node01", "sda", "ST8000NM0055-1RM112", "ZA1DEM01"),
    Disk("node01", "sdb", "ST8000NM0055-1RM112", "ZA1DEM02"),
    Disk("node02", "sda", "HGST HMS5C4040BLE640", "PL1DEM03"),
    Disk("node02", "sdb", "HGST HMS5C4040BLE640", "PL1DEM04"),
    Disk("node03", "sda", "WDC WD40EFRX-68N32N0", "WCCDEM05"),
    Disk("node03", "nvme0", "SAMSUNG MZQLB1T9HAJR-00007", "S43DEM06", "NVMe"),
)


def tracker_module_place(module: int) -> str:
    """Place of a tracker module, counted from 0 over all layers."""
    layer, number = divmod(module, MODULES_PER_LAYER)
    return f"{TRACKER_PLACE}/L{layer + 1}/M{number + 1:02d}"


def tower_place(supermodule: Supermodule, eta: int, phi: int) -> str:
    """Place of one tower of the barrel; eta and phi are indices of the map."""
    return f"{supermodule.place}/tower{eta:02d}-{phi:02d}"
