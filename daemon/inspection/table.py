"""Readings as a table for a person, and as one JSON object each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import click

from collectors.collector import Rejected
from collectors.frame import Channel, Histogram, Kind, Quality
from daemon.inspection.look import Recording, Refused
from daemon.inspection.reading import Reading
from daemon.inspection.words import NOTHING, age_words, bit_names, clean, state_name, value_words
from daemon.records import iso

FOLDED_ROWS = 40
"""Columns that are shown unless all are asked for."""
FOLDED_REJECTED = 10
WIDEST_VALUE = 80
NARROWEST_NAME = 12
"""Space of a name in a narrow terminal; longer ones stand on a line of their own."""
_COLOURS = {Quality.GOOD: "green", Quality.INVALID: "red", Quality.DISCONNECTED: "red"}
_GAP = "  "


def live_lines(readings: Sequence[Reading], now_ns: int, *, folded: bool, width: int = 0) -> list[str]:
    """A table with name, value, unit, place, age and quality, and what it leaves out; `width` characters wide at most (0: any)."""
    shown = readings[:FOLDED_ROWS] if folded else readings
    rows = [[*_row(reading, value_words(reading)), _age(reading, now_ns), quality_words(reading)] for reading in shown]
    return [*_table(("name", "value", "unit", "place", "age", "quality"), rows, width), *_folded(len(readings) - len(shown))]


def recorded_lines(found: Recording, columns: Sequence[tuple[Reading, ...]], *, folded: bool, width: int = 0) -> list[str]:
    """A table of the first rows, one column a row of the recording: as many as `width` characters have space for (0: any)."""
    shown = columns[:FOLDED_ROWS] if folded else columns
    count = max((len(readings) for readings in columns), default=1)
    tables = [_recorded_table(found, shown, number, width) for number in ([1] if found.is_sparse else range(count, 0, -1))]
    fitting = (lines for lines in tables if not width or _widest(lines) <= width)
    return [*next(fitting, tables[-1]), *_folded(len(columns) - len(shown))]


def _recorded_table(found: Recording, shown: Sequence[tuple[Reading, ...]], count: int, width: int) -> list[str]:
    """A table of the first `count` rows."""
    headings = ("value", "time") if found.is_sparse else tuple(f"row {number + 1}" for number in range(count))
    rows = []
    for readings in shown:
        cells = [value_words(reading) for reading in readings[:count]]
        if found.is_sparse:
            cells.append(time_words(readings[0].time_ns))
        name, _, unit, place = _row(readings[0], "")
        rows.append([name, *cells, unit, place, quality_words(readings[0])])
    return _table(("name", *headings, "unit", "place", "quality"), rows, width)


def rejected_lines(refused: Refused, *, folded: bool) -> list[str]:
    """Input that could not be used, a line each with its reason."""
    shown = refused.kept[:FOLDED_REJECTED] if folded else refused.kept
    lines = [f"  {clean(item.subject)}: {clean(item.reason)}" for item in shown]
    more = refused.total - len(shown)
    return [f"{refused.total} rejected:", *lines, *([f"  … and {more} more"] if more else [])] if refused.total else []


def quality_words(reading: Reading) -> str:
    """Whether it can be believed, in colour: click leaves the colour out where the output is no terminal."""
    if reading.quality is None:
        return click.style("no reading", fg="yellow")
    return click.style(reading.quality.name.lower(), fg=_COLOURS.get(reading.quality, "yellow"))


def time_words(time_ns: int) -> str:
    """A time in UTC; "-" where there is none."""
    return (iso(time_ns) or NOTHING) if time_ns else NOTHING


def summary(readings: Iterable[Reading]) -> str:
    """How many readings there are of each quality: "22 good, 2 disconnected"."""
    counts: dict[str, int] = {}
    for reading in readings:
        word = click.unstyle(quality_words(reading))
        counts[word] = counts.get(word, 0) + 1
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def as_json(source: str, reading: Reading, now_ns: int) -> dict[str, Any]:
    """A reading for a program; null is no reading."""
    column = reading.column
    value = reading.value if math.isfinite(reading.value) else None
    if isinstance(column, Histogram):
        means = [mean if math.isfinite(mean) else None for mean in reading.means]
        said: dict[str, Any] = {"kind": "histogram", "entries": value, "bins": [axis.bins for axis in column.axes], "mean": means}
    else:
        said = {"kind": str(column.kind), "value": value, **_named(column, reading.value)}
    return {
        "source": source,
        "name": column.name,
        **said,
        "unit": reading.unit,
        "place": column.place,
        "time": iso(reading.time_ns) if reading.time_ns else None,
        "age_s": round((now_ns - reading.time_ns) / 1e9, 3) if reading.time_ns else None,
        "quality": click.unstyle(quality_words(reading)),
    }


def rejected_json(source: str, item: Rejected) -> dict[str, Any]:
    """Rejected input for a program."""
    return {"source": source, "rejected": item.subject, "reason": item.reason}


def _named(channel: Channel, value: float) -> dict[str, Any]:
    if math.isnan(value):
        return {}
    if channel.kind is Kind.STATE:
        return {"state": state_name(channel, value) or None}
    return {"bits": bit_names(channel, value)} if channel.kind is Kind.BITS else {}


def _row(reading: Reading, value: str) -> list[str]:
    return [clean(reading.column.name), value, clean(reading.unit), clean(reading.column.place)]


def _age(reading: Reading, now_ns: int) -> str:
    return age_words((now_ns - reading.time_ns) / 1e9) if reading.time_ns else NOTHING


def _folded(left_out: int) -> list[str]:
    return [f"… and {left_out} more; --all shows them, --match 'PATTERN' some of them"] if left_out > 0 else []


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Aligned columns; values stand on the right, except the long ones. What is too wide for `width` has its name on a line of its own."""
    lines = [tuple(heading), *(tuple(row) for row in rows)]
    widths = [min(max(len(click.unstyle(line[i])) for line in lines), WIDEST_VALUE) for i in range(len(heading))]
    if width:
        rest = sum(widths[1:]) + len(_GAP) * (len(widths) - 1)
        widths[0] = min(widths[0], max(width - rest, NARROWEST_NAME))
    is_value = [name == "value" or name.startswith("row ") for name in heading]
    table = []
    for name, *others in lines:
        if is_apart := width > 0 and len(name) > widths[0]:
            table.append(name)
        line = ("" if is_apart else name, *others)
        cells = [_aligned(cell, space, on_right=right) for cell, space, right in zip(line, widths, is_value, strict=True)]
        table.append(_GAP.join(cells).rstrip())
    return [click.style(table[0], bold=True), *table[1:]]


def _widest(lines: Iterable[str]) -> int:
    return max(len(click.unstyle(line)) for line in lines)


def _aligned(cell: str, width: int, *, on_right: bool) -> str:
    padding = " " * (width - len(click.unstyle(cell)))
    return padding + cell if on_right else cell + padding
