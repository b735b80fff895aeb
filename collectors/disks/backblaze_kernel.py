"""Rows of drive statistics from bytes to numbers, in machine code. Import it only where it is used: it imports numba.

A row has some 200 cells of which a dozen are wanted and most are empty, so that nearly all work is counting commas. They are
counted in words of eight bytes: exclusive-or with a comma in each byte leaves a zero byte where there is one (Mycroft's test in
its exact form, see H. S. Warren, Hacker's Delight, 2nd edition, 6-1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

DAY, KEY = -1, -2
"""Roles of columns that are no numbers: the date, and what a drive is known by."""
KEY_END = 0x1F
"""Stands after each part of a key."""
ODD = -1.0
"""A cell that is neither empty nor a plain count; where it is, is told."""
PADDING_BYTES = 16
"""Bytes after the last line of a text that may be looked at; whatever they are, they change nothing."""

_COMMA, _NEWLINE, _RETURN, _DOT, _DASH, _ZERO = 44, 10, 13, 46, 45, 48
_COMMAS = np.uint64(0x2C2C2C2C2C2C2C2C)
_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
_ONES = np.uint64(0x0101010101010101)
_1, _2, _3, _4, _5, _6, _7, _8, _16, _24, _32, _40, _48, _56 = map(np.uint64, (1, 2, 3, 4, 5, 6, 7, 8, 16, 24, 32, 40, 48, 56))
_DIGITS = 15  # as many are exact in a float64


def _compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compiled at the first call; kept on disk where there is a folder for it."""
    try:
        made: Callable[P, R] = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba found no folder to keep it in
        made = numba.njit(nogil=True)(function)
    return made


def _inlined(function: Callable[P, R]) -> Callable[P, R]:
    made: Callable[P, R] = numba.njit(nogil=True, inline="always")(function)
    return made


@_inlined
def _word(text: NDArray[np.uint8], at: int) -> Any:  # noqa: ANN401 - an unsigned word
    """Eight bytes from a position on; the compiler makes one load of it."""
    i = np.uint64(at)
    low = np.uint64(text[i]) | np.uint64(text[i + _1]) << _8 | np.uint64(text[i + _2]) << _16 | np.uint64(text[i + _3]) << _24
    high = np.uint64(text[i + _4]) << _32 | np.uint64(text[i + _5]) << _40 | np.uint64(text[i + _6]) << _48 | np.uint64(text[i + _7]) << _56
    return low | high


@_inlined
def _marks(word: Any, pattern: Any) -> Any:  # noqa: ANN401 - unsigned words
    """A one in each byte that is as in the pattern."""
    other = word ^ pattern
    return (~(((other & _LOW_BITS) + _LOW_BITS) | other | _LOW_BITS)) >> _7


@_inlined
def _count(marks: Any) -> Any:  # noqa: ANN401 - an unsigned word, a number
    return np.int64((marks * _ONES) >> _56)


@_inlined
def _below(marks: Any) -> Any:  # noqa: ANN401 - unsigned words
    """All bits below the lowest mark."""
    return (marks & (~marks + _1)) - _1


@_inlined
def _after_commas(text: NDArray[np.uint8], at: int, count: int) -> int:
    """The position after so many commas, -1 where the line ends before."""
    result = -2
    while result == -2:
        word = _word(text, at)
        commas, newlines = _marks(word, _COMMAS), _marks(word, _NEWLINES)
        if newlines:
            commas &= _below(newlines)
        found = _count(commas)
        if found >= count:
            for _ in range(count - 1):
                commas &= commas - _1
            result = at + _count(_below(commas) & _ONES) + 1
        elif newlines:
            result = -1
        else:
            count -= found
            at += 8
    return result


@_inlined
def _to_line_end(text: NDArray[np.uint8], at: int) -> tuple[int, int]:
    """The position of the newline, and the number of commas before it."""
    total = 0
    while True:
        word = _word(text, at)
        commas, newlines = _marks(word, _COMMAS), _marks(word, _NEWLINES)
        if newlines:
            below = _below(newlines)
            return at + _count(below & _ONES), total + _count(commas & below)
        total += _count(commas)
        at += 8


@_inlined
def _is_end(byte: int) -> bool:
    return byte in (_COMMA, _NEWLINE, _RETURN)


@_inlined
def _number(text: NDArray[np.uint8], at: int) -> float:
    """The count at a position, also with a fraction of zeros; NaN for an empty cell, ODD for anything else."""
    start, value = at, 0
    while _ZERO <= text[at] <= _ZERO + 9:
        value = 10 * value + text[at] - _ZERO
        at += 1
    digits = at - start
    if digits and text[at] == _DOT:
        at += 1
        while text[at] == _ZERO:
            at += 1
    if not _is_end(text[at]) or digits > _DIGITS:
        return ODD
    return float(value) if digits else math.nan


@_inlined
def _digits(text: NDArray[np.uint8], at: int, count: int) -> int:
    """The number of so many digits, less than zero where one of them is none."""
    value = 0
    for i in range(at, at + count):
        digit: Any = np.int64(text[i]) - _ZERO
        value = 10 * value + digit if 0 <= digit <= 9 else -1_000_000
    return value


@_inlined
def _days(text: NDArray[np.uint8], at: int) -> int:
    """Days since 1970 of a date 2024-01-31, -1 where there is none. From H. Hinnant, chrono-compatible low-level date algorithms."""
    year, month, day = _digits(text, at, 4), _digits(text, at + 5, 2), _digits(text, at + 8, 2)
    is_date = text[at + 4] == _DASH and text[at + 7] == _DASH and _is_end(text[at + 10])
    if not is_date or year < 1970 or not 1 <= month <= 12 or not 1 <= day <= 31:
        return -1
    if month <= 2:
        year -= 1
    of_era = year % 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return year // 400 * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@_inlined
def _copied(text: NDArray[np.uint8], at: int, keys: NDArray[np.uint8], used: int) -> int:
    """Appends a cell to the keys; how much of them is used then."""
    while not _is_end(text[at]):
        keys[used] = text[at]
        at, used = at + 1, used + 1
    keys[used] = KEY_END
    return used + 1


@_inlined
def _row(
    text: NDArray[np.uint8],
    start: int,
    columns: NDArray[np.int64],
    roles: NDArray[np.int64],
    row: int,
    values: NDArray[np.float64],
    keys: NDArray[np.uint8],
    used: int,
    odd: NDArray[np.int64],
    odds: int,
) -> tuple[int, int, int, int, int]:
    """The wanted cells of a line: where the last one is, in bytes and in columns, the day, how much of the keys is used, and odd cells.

    A line that ends before the last one is told from its start on, as column 0.
    """
    at, column, day = start, 0, -1
    for i in range(len(columns)):
        if columns[i] > column:
            at = _after_commas(text, at, columns[i] - column)
            if at < 0:
                return start, 0, -1, used, odds
            column = columns[i]
        role = roles[i]
        if role >= 0:
            values[row, role] = _number(text, at)
            if values[row, role] == ODD:
                odd[odds, 0], odd[odds, 1], odd[odds, 2] = row, role, at
                odds += 1
        elif role == KEY:
            used = _copied(text, at, keys, used)
        else:
            day = _days(text, at)
    return at, column, day, used, odds


@_compiled
def parse_rows(
    text: NDArray[np.uint8],
    end: int,
    columns: NDArray[np.int64],
    roles: NDArray[np.int64],
    width: int,
    days: NDArray[np.int32],
    values: NDArray[np.float64],
    keys: NDArray[np.uint8],
    key_ends: NDArray[np.int32],
    odd: NDArray[np.int64],
    bad: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Takes whole lines apart. Returns how many rows are good, how many cells are odd, how many lines are bad, and all lines.

    text: bytes with PADDING_BYTES behind `end`, which is just after a newline. columns: positions of the wanted cells, rising;
    roles: of each, DAY, KEY or its place in a row of `values`; width: cells of a line.

    Filled: days (n,) since 1970; values (n, numbers), NaN where empty; keys, one after the other, those of a row up to
    key_ends[row + 1]; odd (m, 3): row, place, position in the text; bad (k, 4): position, its end, its cells (or -1 where the
    date is none), number of the line.
    """
    at, rows, odds, bads, lines, used = 0, 0, 0, 0, 0, 0
    while at < end:
        start = at
        at, column, day, used_then, odds_then = _row(text, at, columns, roles, rows, values, keys, used, odd, odds)
        newline, commas = _to_line_end(text, at)
        cells = commas + 1 + column
        if cells == width and day >= 0:
            days[rows], key_ends[rows + 1] = day, used_then
            rows, used, odds = rows + 1, used_then, odds_then
        elif newline > start:  # an empty line is nothing
            bad[bads, 0], bad[bads, 1], bad[bads, 2], bad[bads, 3] = start, newline, cells if cells != width else -1, lines
            bads += 1
        at, lines = newline + 1, lines + 1
    return rows, odds, bads, lines
