"""Daily files of drive statistics in the public layout, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NUMBERS = (1, 5, 7, 9, 12, 187, 188, 194, 197, 198, 199, 241)
HEADER = ",".join(
    ["date", "serial_number", "model", "capacity_bytes", "failure", "datacenter", "is_legacy_format"]
    + [f"smart_{number}_{what}" for number in NUMBERS for what in ("normalized", "raw")]
)


def drive(serial: str, date: str = "2024-01-01", model: str = "ST12000NM0008", failure: int = 0, **raw: Any) -> str:
    """One row; `raw`: smart_5=3 and so on, all others are empty."""
    cells = [date, serial, model, "12000138625024", str(failure), "sac0", "False"]
    for number in NUMBERS:
        value = raw.pop(f"smart_{number}", "")
        cells += ["100" if value != "" else "", str(value)]
    assert not raw
    return ",".join(cells)


def table(rows: Sequence[str], header: str = HEADER, newline: str = "\n") -> str:
    """A whole file."""
    return newline.join([header, *rows, ""])
