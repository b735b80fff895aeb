"""Reads one report of `smartctl --json`: what it says of a disk's health, in the same words for ATA, NVMe and SCSI.

Meaning of the fields: smartctl(8) and the JSON that smartmontools 7 writes (https://www.smartmontools.org).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
from collectors.frame import Kind

_STANDBY = re.compile(r"Device is in ((?:STANDBY|SLEEP|IDLE)\w*)(?: \(OS\))? mode, exit")
_EARLIEST_S = 946_684_800  # 2000
_LATEST_AHEAD_S = 300  # of a host whose clock is wrong: others are compared with the newest report, and would count as gone
_NOT_UNDERSTOOD = "smartctl was called in a way that it does not understand"
_NOT_OPENED = "smartctl could not open the disk or did not get its identity"


class ReportError(ValueError):
    """A report from which nothing can be learnt; says why."""


class OpenFailedError(ReportError):
    """The disk was not there to be read (bit 1 of smartctl's exit status)."""


class Asleep(NamedTuple):
    """A disk that was left asleep, in this mode: not a failure."""

    mode: str


def parse(document: Any, received_ns: int) -> Report | Asleep:  # noqa: ANN401 - whatever a JSON file holds
    """The health of the disk a report is about. Raises ReportError.

    `received_ns` is its time where the report names none that can be true.
    """
    if not isinstance(document, dict):
        raise ReportError("not a report of smartctl")
    if "devices" in document and "device" not in document:
        raise ReportError("a list of devices (smartctl --scan), not a report about one")
    if (mode := _sleep_mode(document)) is not None:
        return Asleep(mode)
    exit_status = _dictionary(document, "smartctl").get("exit_status")
    if isinstance(exit_status, int) and exit_status & NO_REPORT_BITS:
        if exit_status & 1:
            raise ReportError(_message(document) or _NOT_UNDERSTOOD)
        raise OpenFailedError(_message(document) or _NOT_OPENED)
    serial, model = _text(document, "serial_number"), _model(document)
    if not serial:
        raise ReportError(_message(document) or "no serial number: it cannot be told which disk it is")
    readings = [reading for part in (_common, _ata, _nvme, _scsi) for reading in part(document)]
    if not readings:
        raise ReportError(_message(document) or f"no health data in it ({_why(exit_status)})")
    if exit_status is not None:
        readings.append(status_word("exit_status", exit_status, EXIT_BITS))
    readings.append(Reading("power_mode", "", Kind.STATE, float(_power_mode(document)), POWER_MODES))
    return Report(serial, model, _time_ns(document, received_ns), tuple(readings))


def _why(exit_status: object) -> str:
    """What may be the reason for a report without health data."""
    if not isinstance(exit_status, int) or not exit_status:
        return "smartctl --all gives them"
    return f"smartctl's exit status says {', '.join(name for bit, name in enumerate(EXIT_BITS) if exit_status >> bit & 1)}"


def _common(document: Mapping[str, Any]) -> Iterator[Reading]:
    passed = _dictionary(document, "smart_status").get("passed")
    if passed is not None:
        yield checked("smart_status", "", passed if isinstance(passed, bool) else None, states=HEALTH, shown=passed)
    temperature = _dictionary(document, "temperature")
    if "current" in temperature and (temperature["current"], temperature.get("drive_trip")) != (0, 0):  # volumes report 0 of 0
        yield celsius("temperature", temperature["current"])
    hours = _dictionary(document, "power_on_time").get("hours")
    if hours is not None:
        yield checked("power_on_hours", "h", hours, kind=Kind.COUNTER)
    endurance = _dictionary(document, "endurance_used").get("current_percent")
    if endurance is not None and "nvme_smart_health_information_log" not in document:
        yield checked("percentage_used", "%", endurance)


def _ata(document: Mapping[str, Any]) -> Iterator[Reading]:
    table = _dictionary(document, "ata_smart_attributes").get("table")
    if not isinstance(table, list):
        return
    entries = [entry for entry in table if isinstance(entry, dict) and isinstance(entry.get("id"), int)]
    attributes = [_attribute(entry) for entry in entries if entry.get("name") != "Not_In_Use"]
    seagate = is_seagate(_model(document), _text(document, "model_family"))
    has_temperature, has_hours = "temperature" in document, "power_on_time" in document
    yield from ata_readings(attributes, seagate=seagate, has_temperature=has_temperature, has_hours=has_hours)


def _attribute(entry: Mapping[str, Any]) -> AtaAttribute:
    raw = _dictionary(entry, "raw")
    is_prefailure = bool(_dictionary(entry, "flags").get("prefailure"))
    is_failed = entry.get("when_failed") == "now"
    return AtaAttribute(
        entry["id"], raw.get("value"), _text(raw, "string"), entry.get("value"), entry.get("thresh"), is_prefailure, is_failed
    )


def _nvme(document: Mapping[str, Any]) -> Iterator[Reading]:
    log = _dictionary(document, "nvme_smart_health_information_log")
    if "critical_warning" in log:
        yield status_word("critical_warning", log["critical_warning"], CRITICAL_WARNINGS)
    for name, unit in (("media_errors", "1"), ("percentage_used", "%"), ("available_spare", "%"), ("available_spare_threshold", "%")):
        if name in log:
            yield checked(name, unit, log[name])
    if "unsafe_shutdowns" in log:
        yield checked("unsafe_shutdowns", "1", log["unsafe_shutdowns"], kind=Kind.COUNTER)


def _scsi(document: Mapping[str, Any]) -> Iterator[Reading]:
    if "scsi_grown_defect_list" in document:
        yield checked("grown_defects", "1", document["scsi_grown_defect_list"])
    log = _dictionary(document, "scsi_error_counter_log")
    for direction in ("read", "write", "verify"):
        if "total_uncorrected_errors" in (counters := _dictionary(log, direction)):
            yield checked(f"{direction}_uncorrected_errors", "1", counters["total_uncorrected_errors"])


def _dictionary(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _text(document: Mapping[str, Any], name: str) -> str:
    found = document.get(name)
    return found.strip() if isinstance(found, str) else ""


def _model(document: Mapping[str, Any]) -> str:
    return _text(document, "model_name") or _text(document, "scsi_model_name") or _text(document, "scsi_product")


def _messages(document: Mapping[str, Any]) -> Iterator[str]:
    messages = _dictionary(document, "smartctl").get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and isinstance(message.get("string"), str):
            yield message["string"]


def _message(document: Mapping[str, Any]) -> str:
    return next(_messages(document), "")


def _sleep_mode(document: Mapping[str, Any]) -> str | None:
    """The mode of a disk that smartctl did not wake up (`--nocheck`): the report ends with that."""
    if told := next((match[1] for text in _messages(document) if (match := _STANDBY.search(text))), None):
        return told
    exit_status, mode = _dictionary(document, "smartctl").get("exit_status"), _power_mode(document)
    return POWER_MODES[mode] if mode and isinstance(exit_status, int) and exit_status & NO_REPORT_BITS else None


def _power_mode(document: Mapping[str, Any]) -> int:
    name = _text(_dictionary(document, "power_mode"), "name")
    return next((i for i in range(len(POWER_MODES) - 1, 0, -1) if name.startswith(POWER_MODES[i])), 0)


def _time_ns(document: Mapping[str, Any], received_ns: int) -> int:
    seconds = _dictionary(document, "local_time").get("time_t")
    if isinstance(seconds, int) and _EARLIEST_S <= seconds <= received_ns // 1_000_000_000 + _LATEST_AHEAD_S:
        return seconds * 1_000_000_000
    return received_ns
