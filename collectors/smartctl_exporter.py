"""Health of disks as prometheus-community's smartctl_exporter shows it, in the words of the smartctl collector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.disks.disk_frames import DiskFrames, Presence, Report
from collectors.disks.smartctl_metrics import Device, Key, UselessError, Where, report_of, spelled, where_of
from collectors.fetched.http_options import HttpOptions
from collectors.fetched.prometheus_exposition import Exposition, Expositions
from collectors.fetched.prometheus_text import Families, Malformed, samples
from collectors.patterns import join_place

_REPORTED_LINES = 20


class SmartctlExporterOptions(HttpOptions):
    """Where the exporter is, and who may read it."""

    url: str
    """http://HOST:9633/metrics, a Prometheus server's /federate address, or file://."""
    place_labels: tuple[str, ...] = ()
    """Labels whose values are the place below the source's, above the disk, where one address shows several hosts: ["instance"]."""


class SmartctlExporterCollector:
    """Health of disks from smartctl_exporter (Prometheus), with the channels of the smartctl collector.

    Channels are `SERIAL/attribute` at `<place>/MODEL-SERIAL`, so that limits, states and `disk_forecast` need not know who
    asked the disk. Raw values are taken apart here (Seagate's 1, 7 and 188), because the exporter passes them on packed.
    `exit_status` has smartctl's exit status as named bits; with `command_line` or `open_failed` there is nothing to read.

    The exporter leaves out a disk that has died, and goes on as if it had never been there. Here its channels stay, as
    disconnected, and `SERIAL/presence` is not shown any more: that is a finding unless the source has
    `watch_vanished = false`. While a disk sleeps or does not answer, the exporter repeats what it said last and does not tell
    so; it does not show the age of its readings, an ATA disk's endurance, unsafe shutdowns, and self-tests' results.

    Example:
        [source.disks]
        collector = "smartctl_exporter"
        period_s = 60
        place = "T2_X/rack4/node17"
        url = "http://127.0.0.1:9633/metrics"

    """

    options_model: ClassVar[type[Options]] = SmartctlExporterOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: SmartctlExporterOptions) -> None:
        self._options = options
        self._expositions = Expositions(options, origin.now_ns)
        self._frames = DiskFrames(origin.source, origin.place)
        self._serials: dict[Key, str] = {}
        self._known: dict[str, Where] = {}

    def collect(self) -> Iterator[Collected]:
        """One snapshot of all disks ever shown; devices and lines that cannot be used are rejected. Raises CollectError."""
        exposition = self._expositions.newest()
        if exposition is None:
            return
        address = self._expositions.address
        devices, malformed, lines = self._devices(exposition)
        if not lines:
            reason = f"line {malformed[0].line}: {malformed[0].reason}" if malformed else "there are none"
            raise CollectError(f"{address}: not a single metric of smartctl_exporter; {reason}")
        yield from _told(address, malformed)
        reports: dict[str, Report] = {}
        presences: dict[str, Presence] = {}
        for key, device in sorted(devices.items()):
            try:
                report = report_of(device, exposition.time_ns)
            except UselessError as error:
                yield Rejected(f"{address}: {spelled(key)}", str(error))
                if key in self._serials:
                    presences[self._serials[key]] = Presence.SILENT
                continue
            if (other := reports.get(report.serial)) is not None:
                if other.model != report.model:
                    yield Rejected(f"{address}: {spelled(key)}", f"serial number {report.serial} is also that of a {other.model}")
                continue  # a disk with two paths is one disk
            reports[report.serial], self._serials[key] = report, report.serial
            self._frames.remember(report, join_place(*(dict(key).get(label, "") for label in self._options.place_labels)))
            yield from _problems(address, report)
        presences = {serial: presence for serial, presence in presences.items() if serial not in reports}
        frame = self._frames.frame(exposition.time_ns, reports, presences)
        if frame is not None:
            yield frame

    def close(self) -> None:
        """Ends the connection."""
        self._expositions.close()

    def _devices(self, exposition: Exposition) -> tuple[dict[Key, Device], list[Malformed], int]:
        """All devices that are shown, the lines that could not be read, and how many of all were the exporter's."""
        devices: dict[Key, Device] = {}
        malformed: list[Malformed] = []
        lines = 0
        text, is_openmetrics = exposition.text, exposition.is_openmetrics
        for item in samples(text, is_openmetrics=is_openmetrics, families=Families(), known=self._known, describe=where_of):
            if isinstance(item, Malformed):
                malformed.append(item)
                continue
            where, sample = item
            if not where.metric:
                continue
            lines += 1
            if sample.problem:
                malformed.append(Malformed(sample.line, f"{where.metric} of {spelled(where.key)}", sample.problem))
            if where.key:
                devices.setdefault(where.key, Device()).take(where, int(sample.value) if sample.value.is_integer() else sample.value)
        if exposition.cut_line:
            malformed.append(Malformed(text.count("\n") + 1, exposition.cut_line, "ends in the middle of a line"))
        if len(self._known) > 2 * text.count("\n") + 1000:  # series that come and go are not kept for ever
            self._known = {}
        return devices, malformed, lines


def _told(address: str, malformed: Sequence[Malformed]) -> Iterator[Rejected]:
    for bad in malformed[:_REPORTED_LINES]:
        yield Rejected(f"{address} line {bad.line}", bad.reason, bad.text.encode())
    if len(malformed) > _REPORTED_LINES:
        yield Rejected(address, f"{len(malformed) - _REPORTED_LINES} more lines could not be used")


def _problems(address: str, report: Report) -> Iterator[Rejected]:
    for reading in report.readings:
        if reading.problem:
            yield Rejected(f"{address}: {report.serial}/{reading.attribute}", reading.problem)
