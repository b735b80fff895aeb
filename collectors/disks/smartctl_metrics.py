"""What the metrics of smartctl_exporter say of each disk.

Names of the metrics: https://github.com/prometheus-community/smartctl_exporter (metrics.go, smartctl.go).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from collectors.disks.disk_attributes import (
    CRITICAL_WARNINGS,
    EXIT_BITS,
    HEALTH,
    NO_REPORT_BITS,
    POWER_MODES,
    AtaAttribute,
    Reading,
    ata_readings,
    celsius,
    checked,
    is_seagate,
    status_word,
)
from collectors.disks.disk_frames import Report
from collectors.fetched.prometheus_text import Series
from collectors.frame import Kind

_PREFIX = "smartctl_"
_INFO = "device"
_ATTRIBUTE = "device_attribute"
_TEMPERATURE = "device_temperature"
_EXIT_STATUS = "device_smartctl_exit_status"
_STATUS = "device_smart_status"
_HOURS = "device_power_on_seconds"
_STATE = "device_state"
_WARNING = "device_critical_warning"
_COUNTS = {
    "device_media_errors": ("media_errors", "1"),
    "device_percentage_used": ("percentage_used", "%"),
    "device_available_spare": ("available_spare", "%"),
    "device_available_spare_threshold": ("available_spare_threshold", "%"),
    "scsi_grown_defect_list": ("grown_defects", "1"),
    "read_total_uncorrected_errors": ("read_uncorrected_errors", "1"),
    "write_total_uncorrected_errors": ("write_uncorrected_errors", "1"),
}
_POWER_MODES = {1: POWER_MODES.index("STANDBY"), 2: POWER_MODES.index("SLEEP")}
"""Of smartctl_device_state, which is ATA's SCT device state; all others are active."""
_USED = {_INFO, _ATTRIBUTE, _TEMPERATURE, _EXIT_STATUS, _STATUS, _HOURS, _STATE, _WARNING, *_COUNTS}
_OWN_LABELS = {
    *("interface", "protocol", "model_family", "model_name", "serial_number", "ata_additional_product_id", "firmware_version"),
    *("ata_version", "sata_version", "form_factor", "scsi_vendor", "scsi_product", "scsi_revision", "scsi_version"),
    *("attribute_flags_long", "attribute_flags_short", "attribute_id", "attribute_name", "attribute_value_type", "temperature_type"),
}
"""Labels that the exporter sets beside the device; all others are those of a server that asked several exporters."""

Key = tuple[tuple[str, str], ...]
"""What one device's metrics have in common: the device, and the labels of its host where a server added any."""


class Where(NamedTuple):
    """What a series is about; `metric` is "" where it is of no use here."""

    key: Key
    metric: str
    labels: Mapping[str, str]


_UNWANTED = Where((), "", {})


@dataclass(slots=True)
class Device:
    """All metrics of one device."""

    labels: Mapping[str, str] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)
    attributes: dict[int, dict[str, Any]] = field(default_factory=dict)
    prefailure: set[int] = field(default_factory=set)

    def take(self, where: Where, value: Any) -> None:  # noqa: ANN401 - a number, or whatever stands in its place
        """Takes one metric."""
        labels = where.labels
        if where.metric == _INFO:
            self.labels = labels
        elif where.metric == _ATTRIBUTE:
            number = labels.get("attribute_id", "")
            if number.isdecimal() and labels.get("attribute_name") != "Not_In_Use":
                self.attributes.setdefault(int(number), {})[labels.get("attribute_value_type", "")] = value
                if "prefailure" in labels.get("attribute_flags_long", ""):
                    self.prefailure.add(int(number))
        elif where.metric == _TEMPERATURE:
            self.numbers[f"{_TEMPERATURE}:{labels.get('temperature_type', '')}"] = value
        else:
            self.numbers[where.metric] = value


class UselessError(ValueError):
    """A device that nothing can be learnt about; says why."""


def where_of(series: Series) -> Where:
    """What a series is about; one of the exporter's that is of no use here has no key."""
    if not series.metric.startswith(_PREFIX):
        return _UNWANTED
    metric = series.metric.removeprefix(_PREFIX)
    labels = dict(series.labels)
    if metric not in _USED or "device" not in labels:
        return Where((), metric, {})
    return Where(tuple((name, value) for name, value in series.labels if name not in _OWN_LABELS), metric, labels)


def report_of(device: Device, time_ns: int) -> Report:
    """What is told of a device. Raises UselessError."""
    serial, model = device.labels.get("serial_number", "").strip(), _model(device.labels)
    exit_status = device.numbers.get(_EXIT_STATUS)
    if isinstance(exit_status, int) and exit_status & NO_REPORT_BITS:
        shown = ", ".join(name for bit, name in enumerate(EXIT_BITS) if exit_status >> bit & 1)
        raise UselessError(f"smartctl could not read it, or it sleeps (exit status {exit_status}: {shown})")
    if not serial:
        raise UselessError("no serial number: it cannot be told which disk it is")
    readings = [*_common(device), *_ata(device, model), *_nvme_and_scsi(device)]
    if not readings:
        raise UselessError("no health data of it")
    if exit_status is not None:
        readings.append(status_word("exit_status", exit_status, EXIT_BITS))
    mode = _POWER_MODES.get(device.numbers.get(_STATE, 0), 0)
    readings.append(Reading("power_mode", "", Kind.STATE, float(mode), POWER_MODES))
    return Report(serial, model, time_ns, tuple(readings))


def _common(device: Device) -> Iterator[Reading]:
    passed = device.numbers.get(_STATUS)
    if passed is not None:
        yield checked("smart_status", "", bool(passed) if passed in (0, 1) else None, states=HEALTH, shown=passed)
    temperature = device.numbers.get(f"{_TEMPERATURE}:current")
    if temperature is not None and (temperature, device.numbers.get(f"{_TEMPERATURE}:drive_trip")) != (0, 0):  # volumes report 0 of 0
        yield celsius("temperature", temperature)
    seconds = device.numbers.get(_HOURS)
    if seconds is not None:
        hours = seconds // 3600 if isinstance(seconds, int) else seconds
        yield checked("power_on_hours", "h", hours, kind=Kind.COUNTER)


def _ata(device: Device, model: str) -> Iterator[Reading]:
    if not device.attributes:
        return
    table = [
        AtaAttribute(
            number,
            entry.get("raw"),
            value=entry.get("value"),
            threshold=entry.get("thresh"),
            is_prefailure=number in device.prefailure,
        )
        for number, entry in device.attributes.items()
    ]
    has_temperature = any(name.startswith(_TEMPERATURE) for name in device.numbers)
    has_hours = _HOURS in device.numbers
    seagate = is_seagate(model, device.labels.get("model_family", ""))
    yield from ata_readings(table, seagate=seagate, has_temperature=has_temperature, has_hours=has_hours)


def _nvme_and_scsi(device: Device) -> Iterator[Reading]:
    """Counts of both. Where the disk's log was not read the exporter shows zeros, but then neither temperature nor hours."""
    if _HOURS not in device.numbers and not any(name.startswith(_TEMPERATURE) for name in device.numbers):
        return
    if _WARNING in device.numbers:
        yield status_word("critical_warning", device.numbers[_WARNING], CRITICAL_WARNINGS)
    for metric, (attribute, unit) in _COUNTS.items():
        if metric in device.numbers:
            yield checked(attribute, unit, device.numbers[metric])


def _model(labels: Mapping[str, str]) -> str:
    """The exporter says "unknown" where the disk says nothing."""
    model = labels.get("model_name", "").strip()
    return model if model not in ("", "unknown") else labels.get("scsi_product", "").strip()


def spelled(key: Key) -> str:
    """A device's name, and that of its host where one is known."""
    return ", ".join(value if name == "device" else f"{name} {value}" for name, value in key)
