"""Reads documents of JSON by the mapping of their options: channels, values, times, and what could not be used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jmespath

from collectors.collector import Origin, Rejected
from collectors.fetched.json_channels import Describer
from collectors.fetched.json_mapping import EVALUATION_ERRORS, JsonOptions, JsonTable, fill, references, time_ns
from collectors.fetched.json_values import is_numeric, leaves, load, reading, shown
from collectors.frame import Channel, Quality
from collectors.patterns import join_place

MAX_CHANNELS = 200_000
REPORTED_PROBLEMS = 20
"""Problems of one document that are named; the rest is counted."""


class MalformedDocumentError(ValueError):
    """A text that is no JSON: the message says what is wrong with it, and where."""


@dataclass(slots=True)
class Readings:
    """What one document says, by the names of the channels. `is_found`: any of the expressions found anything at all."""

    time_ns: int | None = None
    channels: dict[str, Channel] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    bad: dict[str, Quality] = field(default_factory=dict)
    times_ns: dict[str, int] = field(default_factory=dict)
    problems: list[Rejected] = field(default_factory=list)
    unnamed_problems: int = 0
    is_found: bool = False

    def reject(self, subject: str, reason: str, payload: bytes = b"") -> None:
        """Notes a channel, a row or an expression that could not be used."""
        if len(self.problems) < REPORTED_PROBLEMS:
            self.problems.append(Rejected(subject, reason, payload))
        else:
            self.unnamed_problems += 1

    def rejected(self, source: str) -> Iterator[Rejected]:
        """A few of the problems, and how many more there are."""
        for problem in self.problems:
            yield Rejected(f"{source}: {problem.subject}", problem.reason, problem.payload)
        if self.unnamed_problems:
            yield Rejected(source, f"{self.unnamed_problems} more values could not be used")


def parse(text: bytes) -> Any:  # noqa: ANN401 - a document of JSON is anything
    """A document, or the list of all where each line is one (`application/x-json-stream`). Raises MalformedDocumentError."""
    try:
        decoded = text.decode("utf-8-sig")
        try:
            return load(decoded)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data":
                raise
        return [load(line) for line in decoded.splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise MalformedDocumentError(f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise MalformedDocumentError(f"not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise MalformedDocumentError("nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise MalformedDocumentError(f"not JSON: {str(error).partition(';')[0]}") from None


class _Row(NamedTuple):
    """One row of a table, and how messages name it."""

    value: Any
    shown: str
    own: Mapping[str, str]


class _Path:
    """A compiled expression; what goes wrong when it is used is a problem of its own channel."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self._search = jmespath.compile(expression).search

    def find(self, document: object, subject: str, readings: Readings) -> Any:  # noqa: ANN401
        """What it finds, None for nothing and for an error, which joins the problems."""
        try:
            return self._search(document)
        except EVALUATION_ERRORS as error:
            reason = str(error).partition("\n")[0][:200] or type(error).__name__
            readings.reject(subject, f"{self.expression}: {reason}")
            return None


class _Table:
    """One table of the options, compiled."""

    def __init__(self, options: JsonTable) -> None:
        self.options = options
        self.name = options.name if "{column}" in options.name else f"{options.name}/{{column}}"
        self.rows = _Path(options.rows)
        self.time = _Path(options.time) if options.time else None
        self.columns = {column: _Path(path) for column, path in options.columns.items()}
        self._labels = {label: _Path(label) for label in references(options.name, options.place) if label != "column"}

    def labels(self, row: _Row, readings: Readings) -> dict[str, str]:
        """What the labels of the templates stand for in a row. Raises ValueError where the row lacks one."""
        found: dict[str, str] = {}
        for label, path in self._labels.items():
            value = row.own.get(label) or path.find(row.value, row.shown, readings)
            text = " ".join(str(value).split()) if isinstance(value, str | int | float) else ""
            if not text:
                raise ValueError(f"no {label!r} for its name" if value is None else f"{label!r} is {shown(value)}, which is no name")
            found[label] = text
        return found


class Mapper:
    """Reads one document after the other. It remembers how a channel was described, so that it stays the same channel."""

    def __init__(self, origin: Origin, options: JsonOptions) -> None:
        self._options = options
        self._describer = Describer(origin, options)
        self._values = {name: _Path(path) for name, path in options.values.items()}
        self._tables = [_Table(table) for table in options.tables]
        self._time = _Path(options.time) if options.time else None
        self._known: dict[tuple[str, str], Channel | None] = {}
        self._flat: set[str] = set()

    def read(self, document: object, own: Mapping[str, str] | None = None) -> Readings:
        """All that the mapping finds in a document. `own`: labels of the reader that names of rows may use, and what they stand for."""
        readings = Readings()
        if self._time is not None:
            readings.time_ns = self._time_of(self._time, document, "time", readings)
        for name, path in self._values.items():
            value = path.find(document, name, readings)
            readings.is_found |= value is not None
            self._add(readings, name, name, value, "")
        for table in self._tables:
            self._read_table(table, document, own or {}, readings)
        if self._options.flatten:
            flat = dict(self._flatten(document, readings))
            readings.is_found |= bool(flat)
            for name, value in flat.items():
                self._add(readings, name, name.rpartition(".")[2], value, "")
            self._flat = set(flat)
        if len(self._known) > 2 * len(readings.channels) + MAX_CHANNELS:  # names that come and go are not kept for ever
            self._known = {}
        return readings

    def _read_table(self, table: _Table, document: object, own: Mapping[str, str], readings: Readings) -> None:
        found = table.rows.find(document, table.rows.expression, readings)
        readings.is_found |= found is not None
        if found is not None and not isinstance(found, list | dict):
            readings.reject(table.rows.expression, f"{shown(found)} is no list of rows")
            return
        for row in _rows(found or [], table.rows.expression, own):
            try:
                labels = table.labels(row, readings)
            except ValueError as error:
                readings.reject(row.shown, str(error), shown(row.value).encode())
                continue
            moment = self._time_of(table.time, row.value, row.shown, readings) if table.time else None
            place = join_place(*fill(table.options.place, labels).split("/"))
            for column, value in self._cells(table, row, readings):
                name = fill(table.name, {**labels, "column": column})
                if self._add(readings, name, column, value, place) and moment is not None:
                    readings.times_ns[name] = moment

    def _cells(self, table: _Table, row: _Row, readings: Readings) -> Iterator[tuple[str, object]]:
        if table.columns:
            for column, path in table.columns.items():
                yield column, path.find(row.value, f"{row.shown} {column}", readings)
        else:
            yield from ((path, value) for path, value in leaves(row.value) if is_numeric(value))

    def _flatten(self, document: object, readings: Readings) -> Iterator[tuple[str, object]]:
        """Numbers, truth values, and whatever stands where one of them stood before or a state is named."""
        for path, value in leaves(document):
            if (is_numeric(value) or path in self._flat or self._describer.has_states(path)) and path not in readings.channels:
                yield path, value

    def _add(self, readings: Readings, name: str, quantity: str, value: object, place: str) -> bool:
        """Takes one value; whether its channel is wanted."""
        known = name, place
        if known in self._known:
            channel = self._known[known]
        else:
            channel = self._describer.describe(name, quantity, value, place)
            if value is not None:  # before its first value nobody knows what it is
                self._known[known] = channel
        if channel is None:
            return False
        if name in readings.channels:
            readings.reject(name, "two values have this name; the first is taken")
            return False
        if len(readings.channels) >= MAX_CHANNELS:
            readings.reject(name, f"more than {MAX_CHANNELS} channels")
            return False
        found, reason = reading(value, channel)
        readings.channels[name] = channel
        readings.values[name] = found
        if reason:
            readings.bad[name] = Quality.INVALID
            readings.reject(name, reason, shown(value).encode())
        return True

    def _time_of(self, path: _Path, document: object, subject: str, readings: Readings) -> int | None:
        value = path.find(document, subject, readings)
        found = time_ns(value, self._options.time_format, self._options.timezone)
        if found is None or found <= 0:
            reason = f"{path.expression} is {shown(value)}, which is no time; the time of arrival is taken"
            readings.reject(subject, reason)
            return None
        return found


def _rows(found: list[Any] | dict[str, Any], path: str, own: Mapping[str, str]) -> Iterator[_Row]:
    if isinstance(found, dict):
        for key, value in found.items():
            yield _Row(value, f"{path}.{key}", {**own, "key": str(key)})
    else:
        for index, value in enumerate(found):
            yield _Row(value, f"{path}[{index}]", {**own, "index": str(index)})
