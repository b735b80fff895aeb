"""Registers of Modbus devices: what they hold, how they are listed, and how their words become values."""

from __future__ import annotations

import csv
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from collectors.collector import Options
from collectors.frame import Channel, Kind
from collectors.patterns import join_place
from collectors.slow_control.channel_list import expand
from collectors.slow_control.state_codes import Scale, StateCodes, state_index

MAX_STATUS_BITS = 52
"""Bits of a status word that a float64 tells exactly."""
SwitchTable = Literal["coil", "discrete"]
RegisterTable = Literal["holding", "input", "coil", "discrete"]
ValueType = Literal["uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "bits"]
Order = Literal["big", "little"]
_FORMATS = {
    "uint16": "H",
    "int16": "h",
    "bits": "H",
    "uint32": "I",
    "int32": "i",
    "float32": "f",
    "uint64": "Q",
    "int64": "q",
    "float64": "d",
}
_LISTS = ("states", "bits", "missing")


def _whole(value: object) -> object:
    """Numbers as people write addresses: 40, "40" or "0x28"."""
    if isinstance(value, str):
        try:
            return int(value.strip(), 0)
        except ValueError:
            return value
    return value


Whole = Annotated[int, BeforeValidator(_whole)]


class Register(Options):
    """One value, or several of the same kind that follow one another, where the name has a range: "U{00..11}:VMon"."""

    name: str = Field(min_length=1)
    """What its channel is called; {00..11} stands for a range of numbers."""
    address: Annotated[Whole, Field(ge=0, le=65535)]
    """As it goes over the network, from 0: what manuals call register 40001 is holding register 0."""
    table: RegisterTable = "holding"
    """Which of the device's four tables; coil and discrete are single bits."""
    type: ValueType = "uint16"
    """bits: a status word of 16 bits; those of 32 are uint32 with `bits`."""
    word_order: Order | None = None
    """Which word of a longer value comes first, and `byte_order` which byte of a word; by default as the source says."""
    byte_order: Order | None = None
    """Which byte of a word comes first."""
    scale: Scale = 1.0
    """See `offset`."""
    offset: float = Field(default=0.0, allow_inf_nan=False)
    """A value is the number * scale + offset."""
    unit: str = "1"
    """Of the value after `scale` and `offset`."""
    quantity: str = ""
    """What follows the last colon of the name by default."""
    kind: Kind | None = None
    """By default a state with `states` and for coils and discrete inputs, a status word with `bits`, else a gauge."""
    states: StateCodes = Field(default_factory=dict)
    """Names of its values: a list from 0, or { 1 = "up", 2 = "down" }."""
    bits: tuple[str, ...] = ()
    """Names of the bits of a status word, lowest first."""
    missing: tuple[Whole, ...] = ()
    """Contents that mean that nothing is measured, as whole numbers before they are scaled (0x8000); NaN always does."""
    place: str = ""
    """Below the source's own."""
    device_id: Annotated[Whole, Field(ge=0, le=255)] | None = None
    """Unit behind a gateway; by default as the source says."""
    stride: Annotated[Whole, Field(ge=1)] | None = None
    """Of a range of names: by how much the address rises from one to the next; the width of the value by default."""

    @model_validator(mode="after")
    def _check(self) -> Register:
        names = expand((self.name,))
        if not names:
            raise ValueError(f"{self.name!r}: the range is empty")
        if self.address + (len(names) - 1) * (self.stride or self.width) + self.width > 65536:
            raise ValueError(f"{self.name!r}: there is no address above 65535")
        if self.kind_of() is Kind.BITS and (self.is_switch or self.type not in ("bits", "uint16", "uint32")):
            raise ValueError(f"{self.name!r}: a status word is bits, uint16 or uint32")
        if self.states and self.bits:
            raise ValueError(f"{self.name!r}: give either `states` or `bits`")
        if len(self.bits) > 16 * self.width:
            raise ValueError(f"{self.name!r}: {len(self.bits)} names for {16 * self.width} bits")
        return self

    @property
    def is_switch(self) -> bool:
        """Whether it is a single bit of a table of its own."""
        return self.table in ("coil", "discrete")

    @property
    def width(self) -> int:
        """Addresses that one value takes."""
        return 1 if self.is_switch else struct.calcsize(f">{_FORMATS[self.type]}") // 2

    def kind_of(self) -> Kind:
        """The kind of channel it becomes."""
        if self.kind is not None:
            return self.kind
        if self.states or self.is_switch:
            return Kind.STATE
        return Kind.BITS if self.bits or self.type == "bits" else Kind.GAUGE

    def state_codes(self) -> Mapping[int, str]:
        """Names of its states by their codes."""
        return self.states or ({0: "off", 1: "on"} if self.is_switch and self.kind_of() is Kind.STATE else {})


@dataclass(frozen=True, eq=False, slots=True)
class Item:
    """One value to be read, and all that its register says about it. Two items are the same only where they are one object."""

    name: str
    register: Register
    device_id: int
    address: int
    is_big_words: bool
    is_big_bytes: bool
    missing: frozenset[int]

    @property
    def end(self) -> int:
        """The address after its last."""
        return self.address + self.register.width

    def channel(self, place: str) -> Channel:
        """The channel it becomes."""
        register, kind = self.register, self.register.kind_of()
        names = register.bits if kind is Kind.BITS else tuple(register.state_codes().values())
        unit = "" if kind in (Kind.STATE, Kind.BITS) else register.unit
        return Channel(self.name, register.quantity or self.name.rpartition(":")[2], unit, kind, join_place(place, register.place), names)

    def value(self, words: Sequence[int]) -> tuple[float, str]:
        """The channel's value from its words (or its one bit); NaN where nothing is measured, and what is wrong with it."""
        register = self.register
        number = float(words[0]) if register.is_switch else self._number(words)
        kind = register.kind_of()
        if math.isnan(number):
            return math.nan, ""
        if kind is Kind.STATE and register.state_codes():
            index = state_index(register.state_codes(), number)
            return (math.nan, f"{number:g} is none of its states") if index is None else (float(index), "")
        if kind is Kind.BITS:
            return number, ""
        value = number * register.scale + register.offset
        return (math.nan, f"{value} is not a number") if math.isinf(value) else (value, "")

    def _number(self, words: Sequence[int]) -> float:
        """The number in some words, NaN where it means that nothing is measured."""
        ordered = words if self.is_big_words else words[::-1]
        octets = b"".join(word.to_bytes(2, "big" if self.is_big_bytes else "little") for word in ordered)
        number = struct.unpack(f">{_FORMATS[self.register.type]}", octets)[0]
        if self.missing and (int.from_bytes(octets, "big") in self.missing or number in self.missing):
            return math.nan
        return float(number)


def unimplemented(value_type: ValueType) -> int | None:
    """The content that means "not there" by the SunSpec Device Information Model Specification; floats have NaN."""
    if value_type.startswith("float"):
        return None
    bits = 8 * struct.calcsize(f">{_FORMATS[value_type]}")
    return 1 << (bits - 1) if value_type.startswith("int") else (1 << bits) - 1


def read_registers(path: Path) -> Iterator[Register]:
    """Registers of a CSV file whose first line names the columns as the options are called; lists are written a|b|c, codes 1=up|2=down.

    Raises ValueError that names file and line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [(number, line) for number, line in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    columns = [cell.strip().lower() for cell in (lines.pop(0)[1] if lines else [])]
    if unknown := [column for column in columns if column not in Register.model_fields]:
        raise ValueError(f"{path}: no column may be called {unknown[0]!r}; there are {', '.join(Register.model_fields)}")
    for number, line in lines:
        if len(line) != len(columns):
            raise ValueError(f"{path}: line {number}: {len(line)} cells, expected {len(columns)}")
        cells = {column: cell.strip() for column, cell in zip(columns, line, strict=True) if cell.strip()}
        try:
            yield Register.model_validate({c: _listed(c, cell) if c in _LISTS else cell for c, cell in cells.items()})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{path}: line {number}: {where}{': ' if where else ''}{first['msg']}") from None


def _listed(column: str, cell: str) -> object:
    parts = [part.strip() for part in cell.split("|")]
    if column == "states" and all("=" in part for part in parts):
        return {code.strip(): name.strip() for code, _, name in (part.partition("=") for part in parts)}
    return parts
