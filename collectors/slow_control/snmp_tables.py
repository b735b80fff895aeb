"""What is read from an SNMP agent: scalars and tables, what their values mean, and the channels they become."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from collectors.collector import Options
from collectors.frame import Kind
from collectors.slow_control.snmp_values import Raw, label, number, status_word
from collectors.slow_control.state_codes import Scale, StateCodes, state_index

Oid = tuple[int, ...]
_OID = re.compile(r"\.?\d+(\.\d+)*")
_FIELDS = re.compile(r"\{(\w*)\}")
ROW_FIELDS = ("label", "index", "number", "board")


def parse_oid(text: str) -> Oid:
    """The numbers of an OID. Raises ValueError."""
    if not _OID.fullmatch(text) or any(int(part) >= 2**32 for part in text.strip(".").split(".")):
        raise ValueError(f"{text!r} is no OID: write numbers with dots between them")
    return tuple(int(part) for part in text.strip(".").split("."))


def _check_oid(text: str) -> str:
    parse_oid(text)
    return text


def _check_template(template: str) -> str:
    if unknown := [field for field in _FIELDS.findall(template) if field not in ROW_FIELDS]:
        raise ValueError(f"{{{unknown[0]}}} in {template!r}: there are {', '.join(ROW_FIELDS)}")
    return template


OidText = Annotated[str, AfterValidator(_check_oid)]
RowTemplate = Annotated[str, AfterValidator(_check_template)]


class Meaning(Options):
    """What a value means."""

    quantity: str = ""
    """The channel's own name by default."""
    unit: str = "1"
    """Of the value after `scale`."""
    kind: Kind | None = None
    """By default a state with `states`, a status word with `bits`, a counter where the agent says so, else a gauge."""
    scale: Scale = 1.0
    """What the agent's number is multiplied with: 0.1 where it tells tenths of a volt. TimeTicks are seconds before that."""
    states: StateCodes = Field(default_factory=dict)
    """Names of its values: a list from 0, or { 1 = "up", 2 = "down" }."""
    bits: tuple[str, ...] = ()
    """Names of the bits, as the MIB numbers them: of BITS the first one is the most significant bit of the first octet."""
    missing: tuple[float, ...] = ()
    """Numbers that mean that nothing is measured, before they are scaled; a channel exists once it has told another one."""

    @model_validator(mode="after")
    def _check_names(self) -> Meaning:
        if self.states and self.bits:
            raise ValueError("give either `states` or `bits`")
        return self

    def kind_of(self, raw: Raw) -> Kind:
        """The kind of channel a value makes."""
        if self.kind is not None:
            return self.kind
        if self.bits or self.states:
            return Kind.BITS if self.bits else Kind.STATE
        return Kind.COUNTER if raw.type == "counter" else Kind.GAUGE

    def names(self) -> tuple[str, ...]:
        """Names of its states or bits."""
        return self.bits or tuple(self.states.values())

    def value(self, raw: Raw, kind: Kind) -> tuple[float, str]:
        """The channel's value; NaN and what is wrong with it where it has none. A NaN of the agent's is not wrong."""
        if kind is Kind.BITS:
            return status_word(raw)
        value, problem = number(raw)
        if kind is Kind.STATE and not problem and self.states:
            index = state_index(self.states, value)
            return (float("nan"), f"{value:g} is none of its states") if index is None else (float(index), "")
        return value * self.scale, problem

    def is_missing(self, raw: Raw) -> bool:
        """Whether the value says that nothing is measured."""
        return bool(self.missing) and number(raw)[0] in self.missing


class Scalar(Meaning):
    """A single value of the agent."""

    name: str = Field(min_length=1)
    """What its channel is called."""
    oid: OidText
    """Of the instance, so that it ends with .0 mostly."""
    place: str = ""
    """Below the source's own."""


class Column(Meaning):
    """One column of a table."""

    oid: OidText
    """Its number below the table's OID ("5"), or a whole OID (from 1.3) of another table with the same index."""


class Table(Options):
    """A table: each row is a thing, each of its columns a channel `ROW:COLUMN`."""

    oid: OidText
    """Of an entry: what stands before the number of the column (ifEntry: 1.3.6.1.2.1.2.2.1)."""
    name: RowTemplate = "{label}"
    """What a row is called: {label}, {index} ("1.17" where there are several), {number} (index - 1), {board} (number // 100)."""
    label: OidText | Annotated[str, Field(max_length=0)] = ""
    """Column with the rows' names, named as in `columns`; the index by default."""
    place: RowTemplate = "{label}"
    """Of a row below the source's place, with the same fields as `name`."""
    columns: dict[str, Column] = Field(min_length=1)
    """Name = what it is: { VMon = { oid = "5", unit = "V" } }."""

    def column_oid(self, text: str) -> Oid:
        """The whole OID of a column."""
        found = parse_oid(text)
        return found if found[:2] == (1, 3) else (*parse_oid(self.oid), *found)

    def oids(self) -> tuple[Oid, ...]:
        """Whole OIDs of all columns that are read, the label's first."""
        texts = [*([self.label] if self.label else []), *(column.oid for column in self.columns.values())]
        return tuple(dict.fromkeys(self.column_oid(text) for text in texts))

    def labels(self, values: Mapping[Oid, Mapping[Oid, Raw]], known: Mapping[Oid, str]) -> dict[Oid, str]:
        """The label of each row by its index, "" where it has none; one whose label does not come keeps the `known` one."""
        told = values.get(self.column_oid(self.label), {}) if self.label else {}
        indexes = sorted({index for oid in self.oids() for index in values.get(oid, {})})
        return {index: (label(told[index]) if index in told else known.get(index, "")) for index in indexes}


def distinct(labels: Mapping[Oid, str]) -> dict[Oid, str]:
    """A name of its own for each row: the label, with its index where rows share it, or the index alone where there is none."""
    times = Counter(labels.values())
    return {
        index: name if name and times[name] == 1 else f"{name}[{_dotted(index)}]" if name else _dotted(index)
        for index, name in labels.items()
    }


@dataclass(frozen=True, slots=True)
class Row:
    """What stands for the fields of a table's templates."""

    label: str
    index: Oid

    def fill(self, template: str, *, is_place: bool = False) -> str:
        """The template with what this row is; in a place a label is one step."""
        number = self.index[-1] - 1 if self.index else 0
        label = "_".join(self.label.replace("/", "_").split()) if is_place else self.label
        fields = {"label": label, "index": _dotted(self.index), "number": number, "board": number // 100}
        return _FIELDS.sub(lambda match: str(fields[match[1]]), template)


def _dotted(index: Oid) -> str:
    return ".".join(map(str, index))
