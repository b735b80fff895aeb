"""Drive statistics as Backblaze publishes them: lines of a daily file to blocks of rows.

Layout: https://www.backblaze.com/cloud-storage/resources/hard-drive-test-data. A header names the columns; first are date,
serial_number, model, capacity_bytes and failure, and then come smart_N_normalized and smart_N_raw of all attributes; columns were
added over the years.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from collectors.collector import Rejected
from collectors.disks.backblaze_kernel import DAY, KEY, KEY_END, ODD, PADDING_BYTES, parse_rows

PIECE_BYTES = 1 << 20
TAIL_BYTES = 1 << 14
"""The last newline of a piece is usually within so many bytes."""
REQUIRED = ("date", "serial_number", "model")
REPORTED_ROWS = 3
"""Lines and cells of a file that are named; the rest is counted."""
_NOT_THERE = {"", "nan", "null", "none", "na", "n/a"}


class LayoutOfFileError(ValueError):
    """A file that is no table of drive statistics; says why."""


class Rows(NamedTuple):
    """Some rows. day (n,): days since 1970; key: of each row the drive's serial number and model, KEY_END after each.

    values (n, columns): what the wanted columns hold, NaN where they are empty or not in the file, ODD where they hold no count.
    """

    day: NDArray[np.int32]
    key: pa.BinaryArray
    values: NDArray[np.float64]


class RowReader:
    """Reads one file. What cannot be used is rejected, the first of it by name and the rest by number at the end."""

    def __init__(self, name: str, columns: Mapping[str, str]) -> None:
        """`columns`: the wanted ones, with what each is called in what is told of it."""
        self._name = name
        self._columns = tuple(columns)
        self._called = tuple(columns.values())
        self._rejected = 0

    def rows(self, stream: BinaryIO) -> Iterator[Rows | Rejected]:
        """All rows of a stream in blocks. Raises LayoutOfFileError, OSError, EOFError."""
        text = np.zeros(PIECE_BYTES + PADDING_BYTES, dtype=np.uint8)
        view = memoryview(text)  # type: ignore[arg-type] # arrays are buffers
        header, filled, line = None, 0, 1
        while taken := _fill(stream, view[filled:PIECE_BYTES]):
            filled += taken
            end = _after_last_newline(view[:filled])
            if not end:
                if filled == PIECE_BYTES:
                    raise LayoutOfFileError(f"line {line} is longer than {PIECE_BYTES} bytes")
                continue
            first = 0
            if header is None:
                first = bytes(view[:end]).index(b"\n") + 1
                header, line = _Header.of(bytes(view[:first]), self._columns), 2
            block, rejected, lines = self._parsed(header, text[first:], end - first, line)
            yield from rejected
            if len(block.day):
                yield block
            line += lines
            text[: filled - end] = text[end:filled].copy()
            filled -= end
        if header is None:
            raise LayoutOfFileError("it is empty" if not filled else "it ends in its first line")
        if filled:
            yield from self._told(f"line {line}", "it ends in the middle of the line", bytes(view[:filled]))
        if self._rejected > REPORTED_ROWS:
            yield Rejected(self._name, f"{self._rejected - REPORTED_ROWS} more lines or cells could not be used")

    def _parsed(self, header: _Header, text: NDArray[np.uint8], end: int, line: int) -> tuple[Rows, list[Rejected], int]:
        """Whole lines: their rows, what is rejected of them, and how many they are."""
        most = end // header.width + 1
        days, values = np.empty(most, dtype=np.int32), np.empty((most, len(self._columns)))
        values[:, header.absent] = np.nan
        keys, key_ends = np.empty(end + 2 * most, dtype=np.uint8), np.zeros(most + 1, dtype=np.int32)
        odd, bad = np.empty((most * len(header.columns), 3), dtype=np.int64), np.empty((most, 4), dtype=np.int64)
        found, odds, bads, lines = parse_rows(text, end, header.columns, header.roles, header.width, days, values, keys, key_ends, odd, bad)
        offsets, content = pa.py_buffer(key_ends[: found + 1]), pa.py_buffer(keys[: key_ends[found]].copy())
        block = Rows(days[:found].copy(), pa.BinaryArray.from_buffers(pa.binary(), found, [None, offsets, content]), values[:found])
        rejected: list[Rejected] = []
        for start, stop, cells, number in bad[:bads].tolist():
            reason = f"{cells} columns, expected {header.width}" if cells >= 0 else "no date"
            rejected += self._told(f"line {line + number}", reason, text[start:stop].tobytes())
        for row, place, at in odd[:odds].tolist():
            rejected += self._cell(block, row, place, text[at : at + 400].tobytes())
        return block, rejected, lines

    def _cell(self, block: Rows, row: int, place: int, text: bytes) -> list[Rejected]:
        """A cell that is no plain count: its number after all, or its rejection."""
        cell = text.split(b"\n", 1)[0].split(b",", 1)[0].decode("utf-8", "replace").strip()
        value = _value(cell)
        block.values[row, place] = value
        if value != ODD:
            return []
        serial = serial_and_model(block.key[row].as_py())[0]
        return self._told(f"{serial}/{self._called[place]}", f"{cell[:40]!r} is not a count", text[:80])

    def _told(self, what: str, reason: str, payload: bytes) -> list[Rejected]:
        self._rejected += 1
        return [Rejected(f"{self._name} {what}", reason, payload)] if self._rejected <= REPORTED_ROWS else []


class _Header(NamedTuple):
    """Where the wanted columns are; see `parse_rows`."""

    columns: NDArray[np.int64]
    roles: NDArray[np.int64]
    width: int
    absent: list[int]
    """Places in a row of values whose columns the file does not have."""

    @classmethod
    def of(cls, line: bytes, wanted: Sequence[str]) -> _Header:
        names = [name.strip().strip('"') for name in line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").split(",")]
        places = {name: i for i, name in enumerate(names)}
        if missing := [name for name in REQUIRED if name not in places]:
            raise LayoutOfFileError(f"no column {missing[0]!r}")
        if places["serial_number"] > places["model"]:
            raise LayoutOfFileError("model stands before serial_number")
        roles = {places["date"]: DAY, places["serial_number"]: KEY, places["model"]: KEY}
        roles |= {places[name]: i for i, name in enumerate(wanted) if name in places}
        ordered = sorted(roles)
        absent = [i for i, name in enumerate(wanted) if name not in places]
        order = np.array(ordered, dtype=np.int64), np.array([roles[column] for column in ordered], dtype=np.int64)
        return cls(*order, len(names), absent)


def serial_and_model(key: bytes) -> tuple[str, str]:
    """The two parts of a drive's key."""
    serial, model = key.split(bytes([KEY_END]))[:2]
    return serial.decode("utf-8", "replace").strip(), model.decode("utf-8", "replace").strip()


def _value(cell: str) -> float:
    """The count in a cell, NaN where it says that there is none, ODD where it cannot be one."""
    if cell.lower() in _NOT_THERE:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        return ODD
    return value if 0 <= value < 2.0**64 and "_" not in cell else ODD


def _after_last_newline(view: memoryview) -> int:
    """The position after the last newline, 0 where there is none."""
    tail = max(0, len(view) - TAIL_BYTES)
    found = bytes(view[tail:]).rfind(b"\n")
    return tail + found + 1 if found >= 0 else bytes(view[:tail]).rfind(b"\n") + 1


def _fill(stream: BinaryIO, view: memoryview) -> int:
    """Reads into a view; how many bytes, 0 at the end."""
    into = getattr(stream, "readinto", None)
    if into is not None:
        return int(into(view))
    data = stream.read(len(view))
    view[: len(data)] = data
    return len(data)
