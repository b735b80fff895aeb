"""The real reports of smartctl: what a person reads in a chosen dozen, and that all of them are read or rejected with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.collector import Rejected
from collectors.disks.disk_frames import Report
from collectors.disks.smartctl_report import parse
from collectors.frame import Frame
from tests.collectors.smartctl_reports import NOW_NS, collector


def values(document: Any) -> dict[str, float]:
    report = parse(document, NOW_NS)
    assert isinstance(report, Report)
    return {reading.attribute: reading.value for reading in report.readings}


ATA = {"smart_status": 1, "reallocated_sectors": 0, "crc_errors": 0, "failed_attributes": 0, "exit_status": 0, "power_mode": 0}
SPINNING = {**ATA, "read_errors": 0, "spin_retries": 0, "pending_sectors": 0, "offline_uncorrectable": 0}
SEAGATE = {**SPINNING, "seek_errors": 0, "reported_uncorrectable": 0, "command_timeouts": 0}
NVME = {
    "smart_status": 1,
    "critical_warning": 0,
    "media_errors": 0,
    "available_spare_threshold": 10,
    "unsafe_shutdowns": 0,
    "exit_status": 0,
    "power_mode": 0,
}
SAS = {"smart_status": 1, "read_uncorrected_errors": 0, "write_uncorrected_errors": 0, "exit_status": 0, "power_mode": 0}

GOLDEN: dict[str, dict[str, float]] = {
    "exporter-sat-Seagate_Exos_X16-ST16000NM001G-2KK103-sda.json": {
        **SEAGATE,
        "command_timeouts": 12,
        "temperature": 26,
        "airflow_temperature": 26,
        "power_on_hours": 13114,
        "prefail_margin": 3,
    },
    "exporter-sat-Seagate_Constellation_ES.3-ST3000NM0033-9ZM178-sdc.json": {
        **SEAGATE,
        "command_timeouts": 4,
        "reallocated_sectors": 1,
        "temperature": 22,
        "airflow_temperature": 22,
        "power_on_hours": 57744,
        "prefail_margin": 3,
    },
    "exporter-sat-Seagate_Enterprise_Capacity_3.5_HDD-ST10000NM0016-1TT101-sda.json": {
        **SEAGATE,
        "temperature": 25,
        "airflow_temperature": 25,
        "power_on_hours": 34013,
        "prefail_margin": 3,
    },
    "scrutiny-smart-fail2.json": {
        **SPINNING,
        "smart_status": 0,
        "reallocated_sectors": 1975,
        "reallocation_events": 3831,
        "pending_sectors": 8,
        "temperature": 25,
        "power_on_hours": 65592,
        "prefail_margin": -4,
        "failed_attributes": 1,
        "exit_status": 216,
    },
    "scrutiny-smart-megaraid1.json": {
        **SPINNING,
        "reallocated_sectors": 387,
        "reallocation_events": 9,
        "temperature": 36,
        "power_on_hours": 37788,
        "prefail_margin": 48,
        "exit_status": 4,
    },
    "exporter-HGST_HUS724020ALE640_28.json": {
        **SPINNING,
        "crc_errors": 12,
        "reallocation_events": 0,
        "temperature": 26,
        "power_on_hours": 83425,
        "prefail_margin": 33,
        "exit_status": 64,
    },
    "exporter-sat-Western_Digital_RE4-WDC_WD2003FYYS-02W0B1-sdi.json": {
        **SPINNING,
        "crc_errors": 3118119,
        "reallocation_events": 0,
        "temperature": 24,
        "power_on_hours": 58530,
        "prefail_margin": 60,
    },
    "exporter-sat-Phison_Driven_SSDs-KINGSTON_SKC400S371T-sda.json": {
        **ATA,
        "reallocated_sectors": 1,
        "reallocation_events": 1,
        "read_errors": 0,
        "reported_uncorrectable": 0,
        "temperature": 31,
        "power_on_hours": 54450,
        "prefail_margin": 39,
    },
    "exporter-sat-Intel_730_and_DC_S35x0_3610_3700_Series_SSDs-INTEL_SSDSC2BB240G6-sdf.json": {
        **ATA,
        "reported_uncorrectable": 0,
        "pending_sectors": 0,
        "temperature": 19,
        "airflow_temperature": 19,
        "power_on_hours": 67252,
        "prefail_margin": 10,
    },
    "scrutiny-smart-ata-failed-scrutiny.json": {
        **ATA,
        "crc_errors": 108,
        "reported_uncorrectable": 0,
        "temperature": 33,
        "power_on_hours": 19497,
        "prefail_margin": 90,
    },
    "exporter-nvme-null-INTEL_SSDPEDMD016T4-nvme0.json": {
        **NVME,
        "available_spare": 99,
        "percentage_used": 41,
        "temperature": 21,
        "power_on_hours": 57288,
    },
    "exporter-SAMSUNG_MZVL21T0HCLR-00B00_23.json": {
        **NVME,
        "available_spare": 100,
        "percentage_used": 16,
        "unsafe_shutdowns": 1,
        "temperature": 29,
        "power_on_hours": 10423,
    },
    "scrutiny-smart-nvme-failed.json": {
        **NVME,
        "media_errors": 7,
        "available_spare": 99,
        "percentage_used": 3,
        "unsafe_shutdowns": 10,
        "temperature": 35,
        "power_on_hours": 12798,
    },
    "exporter-SEAGATE_ST373453LC_26.json": {
        **SAS,
        "grown_defects": 260,
        "read_uncorrected_errors": 1,
        "write_uncorrected_errors": 535,
        "temperature": 33,
        "power_on_hours": 102880,
    },
    "scrutiny-smart-scsi2.json": {**SAS, "grown_defects": 0, "temperature": 31, "power_on_hours": 5675},
}
"""All that is read of them, as a person reads it in the files."""


@pytest.mark.data
@pytest.mark.parametrize("name", GOLDEN)
def test_real_reports_give_what_a_person_reads_in_them(data: Path, name: str) -> None:
    assert values(json.loads((data / "disk" / "smartctl" / name).read_bytes())) == GOLDEN[name]


SAY_NOTHING = {
    "scrutiny-smart-fail.json": "Smartctl open device: /dev/sda failed",
    "scrutiny-smart-pass.json": "no serial number",  # smartctl --health alone
    "scrutiny-smart-sat.json": "no serial number",  # a table of attributes without the disk it is of
    "scrutiny-smart-raid.json": "no health data in it (smartctl's exit status says command_failed)",  # a RAID controller's volume
    "scrutiny-smartctl_info_nvme.json": "no health data in it (smartctl --all gives them)",  # smartctl --info
    "scrutiny-smartctl_info_sata_smart_support_bool.json": "no health data in it (smartctl --all gives them)",
    "scrutiny-smartctl_info_sata_smart_support_object.json": "no health data in it (smartctl --all gives them)",
    "scrutiny-smartctl_scan_megaraid.json": "a list of devices (smartctl --scan)",
    "scrutiny-smartctl_scan_nvme.json": "a list of devices (smartctl --scan)",
    "scrutiny-smartctl_scan_simple.json": "a list of devices (smartctl --scan)",
}
"""Real answers of smartctl that tell nothing of a disk that could be named."""


@pytest.mark.data
def test_every_real_report_is_read_or_rejected_with_its_reason(data: Path) -> None:
    paths = sorted((data / "disk" / "smartctl").glob("*.json"))
    read, not_kept, rejected = 0, 0, {}
    for path in paths:
        (item,) = collector(files=str(path)).collect()
        if isinstance(item, Rejected):
            rejected[path.name] = item.reason
            continue
        assert isinstance(item, Frame)
        assert item.quality is None
        not_kept += int(np.isnan(item.values).sum())
        read += 1
    assert (len(paths), read) == (142, 132)
    assert not_kept == 1, "one disk has all bits of a count set"
    assert rejected.keys() == SAY_NOTHING.keys()
    assert {name: reason for name, reason in rejected.items() if SAY_NOTHING[name] not in reason} == {}
