"""Values of SNMP as numbers: integers, counters, ticks, floats within Opaque, numbers as text, and BITS."""

from __future__ import annotations

import math
import struct
from typing import Literal, NamedTuple

_OPAQUE_FORMATS = {b"\x9f\x78\x04": ">f", b"\x9f\x79\x08": ">d"}
"""Tag and length of the floating-point numbers that Net-SNMP wraps in Opaque (NET-SNMP-TC, Float and Double)."""
_OPAQUE_INTEGERS = {0x76: False, 0x7A: True, 0x7B: False}
"""Second octet of the tags of its 64-bit integers (counter, signed, unsigned), and whether they have a sign."""
TICKS_PER_S = 100
MAX_BITS = 52
"""Bits of a status word that a float64 tells exactly."""


class Raw(NamedTuple):
    """A value as it came. `value` is an integer for integer, counter and ticks, bytes for opaque and octets, else text."""

    type: Literal["integer", "counter", "ticks", "opaque", "octets", "other"]
    value: int | bytes | str


def number(raw: Raw) -> tuple[float, str]:
    """The value as a number, ticks in seconds; NaN and what is wrong with it where it is none. A NaN by itself is not wrong."""
    if isinstance(raw.value, int):
        return (raw.value / TICKS_PER_S if raw.type == "ticks" else float(raw.value)), ""
    if isinstance(raw.value, str):
        return math.nan, f"{raw.value:.60} is not a number"
    value = _opaque(raw.value) if raw.type == "opaque" else _spelled(raw.value)
    if value is None:
        return math.nan, f"{shown(raw.value)} is not a number"
    return (math.nan, f"{value} is not a number") if math.isinf(value) else (value, "")


def status_word(raw: Raw) -> tuple[float, str]:
    """BITS as a number whose lowest bit is the first one; an integer is a status word already.

    BITS count from the most significant bit of the first octet (RFC 2578, section 7.1.4).
    """
    if isinstance(raw.value, int):
        return (math.nan, f"{raw.value} is no status word") if raw.value < 0 or raw.value >> MAX_BITS else (float(raw.value), "")
    if isinstance(raw.value, str) or raw.type != "octets":
        return math.nan, f"{raw.value!r:.60} is no status word"
    word = sum(int(f"{octet:08b}"[::-1], 2) << 8 * i for i, octet in enumerate(raw.value))
    return (math.nan, f"bits above {MAX_BITS - 1} are set") if word >> MAX_BITS else (float(word), "")


def label(raw: Raw) -> str:
    """A row's name as text on one line; "" where it is empty."""
    text = raw.value.decode(errors="replace") if isinstance(raw.value, bytes) else str(raw.value)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:80]


def shown(octets: bytes) -> str:
    """Octets as a person reads them: as text, or in hexadecimal digits."""
    text = octets.decode(errors="replace")
    return f"{text!r:.60}" if text.isprintable() and "\ufffd" not in text else f"0x{octets[:30].hex()}"


def _opaque(octets: bytes) -> float | None:
    """A number within Opaque; None where there is none."""
    form = _OPAQUE_FORMATS.get(octets[:3])
    if form is not None and len(octets) == 3 + octets[2]:
        return float(struct.unpack(form, octets[3:])[0])
    if len(octets) > 3 and octets[0] == 0x9F and octets[1] in _OPAQUE_INTEGERS and len(octets) == 3 + octets[2] <= 12:
        return float(int.from_bytes(octets[3:], "big", signed=_OPAQUE_INTEGERS[octets[1]]))
    return _spelled(octets)


def _spelled(octets: bytes) -> float | None:
    """The number that a text spells; None where it spells none."""
    try:
        return float(octets.rstrip(b"\x00").decode("ascii"))
    except ValueError:
        return None
