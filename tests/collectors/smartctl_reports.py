"""Reports of smartctl for tests."""

from __future__ import annotations

from typing import Any

from collectors.collector import Origin
from collectors.smartctl import SmartctlCollector, SmartctlOptions

TIME_S = 1_700_000_000


NOW_NS = (TIME_S + 60) * 1_000_000_000


def attribute(number: int, raw: Any, string: str = "", **fields: Any) -> dict[str, Any]:
    entry = {"id": number, "name": f"Attribute_{number}", "value": 100, "thresh": 10, "when_failed": "", "flags": {"prefailure": True}}
    return {**entry, "raw": {"value": raw, "string": string or str(raw)}, **fields}


def ata(serial: str = "A1", *attributes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "smartctl": {"exit_status": 0},
        "device": {"name": "/dev/sda", "protocol": "ATA"},
        "model_name": "DISK 4000/X",
        "serial_number": serial,
        "local_time": {"time_t": TIME_S},
        "smart_status": {"passed": True},
        "temperature": {"current": 30},
        "power_on_time": {"hours": 100},
        "ata_smart_attributes": {"table": list(attributes)},
        **fields,
    }


def collector(**options: Any) -> SmartctlCollector:
    return SmartctlCollector(Origin("disks", "T2/rack4", lambda: NOW_NS), SmartctlOptions.model_validate(options))
