"""What well-known agents tell, so that nobody has to look up OIDs: profiles of the SNMP collector."""

from __future__ import annotations

from typing import Literal, NamedTuple

from collectors.frame import Kind
from collectors.slow_control.snmp_tables import Column, Scalar, Table

OUTPUT_BITS = (
    *("on", "inhibit", "failure_min_sense_voltage", "failure_max_sense_voltage", "failure_max_terminal_voltage", "failure_max_current"),
    *("failure_max_temperature", "failure_max_power", "failure_cache_update", "failure_timeout", "current_limited", "ramp_up", "ramp_down"),
    *("enable_kill", "emergency_off", "adjusting", "constant_voltage", "low_current_range", "current_bounds_exceeded"),
    *("failure_current_limit", "current_increasing", "current_decreasing", "constant_power", "voltage_ramp_speed_limited"),
    *("voltage_bottom_reached", "init_crc_check_bad", "failure_redundancy"),
)
"""outputStatus of WIENER-CRATE-MIB."""
SYSTEM_BITS = (
    *("main_on", "main_inhibit", "local_control_only", "input_failure", "output_failure", "fantray_failure", "sensor_failure"),
    *("vme_sysfail", "plug_and_play_incompatible", "bus_reset", "supply_derating", "supply_failure", "supply_derating_2"),
    *("supply_failure_2", "supply_present", "supply_present_2"),
)
"""sysStatus of WIENER-CRATE-MIB."""
MODULE_BITS = (
    *("fine_adjustment", "stop", "live_insertion", "high_voltage_on", "need_service", "reserved_5", "input_error", "command_complete"),
    *("no_sum_error", "no_ramp", "safety_loop_good", "event_active", "good", "supply_good", "temperature_good", "kill_enable"),
    *("power_fail", "internal_communication_good", "crc_check_good", "init_crc_check_good", "power_fail_slow_ramp_down"),
    *("voltage_ramp_speed_limited", "process_data_crc_check_good", "error_code_active", "ready", "voltage_ramp_speed_limit_disabled"),
)
"""moduleStatus of WIENER-CRATE-MIB (iseg modules)."""
_CRATE = "1.3.6.1.4.1.19947.1"
_IF, _IFX = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1"
_UPS = "1.3.6.1.2.1.33.1"

ProfileName = Literal["wiener", "interfaces", "ups"]


class Profile(NamedTuple):
    """What an agent of some kind tells."""

    tables: tuple[Table, ...]
    scalars: tuple[Scalar, ...]


def profile(name: ProfileName, device: str) -> Profile:
    """The profile of this name, for a device that is called `device`."""
    return {"wiener": _wiener, "interfaces": _interfaces, "ups": _ups}[name](_literal(device))


def _literal(device: str) -> str:
    return device.replace("{", "(").replace("}", ")")


def _wiener(crate: str) -> Profile:
    """WIENER/iseg MPOD crates: WIENER-CRATE-MIB, enterprise 19947, of April 2019 (revision 7222)."""
    outputs = {
        "Status": Column(oid="4", quantity="status", bits=OUTPUT_BITS),
        "VMon": Column(oid="5", quantity="sense voltage", unit="V"),
        "VTerm": Column(oid="6", quantity="terminal voltage", unit="V"),
        "IMon": Column(oid="7", quantity="current", unit="A"),
        "Temp": Column(oid="8", quantity="temperature", unit="degC", missing=(-128, 127)),
        "Switch": Column(
            oid="9", quantity="switch", states={0: "off", 1: "on", 2: "reset_emergency_off", 3: "set_emergency_off", 10: "clear_events"}
        ),
        "V0Set": Column(oid="10", quantity="voltage setting", unit="V"),
        "I0Set": Column(oid="12", quantity="current limit", unit="A"),
        "RUp": Column(oid="13", quantity="ramp up rate", unit="V/s"),
        "RDWn": Column(oid="14", quantity="ramp down rate", unit="V/s"),
    }
    sensor = {"Temp": Column(oid="2", quantity="temperature", unit="degC", missing=(-128,))}
    module = {
        "ModuleStatus": Column(oid="8", quantity="module status", bits=MODULE_BITS),
        "ModuleTemp": Column(oid="12.1", quantity="module temperature", unit="degC"),
    }
    fan = {"Speed": Column(oid="2", quantity="fan speed", unit="rpm")}
    return Profile(
        (
            Table(oid=f"{_CRATE}.3.2.1", name=f"{crate}:{{label}}", label="2", place=f"{crate}/board{{board}}/{{label}}", columns=outputs),
            Table(oid=f"{_CRATE}.3.6.1", name=f"{crate}:MA{{number}}", place=f"{crate}/board{{number}}", columns=module),
            Table(oid=f"{_CRATE}.4.2.1", name=f"{crate}:T{{index}}", place=crate, columns=sensor),
            Table(oid=f"{_CRATE}.7.8.1", name=f"{crate}:Fan{{index}}", place=crate, columns=fan),
        ),
        (
            Scalar(name=f"{crate}:MainSwitch", oid=f"{_CRATE}.1.1.0", place=crate, quantity="main switch", states={0: "off", 1: "on"}),
            Scalar(name=f"{crate}:SysStatus", oid=f"{_CRATE}.1.2.0", place=crate, quantity="crate status", bits=SYSTEM_BITS),
            Scalar(name=f"{crate}:AirTemp", oid=f"{_CRATE}.7.4.0", place=crate, quantity="inlet air temperature", unit="degC"),
        ),
    )


def _interfaces(device: str) -> Profile:
    """Network interfaces: IF-MIB (RFC 2863), with the 64-bit counters of traffic, because those of 32 bits wrap within seconds."""
    counter = Kind.COUNTER
    codes = {1: "up", 2: "down", 3: "testing", 4: "unknown", 5: "dormant", 6: "notPresent", 7: "lowerLayerDown"}
    columns = {
        "OperStatus": Column(oid=f"{_IF}.8", quantity="operational status", states=codes),
        "InOctets": Column(oid=f"{_IFX}.6", quantity="received", unit="B", kind=counter),
        "OutOctets": Column(oid=f"{_IFX}.10", quantity="sent", unit="B", kind=counter),
        "InErrors": Column(oid=f"{_IF}.14", quantity="input errors", kind=counter),
        "OutErrors": Column(oid=f"{_IF}.20", quantity="output errors", kind=counter),
        "InDiscards": Column(oid=f"{_IF}.13", quantity="discarded input packets", kind=counter),
        "OutDiscards": Column(oid=f"{_IF}.19", quantity="discarded output packets", kind=counter),
    }
    return Profile((Table(oid=_IFX, name=f"{device}:{{label}}", label="1", place=f"{device}/{{label}}", columns=columns),), ())


def _ups(device: str) -> Profile:
    """Uninterruptible power supplies: UPS-MIB (RFC 1628)."""

    def scalar(name: str, oid: str, quantity: str, unit: str = "", scale: float = 1.0, states: dict[int, str] | None = None) -> Scalar:
        return Scalar(
            name=f"{device}:{name}", oid=f"{_UPS}.{oid}.0", place=device, quantity=quantity, unit=unit, scale=scale, states=states or {}
        )

    line = {
        "Voltage": Column(oid="3", quantity="input voltage", unit="V"),
        "Frequency": Column(oid="2", quantity="input frequency", unit="Hz", scale=0.1),
    }
    output = {
        "Voltage": Column(oid="2", quantity="output voltage", unit="V"),
        "Current": Column(oid="3", quantity="output current", unit="A", scale=0.1),
        "Power": Column(oid="4", quantity="output power", unit="W"),
        "Load": Column(oid="5", quantity="load", unit="%"),
    }
    sources = {1: "other", 2: "none", 3: "normal", 4: "bypass", 5: "battery", 6: "booster", 7: "reducer"}
    return Profile(
        (
            Table(oid=f"{_UPS}.3.3.1", name=f"{device}:In{{index}}", place=device, columns=line),
            Table(oid=f"{_UPS}.4.4.1", name=f"{device}:Out{{index}}", place=device, columns=output),
        ),
        (
            scalar("BatteryStatus", "2.1", "battery status", states={1: "unknown", 2: "normal", 3: "low", 4: "depleted"}),
            scalar("OnBattery", "2.2", "time on battery", "s"),
            scalar("MinutesLeft", "2.3", "estimated time left", "min"),
            scalar("Charge", "2.4", "estimated charge", "%"),
            scalar("BatteryVoltage", "2.5", "battery voltage", "V", 0.1),
            scalar("BatteryTemp", "2.7", "battery temperature", "degC"),
            scalar("OutputSource", "4.1", "output source", states=sources),
            scalar("Alarms", "6.1", "alarms present", "1"),
        ),
    )
