"""Snapshots of disks from reports about each of them: serial numbers are identity, and what has gone is still shown as gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from collectors.disks.disk_attributes import POWER_MODES, Reading
from collectors.frame import Channel, Frame, Kind, Quality
from collectors.patterns import join_place
from collectors.snapshot import SnapshotFrames


class Presence(IntEnum):
    """How a disk is there. The channel of it is shown only as long as the disk has not gone."""

    PRESENT = 0
    ASLEEP = 1
    SILENT = 2
    """Asked, and nothing came of it that could be used."""
    GONE = 3


PRESENCES = tuple(presence.name for presence in Presence if presence is not Presence.GONE)
_QUALITY = {Presence.ASLEEP: Quality.MUTED, Presence.SILENT: Quality.DISCONNECTED, Presence.GONE: Quality.DISCONNECTED}


class Report(NamedTuple):
    """What one report says of a disk, and when it was written."""

    serial: str
    model: str
    time_ns: int
    readings: tuple[Reading, ...]


@dataclass(slots=True)
class Disk:
    """A disk that was seen at least once: its channels by attribute stay, so that one that vanishes is noticed."""

    place: str
    heard_ns: int
    channels: dict[str, Channel]


class DiskFrames:
    """Makes frames of one row of all disks ever seen; channels are `SERIAL/attribute` at `<place>/<below>/MODEL-SERIAL`.

    Of a disk that sleeps all readings are muted: nothing judges them, and nobody is told that they are missing. Of one that
    cannot be read they are disconnected. A disk that has gone keeps its channels, so that what was found of it stands; only
    `SERIAL/presence` is not shown any more, which the framework reports (`watch_vanished`).
    """

    def __init__(self, source: str, place: str) -> None:
        self._place = place
        self._snapshots = SnapshotFrames(source)
        self._disks: dict[str, Disk] = {}

    def __contains__(self, serial: object) -> bool:
        return serial in self._disks

    @property
    def serials(self) -> tuple[str, ...]:
        """All disks ever seen."""
        return tuple(self._disks)

    def heard_ns(self, serial: str) -> int:
        """When the disk was last reported on."""
        return self._disks[serial].heard_ns

    def remember(self, report: Report, below: str = "") -> None:
        """Takes note of a disk; `below` is its place below the source's, above the disk."""
        place = join_place(self._place, below, step(f"{report.model}-{report.serial}"))
        disk = self._disks.get(report.serial)
        if disk is None or disk.place != place:
            disk = self._disks[report.serial] = Disk(place, 0, {} if disk is None else _moved(disk.channels, place))
        disk.heard_ns = report.time_ns
        presence = Reading("presence", "", Kind.STATE, 0.0, PRESENCES)
        for reading in (*report.readings, presence):
            if reading.attribute not in disk.channels:
                name = f"{report.serial}/{reading.attribute}"
                disk.channels[reading.attribute] = Channel(name, reading.attribute, reading.unit, reading.kind, place, reading.states)

    def frame(self, time_ns: int, reports: Mapping[str, Report], presences: Mapping[str, Presence], stale_ns: int = 0) -> Frame | None:
        """One snapshot; None before the first disk was seen.

        `reports`: of the disks that have one. `presences`: how the others are there, and those whose report is not their last
        word; a disk in neither has gone. A report that is that much older than the newest one is stale (0: never), and its disk has
        gone, as has one that has been silent for so long.
        """
        values: dict[str, float] = {}
        bad: dict[str, Quality] = {}
        shown: list[Channel] = []
        newest_ns = max((report.time_ns for report in reports.values()), default=time_ns)
        for serial, disk in self._disks.items():
            report = reports.get(serial)
            is_stale = bool(stale_ns) and (time_ns if report is None else newest_ns) - disk.heard_ns > stale_ns
            presence = presences.get(serial, Presence.GONE if report is None else Presence.PRESENT)
            if is_stale and presence in (Presence.PRESENT, Presence.SILENT):
                presence = Presence.GONE
            _fill(serial, disk, None if serial in presences else report, presence, values, bad, is_stale=is_stale)
            gone = presence is Presence.GONE
            shown += [channel for attribute, channel in disk.channels.items() if not (gone and attribute == "presence")]
        return self._snapshots.frame(time_ns, shown, values, bad) if self._disks else None


def _fill(
    serial: str,
    disk: Disk,
    report: Report | None,
    presence: Presence,
    values: dict[str, float],
    bad: dict[str, Quality],
    *,
    is_stale: bool,
) -> None:
    """Values and qualities of one disk."""
    if report is None:
        bad.update((channel.name, _QUALITY[presence]) for channel in disk.channels.values())
    for reading in report.readings if report is not None else ():
        name = f"{serial}/{reading.attribute}"
        values[name] = reading.value
        if is_stale or reading.problem:
            bad[name] = Quality.STALE if is_stale else Quality.INVALID
    told = {"presence": float(presence)}
    if presence is Presence.ASLEEP:
        told["power_mode"] = float(POWER_MODES.index("STANDBY"))
    for attribute, value in told.items():
        if attribute in disk.channels and presence is not Presence.GONE:
            values[f"{serial}/{attribute}"] = value
            bad.pop(f"{serial}/{attribute}", None)


def step(text: str) -> str:
    """One step of a place."""
    return "_".join(text.replace("/", "_").split())


def _moved(channels: Mapping[str, Channel], place: str) -> dict[str, Channel]:
    return {a: Channel(c.name, c.quantity, c.unit, c.kind, place, c.states) for a, c in channels.items()}
