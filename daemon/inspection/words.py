"""Readings in words: numbers with as many digits as they carry, states and bits by name, histograms on one line, ages."""

from __future__ import annotations

import math

from collectors.frame import Channel, Histogram, Kind
from daemon.inspection.reading import Reading

NOTHING = "-"
SIGNIFICANT_DIGITS = 6
LARGEST_PLAIN, SMALLEST_PLAIN = 1e7, 1e-3
_EXACT = 2.0**53
"""Up to here every whole number is one of floating point."""
_PREFIXES = {12: "T", 9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "µ", -9: "n", -12: "p"}
_TAKE_PREFIX = frozenset({"V", "A", "W", "Hz", "B", "bit", "B/s", "bit/s", "Pa", "T", "F", "C", "Ohm", "Ω", "J", "eV", "m", "g", "N", "H"})
"""Units before which a prefix is usual; one that has a prefix already ("mV"), a ratio or a time is left as it is."""
_AGES = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"))


def value_words(reading: Reading) -> str:
    """The value as a person reads it; "-" where there is none."""
    column = reading.column
    if isinstance(column, Histogram):
        return _histogram(column, reading)
    if math.isnan(reading.value):
        return NOTHING
    if column.kind is Kind.STATE:
        return state_name(column, reading.value) or number(reading.value)
    if column.kind is Kind.BITS:
        names = bit_names(column, reading.value)
        return number(reading.value) if names is None else " + ".join(names) or "none set"
    if column.kind is Kind.COUNTER:
        return f"{_whole(reading.value) or repr(reading.value)} (counter)"
    return number(reading.value, column.unit)


def number(value: float, unit: str = "") -> str:
    """At most six significant digits, of a whole number all, and none that the number does not have.

    Very large and very small ones have a prefix of the SI where their unit usually takes one: 512.11 G (B).
    """
    if math.isnan(value):
        return NOTHING
    size = abs(value)
    if not math.isfinite(value):
        return str(value)
    if value == 0 or SMALLEST_PLAIN <= size < LARGEST_PLAIN:
        return _whole(value) or _plain(value)
    exponent = 3 * math.floor(math.log10(size) / 3)
    if unit in _TAKE_PREFIX and exponent in _PREFIXES:
        return f"{_plain(value / 10.0**exponent)} {_PREFIXES[exponent]}"
    return _whole(value) or f"{value:.{SIGNIFICANT_DIGITS}g}"


def state_name(channel: Channel, value: float) -> str:
    """The name of a state; "" where it has none."""
    is_known = value == math.floor(value) and 0 <= value < len(channel.states)
    return clean(channel.states[int(value)]) if is_known else ""


def bit_names(channel: Channel, value: float) -> list[str] | None:
    """Names of the bits that are set, "bit N" for one without a name; None where it is no status word."""
    if not 0 <= value <= _EXACT or value != math.floor(value):
        return None
    word = int(value)
    named = dict(enumerate(channel.states))
    return [clean(named.get(bit) or f"bit {bit}") for bit in range(word.bit_length()) if word >> bit & 1]


def age_words(age_s: float) -> str:
    """How old a reading is: "<1 s", "12 s", "5 min", "3.2 h", "40 d"; "in 5 s" where its time lies ahead of the clock."""
    if age_s <= -1:
        return f"in {age_words(-age_s)}"
    if age_s < 1:
        return "<1 s"
    for seconds, unit in _AGES:
        if age_s >= seconds:
            amount = age_s / seconds
            return f"{amount:.1f} {unit}" if amount < 10 and unit != "min" else f"{amount:.0f} {unit}"
    return f"{age_s:.0f} s"


def clean(text: str) -> str:
    """A text from elsewhere without what could command a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _histogram(histogram: Histogram, reading: Reading) -> str:
    bins = "×".join(str(axis.bins) for axis in histogram.axes)
    means = [number(mean) for mean in reading.means]
    mean = means[0] if len(means) == 1 else f"({', '.join(means)})"
    return f"{number(reading.value)} entries, {bins} bins, mean {mean}"


def _whole(value: float) -> str:
    """All digits of a whole number; "" where it is none, or too large for each of them to count."""
    return str(int(value)) if abs(value) <= _EXACT and value == math.floor(value) else ""


def _plain(value: float) -> str:
    """Without an exponent, which `g` gives to numbers of a million and more."""
    text = f"{value:.{SIGNIFICANT_DIGITS}g}"
    return f"{value:.0f}" if "e+" in text else text
