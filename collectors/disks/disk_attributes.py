"""What is known of a disk's health, in the same words whoever tells it: smartctl, an exporter, or a recorded table.

Numbers of ATA attributes and how vendors pack them into 48 bits: smartmontools' drivedb.h (formats raw16(raw16), raw24(raw8),
raw24/raw32, tempminmax). Attributes that foretell failures: Backblaze's 5, 187, 188, 197, 198, and the link's and spin's own counters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from collectors.frame import Kind

ATA_COUNTS: Mapping[int, str] = MappingProxyType(
    {
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
)
"""ATA attributes by number whose raw value is a count of errors, whoever made the disk."""
SEEK_ERROR_RATE = 7
SEEK_ERRORS = "seek_errors"
"""Attribute 7 of Seagate's disks alone: others leave the rate's meaning to themselves."""
POWER_ON_TIME, AIRFLOW_TEMPERATURE, TEMPERATURE = 9, 190, 194

EXIT_BITS = (
    "command_line",
    "open_failed",
    "command_failed",
    "disk_failing",
    "prefail_below_threshold",
    "below_threshold_in_past",
    "error_log",
    "self_test_log",
)
"""Bits of smartctl's exit status, lowest first (smartctl(8), EXIT STATUS)."""
NO_REPORT_BITS = 0b11
"""With one of these smartctl has not read the disk; all others tell of a disk that it has read."""

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
HEALTH = ("FAILED", "PASSED")
"""The disk's own verdict."""

_SAMSUNG = re.compile(r"ST\d+[DL][LM]\d+ H")  # "ST1000LM024 HN-M101MBB": drivedb.h, Seagate Samsung SpinPoint
_LEADING_COUNT = re.compile(r"(\d+)(?!x)")
_TEMPERATURES = range(-60, 200)
_UNUSED = (0xFFFFFFFF, 0xFFFFFFFFFFFF)  # all bits set: the drive does not keep this count
_THRESHOLDS, _NORMALIZED = range(1, 0xFE), range(1, 0xFE)  # 0, 254 and 255 have meanings of their own


class Reading(NamedTuple):
    """One number of a disk. `problem` says why it cannot be true; the value is then NaN."""

    attribute: str
    unit: str
    kind: Kind
    value: float
    states: tuple[str, ...] = ()
    problem: str = ""


class AtaAttribute(NamedTuple):
    """One row of a disk's table of attributes. What is not known is None; `shown` is smartctl's spelling of the raw value, or ""."""

    number: int
    raw: Any
    shown: str = ""
    value: Any = None
    threshold: Any = None
    is_prefailure: bool = False
    is_failed: bool | None = None


def is_seagate(model: str, family: str = "") -> bool:
    """Whether a disk packs its raw values as Seagate does. Samsung's, which it sold under numbers of its own, do not."""
    if _SAMSUNG.match(model) or "Samsung" in family:
        return False
    return family.startswith("Seagate") or model.startswith("Seagate") or re.match(r"ST\d", model) is not None


def ata_readings(table: Sequence[AtaAttribute], *, seagate: bool, has_temperature: bool, has_hours: bool) -> Iterator[Reading]:
    """Error counts, margin and failures of a table of attributes, and of it what the report does not tell elsewhere."""
    attributes = {entry.number: entry for entry in table}
    counts = {**ATA_COUNTS, SEEK_ERROR_RATE: SEEK_ERRORS} if seagate else ATA_COUNTS
    for number, name in counts.items():
        if number in attributes:
            yield checked(name, "1", _count(attributes[number], seagate=seagate), shown=attributes[number].raw)
    temperature = attributes.get(TEMPERATURE) or attributes.get(AIRFLOW_TEMPERATURE)
    if not has_temperature and temperature is not None:
        yield celsius("temperature", _degrees(temperature))
    if AIRFLOW_TEMPERATURE in attributes and TEMPERATURE in attributes:
        yield celsius("airflow_temperature", _degrees(attributes[AIRFLOW_TEMPERATURE]))
    if not has_hours and POWER_ON_TIME in attributes:
        yield checked("power_on_hours", "h", _hours(attributes[POWER_ON_TIME]), kind=Kind.COUNTER, shown=attributes[POWER_ON_TIME].raw)
    guarded = [e for e in attributes.values() if e.is_prefailure and is_count(e.value) and is_count(e.threshold) and e.threshold]
    if guarded:
        yield Reading("prefail_margin", "1", Kind.GAUGE, float(min(e.value - e.threshold for e in guarded)))
    yield Reading("failed_attributes", "1", Kind.GAUGE, float(sum(_has_failed(entry) for entry in attributes.values())))


def unpacked(number: int, raw: int, *, seagate: bool) -> int:
    """The count in the 48 bits of an attribute's raw value."""
    if seagate and number in (1, SEEK_ERROR_RATE):
        return raw >> 32  # errors above, how often was read or sought below (drivedb.h: 1,raw24/raw32)
    if number in (5, 188, 196) and raw > 0xFFFF:
        return raw & 0xFFFF  # three words, the count of all is the lowest (raw16(raw16), and Seagate's time-outs)
    if number == POWER_ON_TIME:
        return raw & 0xFFFFFF  # above are minutes or milliseconds
    return raw


def checked(
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
    if (states and isinstance(value, bool)) or (not states and is_count(value)):
        return Reading(attribute, unit, kind, float(value), states)
    return Reading(attribute, unit, kind, math.nan, states, f"{value if shown is None else shown!r:.60} is not a count")


def celsius(attribute: str, value: Any) -> Reading:  # noqa: ANN401 - judged here
    """A reading of a temperature."""
    if isinstance(value, int) and not isinstance(value, bool) and value in _TEMPERATURES:
        return Reading(attribute, "degC", Kind.GAUGE, float(value))
    return Reading(attribute, "degC", Kind.GAUGE, math.nan, problem=f"{value!r:.60} is no temperature")


def status_word(attribute: str, value: Any, names: tuple[str, ...]) -> Reading:  # noqa: ANN401 - judged here
    """A reading of eight bits."""
    if is_count(value) and value < 256:
        return Reading(attribute, "", Kind.BITS, float(value), names)
    return Reading(attribute, "", Kind.BITS, math.nan, names, f"{value!r:.60} is no status word")


def is_count(value: object) -> bool:
    """Whether it is a whole number that can have been counted."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**128


def _count(entry: AtaAttribute, *, seagate: bool) -> Any:  # noqa: ANN401 - judged by the caller
    """The formatting of smartctl puts the count first ("34013 (105 34 0)", "0/239307048"), but for three bare words ("0 0 12")."""
    is_packed = entry.number == 188 or (seagate and entry.number in (1, SEEK_ERROR_RATE) and "/" not in entry.shown)
    if not is_packed and entry.shown != str(entry.raw) and (match := _LEADING_COUNT.match(entry.shown)):
        return int(match[1])
    return unpacked(entry.number, entry.raw, seagate=seagate) if is_count(entry.raw) else entry.raw


def _degrees(entry: AtaAttribute) -> Any:  # noqa: ANN401 - judged by the caller
    """The temperature of now; above it are often the lowest and the highest ("26 (Min/Max 13/41)")."""
    if match := _LEADING_COUNT.match(entry.shown):
        return int(match[1])
    return entry.raw & 0xFF if is_count(entry.raw) and entry.raw > 0xFFFF else entry.raw


def _hours(entry: AtaAttribute) -> Any:  # noqa: ANN401 - judged by the caller
    if match := _LEADING_COUNT.match(entry.shown):
        return int(match[1])
    return unpacked(POWER_ON_TIME, entry.raw, seagate=False) if is_count(entry.raw) else entry.raw


def _has_failed(entry: AtaAttribute) -> bool:
    if entry.is_failed is not None:
        return entry.is_failed
    return entry.value in _NORMALIZED and entry.threshold in _THRESHOLDS and entry.value <= entry.threshold
