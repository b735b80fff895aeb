"""Health of disks as `smartctl --json` reports it, from files that a privileged timer writes or by running it."""

from __future__ import annotations

import glob
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field, StringConstraints, model_validator

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.frame import Channel, Quality
from collectors.patterns import Places, PlaceTemplates, join_place
from collectors.smartctl_report import POWER_MODES, Asleep, Report, ReportError, parse
from collectors.snapshot import SnapshotFrames

MAX_REPORT_BYTES = 16_000_000
Device = Annotated[str, StringConstraints(pattern=r"^/dev/[A-Za-z0-9/_.:-]+(@[A-Za-z0-9+,_/-]+)?$")]
"""A device, with the type smartctl needs for it after an @: "/dev/bus/0@megaraid,4"."""


class SmartctlOptions(Options):
    """Where the reports come from. Reading files needs no privilege; running smartctl does."""

    files: str = ""
    """Glob of report files, one a disk ("/var/lib/smartctl/*.json")."""
    devices: tuple[Device, ...] = ()
    """Instead of files: devices to ask with `command`, one after the other."""
    command: tuple[str, ...] = Field(default=("smartctl", "--json", "--all", "--nocheck=standby"), min_length=1)
    """Run without a shell, with the device as last argument; sleeping disks are not woken up."""
    command_timeout_s: float = Field(default=10.0, gt=0)
    """For each device."""
    places: PlaceTemplates = Field(default_factory=dict)
    """Pattern on the report's path or device = place below the source's, above the disk: { "*/node*-*.json" = "node{1}" }."""
    report_max_age_s: float = Field(default=7200.0, gt=0)
    """A disk whose report is that much older than the newest one is stale."""

    @model_validator(mode="after")
    def _one_source(self) -> SmartctlOptions:
        if bool(self.files) == bool(self.devices):
            raise ValueError("give either `files` or `devices`")
        return self


@dataclass(slots=True)
class Disk:
    """A disk that was seen at least once: its columns stay, so that one that vanishes is noticed."""

    model: str
    channels: dict[str, Channel]
    origin: str


class Seen(NamedTuple):
    """What was made of a report file or a device when it was read last."""

    signature: tuple[int, int]
    result: Report | Asleep | Rejected


class SmartctlCollector:
    """One snapshot of all disks; channels are `SERIAL/attribute`, so that a device that changes its name changes nothing.

    A disk lies at `<place>/MODEL-SERIAL`. One in standby is stale, one that cannot be opened any more is disconnected.

    Example:
        [source.disks]
        collector = "smartctl"
        period_s = 600
        place = "T2_X/rack4"
        files = "/var/lib/smartctl/*.json"

    """

    options_model: ClassVar[type[Options]] = SmartctlOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: SmartctlOptions) -> None:
        self._origin = origin
        self._options = options
        self._places = Places("", options.places)
        self._snapshots = SnapshotFrames(origin.source)
        self._disks: dict[str, Disk] = {}
        self._seen: dict[str, Seen] = {}
        self._newest_ns = 0

    def collect(self) -> Iterator[Collected]:
        """A frame of all disks whenever a report is new or one has gone; reports that say nothing are rejected."""
        before = self._seen
        self._seen = dict(self._ask_devices() if self._options.devices else self._read_files(before))
        for origin, seen in self._seen.items():
            if seen is before.get(origin):
                continue
            if isinstance(seen.result, Rejected):
                yield seen.result
            elif isinstance(seen.result, Report):
                yield from _problems(origin, seen.result)
        if any(seen is not before.get(origin) for origin, seen in self._seen.items()) or before.keys() != self._seen.keys():
            yield from self._snapshot()

    def close(self) -> None:
        """Nothing stays open between two calls."""

    def _snapshot(self) -> Iterator[Collected]:
        reports: dict[str, tuple[str, Report]] = {}
        for origin, seen in sorted(self._seen.items()):
            if not isinstance(seen.result, Report):
                continue
            report, other = seen.result, reports.get(seen.result.serial)
            if other is not None and other[1].model != report.model:
                yield Rejected(origin, f"serial number {report.serial} is also that of a {other[1].model} in {other[0]}")
            elif other is None or other[1].time_ns <= report.time_ns:
                reports[report.serial] = origin, report
        for serial, (origin, report) in reports.items():
            self._remember(serial, origin, report)
        if not self._disks:
            return
        # the disk with the newest report may be the one that has gone: time does not go back then
        newest_ns = self._newest_ns = max([self._newest_ns, *(report.time_ns for _, report in reports.values())])
        values: dict[str, float] = {}
        bad: dict[str, Quality] = {}
        for serial, disk in self._disks.items():
            if serial in reports:
                self._fill(serial, reports[serial][1], newest_ns, values, bad)
            else:
                self._fill_absent(serial, disk, values, bad)
        channels = [channel for disk in self._disks.values() for channel in disk.channels.values()]
        yield self._snapshots.frame(newest_ns, channels, values, bad)

    def _remember(self, serial: str, origin: str, report: Report) -> None:
        disk = self._disks.setdefault(serial, Disk(report.model, {}, origin))
        disk.origin = origin
        place = join_place(self._origin.place, self._places.of(origin), _step(f"{report.model}-{serial}"))
        for reading in report.readings:
            name = f"{serial}/{reading.attribute}"
            if name not in disk.channels or disk.channels[name].place != place:
                disk.channels[name] = Channel(name, reading.attribute, reading.unit, reading.kind, place, reading.states)

    def _fill(self, serial: str, report: Report, newest_ns: int, values: dict[str, float], bad: dict[str, Quality]) -> None:
        """Values and qualities of a disk that was reported on."""
        is_stale = newest_ns - report.time_ns > self._options.report_max_age_s * 1e9
        for reading in report.readings:
            name = f"{serial}/{reading.attribute}"
            values[name] = reading.value
            if is_stale or reading.problem:
                bad[name] = Quality.STALE if is_stale else Quality.INVALID

    def _fill_absent(self, serial: str, disk: Disk, values: dict[str, float], bad: dict[str, Quality]) -> None:
        """The same of a disk that sleeps or that is not there any more."""
        seen = self._seen.get(disk.origin)
        is_asleep = seen is not None and isinstance(seen.result, Asleep)
        bad.update(dict.fromkeys(disk.channels, Quality.STALE if is_asleep else Quality.DISCONNECTED))
        name = f"{serial}/power_mode"
        if is_asleep and name in disk.channels:
            values[name], bad[name] = float(POWER_MODES.index("STANDBY")), Quality.GOOD

    def _read_files(self, before: dict[str, Seen]) -> Iterator[tuple[str, Seen]]:
        paths = sorted(glob.glob(self._options.files, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not paths:
            raise CollectError(f"no file matches {self._options.files}")
        for path in paths:
            signature = (0, 0)
            try:
                status = Path(path).stat()
                signature = status.st_mtime_ns, status.st_size
                known = before.get(path)
                if known is not None and known.signature == signature:
                    yield path, known
                    continue
                if status.st_size > MAX_REPORT_BYTES:
                    raise OSError(0, f"a report of {status.st_size} bytes")
                yield path, Seen(signature, _parsed(path, Path(path).read_bytes(), status.st_mtime_ns))
            except OSError as error:
                yield path, Seen(signature, Rejected(path, error.strerror or str(error)))

    def _ask_devices(self) -> Iterator[tuple[str, Seen]]:
        for device in self._options.devices:
            path, _, kind = device.partition("@")
            arguments = [*self._options.command, *([f"--device={kind}"] if kind else []), path]
            timeout_s = self._options.command_timeout_s
            try:
                answer = subprocess.run(  # noqa: S603 - a fixed list of arguments, no shell, devices checked by their pattern
                    arguments, capture_output=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL
                )
                yield device, Seen((0, 0), _parsed(device, answer.stdout, self._origin.now_ns()))
            except subprocess.TimeoutExpired:
                yield device, Seen((0, 0), Rejected(device, f"no answer within {timeout_s:g} s"))
            except OSError as error:
                raise CollectError(f"{arguments[0]}: {error.strerror or error}") from None


def _parsed(origin: str, content: bytes, time_ns: int) -> Report | Asleep | Rejected:
    """The report in `content`, which was written or read at `time_ns`."""
    try:
        return parse(json.loads(content), time_ns)
    except ReportError as error:
        return Rejected(origin, str(error), content)
    except (ValueError, RecursionError) as error:
        return Rejected(origin, f"not JSON: {error}" if content.strip() else "it is empty", content)


def _problems(origin: str, report: Report) -> Iterator[Rejected]:
    for reading in report.readings:
        if reading.problem:
            yield Rejected(f"{origin}: {report.serial}/{reading.attribute}", reading.problem)


def _step(text: str) -> str:
    """One step of a place."""
    return "_".join(text.replace("/", "_").split())
