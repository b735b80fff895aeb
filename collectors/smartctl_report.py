"""Reads one report of `smartctl --json`: what it says of a disk's health, in the same words for ATA, NVMe and SCSI.

Meaning of the fields: smartctl(8) and the JSON that smartmontools 7 writes (https://www.smartmontools.org). Attributes that
predict failures: Backblaze's 5, 187, 188, 197, 198, and the link's and spin's own counters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from collectors.frame import Kind

ATA_COUNTS = {
    1: "read_errors",
    5: "reallocated_sectors",
    10: "spin_retries",
    187: "reported_uncorrectable",
    188: "command_timeouts",
    196: "reallocation_events",
    197: "pending_sectors",
    198: "offline_uncorrectable",
    199: "crc_errors",
}
"""ATA attributes by number whose raw value is a count of errors."""

EXIT_BITS = (
    "command_line",
    "device_open",
    "smart_command",
    "disk_failing",
    "prefail_below_threshold",
    "attribute_below_threshold_in_past",
    "error_log",
    "self_test_log",
)
"""Bits of smartctl's exit status, lowest first (smartctl(8), EXIT STATUS)."""

CRITICAL_WARNINGS = (
    "spare_below_threshold",
    "temperature",
    "reliability_degraded",
    "read_only",
    "volatile_backup_failed",
    "persistent_memory_unreliable",
)
"""Bits of NVMe's critical warning, lowest first (NVM Express base specification, SMART / health information log)."""

POWER_MODES = ("ACTIVE", "IDLE", "STANDBY", "SLEEP")
_STANDBY = re.compile(r"Device is in (\w+) mode")
_LEADING_COUNT = re.compile(r"(\d+)(?!x)")
_EARLIEST_S = 946_684_800  # 2000
_LATEST_AHEAD_S = 86_400
_TEMPERATURES = range(-60, 200)
_UNUSED = (0xFFFFFFFF, 0xFFFFFFFFFFFF)  # all bits set: the drive does not keep this count


class ReportError(ValueError):
    """A report from which nothing can be learnt; says why."""


class Asleep(NamedTuple):
    """A disk that was left asleep, in this mode: not a failure."""

    mode: str


class Reading(NamedTuple):
    """One number of a disk. `problem` says why it cannot be true; the value is then NaN."""

    attribute: str
    unit: str
    kind: Kind
    value: float
    states: tuple[str, ...] = ()
    problem: str = ""


class Report(NamedTuple):
    """What one report says, and when smartctl wrote it."""

    serial: str
    model: str
    time_ns: int
    readings: tuple[Reading, ...]


def parse(document: Any, received_ns: int) -> Report | Asleep:  # noqa: ANN401 - whatever a JSON file holds
    """The health of the disk a report is about. Raises ReportError.

    `received_ns` is its time where the report names none that can be true.
    """
    if not isinstance(document, dict):
        raise ReportError("not a report of smartctl")
    if "devices" in document and "device" not in document:
        raise ReportError("a list of devices (smartctl --scan), not a report about one")
    serial, model = _text(document, "serial_number"), _model(document)
    if (mode := _sleep_mode(document)) is not None:
        return Asleep(mode)
    if not serial:
        raise ReportError(_message(document) or "no serial number: it cannot be told which disk it is")
    readings = [reading for part in (_common, _ata, _nvme, _scsi) for reading in part(document)]
    if not readings:
        raise ReportError(_message(document) or "no health data in it (smartctl --all gives them)")
    exit_status = _dictionary(document, "smartctl").get("exit_status")
    if exit_status is not None:
        readings.append(_bits("exit_status", exit_status, EXIT_BITS))
    readings.append(Reading("power_mode", "", Kind.STATE, float(_power_mode(document)), POWER_MODES))
    return Report(serial, model, _time_ns(document, received_ns), tuple(readings))


def _common(document: Mapping[str, Any]) -> Iterator[Reading]:
    passed = _dictionary(document, "smart_status").get("passed")
    if passed is not None:
        yield _checked("smart_status", "", passed if isinstance(passed, bool) else None, states=("FAILED", "PASSED"), shown=passed)
    temperature = _dictionary(document, "temperature")
    if "current" in temperature and (temperature["current"], temperature.get("drive_trip")) != (0, 0):  # volumes report 0 of 0
        yield _temperature("temperature", temperature["current"])
    hours = _dictionary(document, "power_on_time").get("hours")
    if hours is not None:
        yield _checked("power_on_hours", "h", hours, kind=Kind.COUNTER)
    endurance = _dictionary(document, "endurance_used").get("current_percent")
    if endurance is not None and "nvme_smart_health_information_log" not in document:
        yield _checked("percentage_used", "%", endurance)


def _ata(document: Mapping[str, Any]) -> Iterator[Reading]:
    table = _dictionary(document, "ata_smart_attributes").get("table")
    if not isinstance(table, list):
        return
    entries = [entry for entry in table if isinstance(entry, dict) and isinstance(entry.get("id"), int)]
    attributes = {entry["id"]: entry for entry in entries if entry.get("name") != "Not_In_Use"}
    is_seagate = _text(document, "model_family").startswith("Seagate") or re.match(r"ST\d", _model(document)) is not None
    for number, name in ATA_COUNTS.items():
        if number in attributes:
            yield _checked(name, "1", _ata_count(number, attributes[number], is_seagate=is_seagate), shown=attributes[number].get("raw"))
    if "temperature" not in document and (entry := attributes.get(194) or attributes.get(190)):
        yield _temperature("temperature", _raw_count(entry))
    if 190 in attributes and 194 in attributes:
        yield _temperature("airflow_temperature", _raw_count(attributes[190]))
    if "power_on_time" not in document and 9 in attributes:
        yield _checked("power_on_hours", "h", _raw_count(attributes[9]), kind=Kind.COUNTER, shown=attributes[9].get("raw"))
    margins = [
        entry["value"] - entry["thresh"]
        for entry in attributes.values()
        if _dictionary(entry, "flags").get("prefailure")
        and _is_count(entry.get("value"))
        and _is_count(entry.get("thresh"))
        and entry["thresh"]
    ]
    if margins:
        yield Reading("prefail_margin", "1", Kind.GAUGE, float(min(margins)))
    failed = sum(entry.get("when_failed") == "now" for entry in attributes.values())
    yield Reading("failed_attributes", "1", Kind.GAUGE, float(failed))


def _raw_count(entry: Mapping[str, Any]) -> Any:  # noqa: ANN401 - judged by the caller
    """The count of an attribute: smartctl's own formatting puts it first ("34013 (105 34 0)", "0/239307048")."""
    raw = _dictionary(entry, "raw")
    match = _LEADING_COUNT.match(_text(raw, "string"))
    return int(match[1]) if match else raw.get("value")


def _ata_count(number: int, entry: Mapping[str, Any], *, is_seagate: bool) -> Any:  # noqa: ANN401 - judged by the caller
    count = _raw_count(entry)
    if not _is_count(count):
        return count
    if number == 188:
        return count & 0xFFFF if count > 0xFFFF else count  # three counts in 48 bits, the one of all time-outs lowest
    if number == 1 and is_seagate and "/" not in _text(_dictionary(entry, "raw"), "string"):
        return count >> 32  # errors above, the number of reads below (smartmontools: 1,raw24/raw32)
    return count


def _nvme(document: Mapping[str, Any]) -> Iterator[Reading]:
    log = _dictionary(document, "nvme_smart_health_information_log")
    if "critical_warning" in log:
        yield _bits("critical_warning", log["critical_warning"], CRITICAL_WARNINGS)
    for name, unit in (("media_errors", "1"), ("percentage_used", "%"), ("available_spare", "%"), ("available_spare_threshold", "%")):
        if name in log:
            yield _checked(name, unit, log[name])
    if "unsafe_shutdowns" in log:
        yield _checked("unsafe_shutdowns", "1", log["unsafe_shutdowns"], kind=Kind.COUNTER)


def _scsi(document: Mapping[str, Any]) -> Iterator[Reading]:
    if "scsi_grown_defect_list" in document:
        yield _checked("grown_defects", "1", document["scsi_grown_defect_list"])
    log = _dictionary(document, "scsi_error_counter_log")
    for direction in ("read", "write", "verify"):
        if "total_uncorrected_errors" in (counters := _dictionary(log, direction)):
            yield _checked(f"{direction}_uncorrected_errors", "1", counters["total_uncorrected_errors"])


def _checked(
    attribute: str,
    unit: str,
    value: Any,  # noqa: ANN401 - this is where it is judged
    *,
    kind: Kind = Kind.GAUGE,
    states: tuple[str, ...] = (),
    shown: Any = None,  # noqa: ANN401 - as above
) -> Reading:
    """A reading of a count or a state; NaN with the problem where the report holds something else."""
    kind = Kind.STATE if states else kind
    if not states and value in _UNUSED:
        return Reading(attribute, unit, kind, math.nan)
    if (states and isinstance(value, bool)) or (not states and _is_count(value)):
        return Reading(attribute, unit, kind, float(value), states)
    return Reading(attribute, unit, kind, math.nan, states, f"{value if shown is None else shown!r:.60} is not a count")


def _temperature(attribute: str, value: Any) -> Reading:  # noqa: ANN401 - judged here
    if isinstance(value, int) and not isinstance(value, bool) and value in _TEMPERATURES:
        return Reading(attribute, "degC", Kind.GAUGE, float(value))
    return Reading(attribute, "degC", Kind.GAUGE, math.nan, problem=f"{value!r:.60} is no temperature")


def _bits(attribute: str, value: Any, names: tuple[str, ...]) -> Reading:  # noqa: ANN401 - judged here
    if _is_count(value) and value < 256:
        return Reading(attribute, "", Kind.BITS, float(value), names)
    return Reading(attribute, "", Kind.BITS, math.nan, names, f"{value!r:.60} is no status word")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**128


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
    return next((match[1] for text in _messages(document) if (match := _STANDBY.search(text))), None)


def _power_mode(document: Mapping[str, Any]) -> int:
    name = _text(_dictionary(document, "power_mode"), "name")
    return next((i for i in range(len(POWER_MODES) - 1, 0, -1) if name.startswith(POWER_MODES[i])), 0)


def _time_ns(document: Mapping[str, Any], received_ns: int) -> int:
    seconds = _dictionary(document, "local_time").get("time_t")
    if isinstance(seconds, int) and _EARLIEST_S <= seconds <= received_ns // 1_000_000_000 + _LATEST_AHEAD_S:
        return seconds * 1_000_000_000
    return received_ns
