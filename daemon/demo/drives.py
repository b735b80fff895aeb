"""Disks of the computing nodes and the JSON that `smartctl --json --all` prints for them."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from daemon.demo.geometry import DISKS, Disk

FAILING_ATTRIBUTES = (5, 187, 197, 198)
"""Reallocated, reported uncorrectable, pending and offline-uncorrectable sectors: the counters that foretell failure."""

_NAMES = {
    1: "Raw_Read_Error_Rate",
    5: "Reallocated_Sector_Ct",
    9: "Power_On_Hours",
    187: "Reported_Uncorrect",
    188: "Command_Timeout",
    194: "Temperature_Celsius",
    197: "Current_Pending_Sector",
    198: "Offline_Uncorrectable",
    199: "UDMA_CRC_Error_Count",
}
_THRESHOLDS = {1: 44, 5: 10}


class Drive:
    """One disk: its error counters, age and temperature."""

    def __init__(self, disk: Disk, age_hours: int) -> None:
        self.disk = disk
        self.errors = dict.fromkeys(FAILING_ATTRIBUTES, 0)
        self._age_hours = age_hours
        self._temperature_c = 34

    def remap(self) -> None:
        """The bad sectors are written anew and so replaced by spare ones; what was reported stays in the record."""
        self.errors[5] += self.errors[197]
        self.errors[197] = self.errors[198] = 0

    def advance(self, rng: np.random.Generator) -> None:
        """The temperature wanders a little."""
        self._temperature_c = int(np.clip(self._temperature_c + rng.integers(-1, 2), 32, 37))

    def smartctl(self, time_ns: int, hours_since_start: float) -> dict[str, Any]:
        """What smartctl shows at this time."""
        hours = self._age_hours + int(hours_since_start)
        ata = self.disk.protocol == "ATA"
        shown = self._header(time_ns, 0x40 if ata and self.errors[187] else 0)
        shown |= {"power_on_time": {"hours": hours}, "power_cycle_count": 12, "temperature": {"current": self._temperature_c}}
        return shown | (self._ata(hours) if ata else self._nvme(hours))

    def _header(self, time_ns: int, exit_status: int) -> dict[str, Any]:
        seconds = time_ns // 1_000_000_000
        kind = "sat" if self.disk.protocol == "ATA" else "nvme"
        device = f"/dev/{self.disk.device}"
        asctime = datetime.fromtimestamp(seconds, UTC).strftime("%a %b %e %H:%M:%S %Y UTC")
        return {
            "json_format_version": [1, 0],
            "smartctl": {"version": [7, 3], "argv": ["smartctl", "--json", "--all", device], "exit_status": exit_status},
            "local_time": {"time_t": seconds, "asctime": asctime},
            "device": {"name": device, "info_name": f"{device} [{kind}]", "type": kind, "protocol": self.disk.protocol},
            "model_name": self.disk.model,
            "serial_number": self.disk.serial,
            "smart_status": {"passed": True},
        }

    def _ata(self, hours: int) -> dict[str, Any]:
        raw = {1: 0, 9: hours, 188: 0, 194: self._temperature_c, 199: 0} | self.errors
        table = [
            {
                "id": number,
                "name": _NAMES[number],
                "value": 100,
                "worst": 100,
                "thresh": _THRESHOLDS.get(number, 0),
                "when_failed": "",
                "raw": {"value": raw[number], "string": str(raw[number])},
            }
            for number in sorted(raw)
        ]
        return {"rotation_rate": 7200, "ata_smart_attributes": {"revision": 16, "table": table}}

    def _nvme(self, hours: int) -> dict[str, Any]:
        log = {"critical_warning": 0, "temperature": self._temperature_c, "available_spare": 100, "available_spare_threshold": 10}
        log |= {"percentage_used": 2, "power_on_hours": hours, "unsafe_shutdowns": 1, "media_errors": 0, "num_err_log_entries": 0}
        return {"nvme_smart_health_information_log": log}


class Drives:
    """All disks of the nodes."""

    def __init__(self, start_ns: int, rng: np.random.Generator) -> None:
        self.drives = tuple(Drive(disk, 9_000 + 1_700 * i) for i, disk in enumerate(DISKS))
        self._start_ns = start_ns
        self._rng = rng

    def write(self, folder: Path, time_ns: int) -> None:
        """Replaces one file a disk (node01-sda.json), each at once and with `time_ns` as its time of modification."""
        hours = (time_ns - self._start_ns) / 3.6e12
        for drive in self.drives:
            drive.advance(self._rng)
            path = folder / f"{drive.disk.name}.json"
            temporary = path.with_name(f".{path.name}.new")
            temporary.write_text(json.dumps(drive.smartctl(time_ns, hours), indent=2), encoding="utf-8")
            os.utime(temporary, ns=(time_ns, time_ns))
            temporary.replace(path)
