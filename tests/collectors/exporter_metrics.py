"""What smartctl_exporter shows of disks that smartctl reports on, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_FLAGS = ("prefailure", "updated_online", "performance", "error_rate", "event_count", "auto_keep")
_NVME = ("percentage_used", "available_spare", "available_spare_threshold", "critical_warning", "media_errors")


def metrics(*reports: dict[str, Any], **host: str) -> str:
    """The exposition of disks with these reports; `host`: labels that a server adds."""
    lines = [line for report in reports for line in _of(report, host)]
    return "\n".join([*sorted(lines), f"smartctl_devices {len(reports)}", "go_goroutines 9", ""])


def _of(report: dict[str, Any], host: dict[str, str]) -> Iterator[str]:
    device = {"device": report["device"]["name"].removeprefix("/dev/"), **host}

    def line(metric: str, value: float, **labels: str) -> str:
        inside = ",".join(f'{name}="{text}"' for name, text in sorted({**device, **labels}.items()))
        return f"smartctl_{metric}{{{inside}}} {value:.17g}"

    kind = report["device"].get("type", "sat")
    model = report.get("model_name") or report.get("scsi_model_name") or "unknown"
    yield line(
        "device",
        1,
        interface=kind,
        model_name=model,
        model_family=report.get("model_family", "unknown"),
        serial_number=report.get("serial_number", ""),
        scsi_product=report.get("scsi_product", ""),
    )
    yield line("device_smartctl_exit_status", report["smartctl"].get("exit_status", 0))
    yield line("device_capacity_bytes", 4e12)
    for entry in report.get("ata_smart_attributes", {}).get("table", ()):
        flags = ",".join(flag for flag in _FLAGS if entry["flags"].get(flag))
        labels = {"attribute_id": str(entry["id"]), "attribute_name": entry["name"], "attribute_flags_long": flags}
        for what, value in (("value", entry["value"]), ("thresh", entry["thresh"]), ("raw", entry["raw"]["value"])):
            yield line("device_attribute", value, **labels, attribute_value_type=what)
    if time := report.get("power_on_time"):
        yield line("device_power_on_seconds", time["hours"] * 3600 + time.get("minutes", 0) * 60)
    for which, value in report.get("temperature", {}).items():
        yield line("device_temperature", value, temperature_type=which)
    if "smart_status" in report:
        yield line("device_smart_status", float(report["smart_status"]["passed"]))
    for metric, value in _protocol(report, kind):
        yield line(metric, value)


def _protocol(report: dict[str, Any], kind: str) -> Iterator[tuple[str, float]]:
    """What is shown of NVMe and SAS disks alone; zeros where the report has nothing."""
    for name in _NVME if kind == "nvme" else ():
        yield f"device_{name}", report.get("nvme_smart_health_information_log", {}).get(name, 0)
    if kind == "scsi":
        yield "scsi_grown_defect_list", report["scsi_grown_defect_list"]
        for direction in ("read", "write"):
            counters = report["scsi_error_counter_log"].get(direction, {})
            yield f"{direction}_total_uncorrected_errors", counters.get("total_uncorrected_errors", 0)
