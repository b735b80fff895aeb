"""Health of disks as `smartctl --json` reports it, from files that a privileged timer writes or by running it."""

from __future__ import annotations

import glob
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field, StringConstraints, model_validator

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.disks.disk_frames import DiskFrames, Presence, Report
from collectors.disks.smartctl_report import Asleep, OpenFailedError, ReportError, parse
from collectors.patterns import Places, PlaceTemplates

MAX_REPORT_BYTES = 16_000_000
AHEAD_NS = 300_000_000_000
"""A file that was written further in the future, by a host whose clock is wrong, is taken to have been written now."""
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


class Seen(NamedTuple):
    """What was made of a report file or a device when it was read last, and when it was written or asked."""

    signature: tuple[int, int]
    result: Report | Asleep | Rejected
    at_ns: int
    is_gone: bool = False
    """The disk was not there to be asked."""


class SmartctlCollector:
    """Health of disks (ATA, NVMe, SAS) as `smartctl --json` tells it.

    One snapshot of all disks; channels are `SERIAL/attribute` at `<place>/MODEL-SERIAL`, so that a device that changes its
    name changes nothing. Counts that vendors pack are taken apart (Seagate's 1, 7 and 188). `exit_status` has smartctl's exit
    status as named bits: with `command_line` or `open_failed` there is no report, all others are information about the disk.
    A sleeping disk is left asleep and its readings are muted. A report that says nothing (a USB bridge that lets nothing
    through, a disk that cannot be opened) is rejected with its reason.

    A disk that has gone keeps its channels as disconnected, and its channel `SERIAL/presence` is not shown any more: that is
    a finding unless the source has `watch_vanished = false`. A disk has gone where its file has gone or smartctl cannot open
    it, and also where it gave no new report for `report_max_age_s`.

    Without privileges, read files that a timer writes (deploy/systemd: shiftwatch-smartctl.timer).

    Example:
        [source.disks]
        collector = "smartctl"
        period_s = 600
        place = "T2_X/rack4"
        files = "/run/shiftwatch-smartctl/*.json"

    """

    options_model: ClassVar[type[Options]] = SmartctlOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: SmartctlOptions) -> None:
        self._origin = origin
        self._options = options
        self._places = Places("", options.places)
        self._frames = DiskFrames(origin.source, origin.place)
        self._origins: dict[str, str] = {}
        self._seen: dict[str, Seen] = {}
        self._newest_ns = 0

    def collect(self) -> Iterator[Collected]:
        """A frame of all disks whenever a report is new or one has gone; reports that say nothing are rejected."""
        before = self._seen
        self._seen = dict(self._ask_devices() if self._options.devices else self._read_files(before))
        fresh = [origin for origin, seen in self._seen.items() if seen is not before.get(origin)]
        for origin in fresh:
            result = self._seen[origin].result
            if isinstance(result, Rejected):
                yield result
            elif isinstance(result, Report):
                yield from _problems(origin, result)
        if fresh or before.keys() - self._seen.keys():
            yield from self._snapshot(fresh)

    def close(self) -> None:
        """Nothing stays open between two calls."""

    def _snapshot(self, fresh: list[str]) -> Iterator[Collected]:
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
            self._origins[serial] = origin
            self._frames.remember(report, self._places.of(origin))
        self._newest_ns = self._time_ns(fresh)
        known = {serial: report for serial, (_, report) in reports.items()}
        absent = {serial: self._presence(serial) for serial in self._frames.serials if serial not in known}
        stale_ns = int(self._options.report_max_age_s * 1e9)
        frame = self._frames.frame(self._newest_ns, known, absent, stale_ns)
        if frame is not None:
            yield frame

    def _time_ns(self, fresh: list[str]) -> int:
        """When the newest of the new reports was written.

        Where only older ones are new, or none is because a file has gone, it is the time of reading: each snapshot is later than the
        one before, or nobody would look at it.
        """
        results = [self._seen[origin].result for origin in fresh]
        told_ns = max((result.time_ns for result in results if isinstance(result, Report)), default=0)
        if told_ns <= self._newest_ns:
            told_ns = max((self._seen[origin].at_ns for origin in fresh), default=0)
        if told_ns <= self._newest_ns:
            told_ns = self._origin.now_ns()
        return max(told_ns, self._newest_ns + 1)

    def _presence(self, serial: str) -> Presence:
        """How a disk is there that has no report."""
        seen = self._seen.get(self._origins[serial])
        if seen is None or seen.is_gone or isinstance(seen.result, Report):  # that is another disk now
            return Presence.GONE
        return Presence.ASLEEP if isinstance(seen.result, Asleep) else Presence.SILENT

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
                now_ns = self._origin.now_ns()
                written_ns = status.st_mtime_ns if status.st_mtime_ns <= now_ns + AHEAD_NS else now_ns
                yield path, _parsed(path, Path(path).read_bytes(), written_ns, signature)
            except OSError as error:
                yield path, Seen(signature, Rejected(path, error.strerror or str(error)), self._origin.now_ns())

    def _ask_devices(self) -> Iterator[tuple[str, Seen]]:
        for device in self._options.devices:
            path, _, kind = device.partition("@")
            arguments = [*self._options.command, *([f"--device={kind}"] if kind else []), path]
            timeout_s = self._options.command_timeout_s
            try:
                answer = subprocess.run(  # noqa: S603 - a fixed list of arguments, no shell, devices checked by their pattern
                    arguments, capture_output=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL
                )
                yield device, _parsed(device, answer.stdout, self._origin.now_ns())
            except subprocess.TimeoutExpired:
                yield device, Seen((0, 0), Rejected(device, f"no answer within {timeout_s:g} s"), self._origin.now_ns())
            except OSError as error:
                raise CollectError(f"{arguments[0]}: {error.strerror or error}") from None


def _parsed(origin: str, content: bytes, time_ns: int, signature: tuple[int, int] = (0, 0)) -> Seen:
    """What is made of `content`, which was written or read at `time_ns`."""
    try:
        return Seen(signature, parse(json.loads(content), time_ns), time_ns)
    except ReportError as error:
        return Seen(signature, Rejected(origin, str(error), content), time_ns, is_gone=isinstance(error, OpenFailedError))
    except (ValueError, RecursionError) as error:
        reason = f"not JSON: {error}" if content.strip() else "it is empty"
        return Seen(signature, Rejected(origin, reason, content), time_ns)


def _problems(origin: str, report: Report) -> Iterator[Rejected]:
    for reading in report.readings:
        if reading.problem:
            yield Rejected(f"{origin}: {report.serial}/{reading.attribute}", reading.problem)
