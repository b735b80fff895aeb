"""Which channels of slow control are monitored, and what is known of each before and after its server has told."""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from collectors.frame import Channel, Kind
from collectors.patterns import Places, join_place, matches

LIMITS = ("LOLO", "LOW", "HIGH", "HIHI")
"""Alarm and warning limits, by the names of their fields in an EPICS record."""
FILE_COLUMNS = ("name", "address", "quantity", "unit", "kind", "place", "states", *(limit.lower() for limit in LIMITS))
MAX_CHANNELS = 200_000
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


class ControlInfo(NamedTuple):
    """What a server tells about a channel: unit, names of an enumeration's states, limits by name."""

    unit: str
    states: tuple[str, ...]
    limits: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """One channel as it is configured; empty where the server is to tell."""

    name: str
    quantity: str = ""
    unit: str = ""
    kind: Kind | None = None
    place: str = ""
    states: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    address: str = ""
    """What the server calls it; its name where this is empty."""

    @property
    def target(self) -> str:
        """What the server is asked for."""
        return self.address or self.name

    def channel(self, info: ControlInfo | None) -> Channel:
        """The channel it becomes: a gauge without a unit as long as neither configuration nor server say more."""
        states = self.states or (info.states if info else ())
        kind = self.kind or (Kind.STATE if states else Kind.GAUGE)
        unit = "" if kind in (Kind.STATE, Kind.BITS) else self.unit or (info.unit if info else "")
        return Channel(self.name, self.quantity or self.name, unit, kind, self.place, states)


def expand(names: Sequence[str]) -> list[str]:
    """Names with every range written out: "HV:{00..11}:VMon" are twelve. Raises ValueError for far too many, and for none."""
    found: dict[str, None] = {}
    for name in names:
        parts = _RANGE.split(name)
        bounds = list(zip(parts[1::3], parts[2::3], strict=True))
        if len(found) + math.prod(max(int(last) - int(first) + 1, 0) for first, last in bounds) > MAX_CHANNELS:
            raise ValueError(f"{name!r}: more than {MAX_CHANNELS} channels")
        if any(int(first) > int(last) for first, last in bounds):
            raise ValueError(f"{name!r}: the range is empty")
        ranges = [[str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)] for first, last in bounds]
        for numbers in itertools.product(*ranges):
            found["".join(text + number for text, number in itertools.zip_longest(parts[::3], numbers, fillvalue=""))] = None
    return list(found)


def read_file(path: Path, columns: Sequence[str]) -> list[Plan]:
    """Channels of a CSV file, one a line; `columns` names them where the file's first line does not ("" is passed over).

    Raises ValueError that names file and line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [(number, line) for number, line in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    names = list(columns) or [cell.strip().lower() for cell in (lines.pop(0)[1] if lines else [])]
    if "name" not in names:
        raise ValueError(f"{path}: no column called name among {', '.join(names) or 'none'}")
    return [_plan(path, number, dict(zip(names, line, strict=False))) for number, line in lines]


def _plan(path: Path, number: int, cells: Mapping[str, str]) -> Plan:
    text = {column: cells.get(column, "").strip() for column in FILE_COLUMNS}
    if not text["name"]:
        raise ValueError(f"{path}: line {number}: no name")
    try:
        limits = {limit: float(text[limit.lower()]) for limit in LIMITS if text[limit.lower()]}
        kind = Kind(text["kind"]) if text["kind"] else None
    except ValueError as error:
        raise ValueError(f"{path}: line {number}: {error}") from None
    states = tuple(state.strip() for state in text["states"].split("|")) if text["states"] else ()
    return Plan(text["name"], text["quantity"], text["unit"], kind, text["place"], states, limits, text["address"])


def refine(
    plans: Sequence[Plan],
    places: Places,
    units: Mapping[str, str],
    states: Mapping[str, Sequence[str]],
    bits: Mapping[str, Sequence[str]],
) -> Iterator[Plan]:
    """Plans with what patterns on their names add; of each name the first stays."""
    seen: set[str] = set()
    for plan in plans:
        if plan.name in seen:
            continue
        seen.add(plan.name)
        names = _first(states, plan.name) or plan.states
        kind = plan.kind
        if bit_names := _first(bits, plan.name):
            names, kind = bit_names, Kind.BITS
        unit = next((u for pattern, u in units.items() if matches(pattern, plan.name)), plan.unit)
        yield replace(plan, unit=unit, kind=kind, states=tuple(names), place=join_place(places.of(plan.name), plan.place))


def _first(patterns: Mapping[str, Sequence[str]], name: str) -> Sequence[str]:
    return next((value for pattern, value in patterns.items() if matches(pattern, name)), ())
