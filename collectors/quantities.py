"""Quantities and their units, as axis titles and metric names spell them."""

from __future__ import annotations

import re

_SQUARE = re.compile(r"^(?P<name>.*?)\s*\[(?P<unit>[^\[\]]*)\]\s*$", re.DOTALL)
_ROUND = re.compile(
    r"^(?P<name>.*\S)\s*\((?P<unit>[kMGT]?eV(?:/c(?:\^\{?2\}?|²)?)?|[pnuµm]?s|[nuµm]?m|[cd]m|rad|mrad|deg|[kMG]?Hz|[mkµu]?V|[pnuµm]?A|fC|pC|%"
    r"|ADC|ADC counts|electrons|e|degC|°C|K|mbar|bar|Pa|hPa)\)\s*$"
)

_METRIC_UNITS = {
    "seconds": "s",
    "milliseconds": "ms",
    "microseconds": "us",
    "nanoseconds": "ns",
    "minutes": "min",
    "hours": "h",
    "days": "d",
    "bytes": "B",
    "kilobytes": "kB",
    "megabytes": "MB",
    "bits": "bit",
    "ratio": "1",
    "percent": "%",
    "volts": "V",
    "millivolts": "mV",
    "kilovolts": "kV",
    "amperes": "A",
    "milliamperes": "mA",
    "microamperes": "uA",
    "nanoamperes": "nA",
    "watts": "W",
    "joules": "J",
    "celsius": "degC",
    "kelvin": "K",
    "hertz": "Hz",
    "meters": "m",
    "grams": "g",
    "pascals": "Pa",
    "millibars": "mbar",
    "tesla": "T",
    "rpm": "rpm",
    "coulombs": "C",
    "ohms": "Ohm",
    "radians": "rad",
    "degrees": "deg",
}
"""Suffixes of metric names (https://prometheus.io/docs/practices/naming/#base-units, and those that slow control adds)."""


def from_title(title: str, default: str = "") -> tuple[str, str]:
    """Quantity and unit of a title such as "p_{T} [GeV]"; the unit is "" where none is named.

    Round brackets are read as a unit only where they hold a known one: "hits (layer 1)" has none.
    """
    if match := _SQUARE.match(title) or _ROUND.match(title):
        return match["name"].strip() or default, match["unit"].strip()
    return title.strip() or default, ""


def metric_unit(name: str, declared: str = "") -> str:
    """Unit symbol of a metric: what OpenMetrics declares for it or the suffix of its name says, "1" where neither does."""
    if declared:
        return _METRIC_UNITS.get(declared, declared)
    for suffix in ("_total", "_sum", "_count", "_bucket", "_created"):
        if name.endswith(suffix):
            if suffix == "_count":
                return "1"
            name = name.removesuffix(suffix)
            break
    return _METRIC_UNITS.get(name.rpartition("_")[2], "1")
