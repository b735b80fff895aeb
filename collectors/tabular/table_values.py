"""Cells of a table as numbers, states and times: whole columns at once, and only what fails is looked at singly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

TimeFormat = Literal["auto", "iso", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns"]
_UNIT_NS = {"epoch_s": 1_000_000_000, "epoch_ms": 1_000_000, "epoch_us": 1_000, "epoch_ns": 1}
_SCALES = ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000), (float("inf"), 1))
"""Epoch numbers below these are taken for seconds, milliseconds and microseconds: years 1973 to 5138."""
_TRUTH = {"true": 1.0, "false": 0.0}
_LAST_NS = float(np.iinfo(np.int64).max)
NO_TIME = np.iinfo(np.int64).min
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_text(column: pa.Array) -> bool:
    """Whether a column holds text."""
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or pa.types.is_dictionary(column.type))


def numbers(column: pa.Array, states: Sequence[str] = ()) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values as float64 and which cells hold something else; both shape (n,). Missing cells are NaN and not bad.

    With `states` the names stand for their index; "true" and "false" are 1 and 0. Infinite numbers are bad.
    """
    if is_text(column):
        values, bad = _parsed(column.cast(pa.string()), states)
    else:
        try:
            values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
            bad = np.zeros(len(values), dtype=bool)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return np.full(len(column), np.nan), column.is_valid().to_numpy(zero_copy_only=False)
    if states:
        bad |= np.isfinite(values) & ~np.isin(values, np.arange(len(states)))
    bad |= np.isinf(values)
    return np.where(bad, np.nan, values), bad


def _parsed(column: pa.Array, states: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if not states:
        try:
            values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
            return values, np.zeros(len(values), dtype=bool)
        except pa.ArrowInvalid:
            pass
    text = pd.Series(pc.utf8_trim_whitespace(column).to_numpy(zero_copy_only=False), dtype=object)
    values = np.array(pd.to_numeric(text, errors="coerce"), dtype=np.float64)
    named = {name: float(i) for i, name in enumerate(states)}
    mapped = np.array(text.map(named) if named else text.str.lower().map(_TRUTH), dtype=np.float64)
    values = np.where(np.isnan(mapped), values, mapped)
    is_missing = text.isna() | text.fillna("").astype(str).str.lower().isin(("", "nan"))
    return values, np.isnan(values) & ~is_missing.to_numpy(dtype=bool)


def times(column: pa.Array, time_format: TimeFormat, timezone: str) -> NDArray[np.int64]:
    """Times in ns UTC, shape (n,); NO_TIME where a cell is none. Times without a zone are read in `timezone`."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _nanoseconds(_in_zone(column, timezone))
    if is_text(column):
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
        if time_format != "iso":
            for number_type in (pa.int64(), pa.float64()):
                try:
                    return _epoch(text.cast(number_type), time_format)
                except pa.ArrowInvalid:
                    continue
        if time_format in ("auto", "iso") and (parsed := _iso(text, timezone)) is not None:
            return parsed
        column = pa.array(numbers(text)[0])
    return _epoch(column, time_format)


def moment_ns(moment: datetime, timezone: str) -> int:
    """A time in ns UTC; one without a zone is read in `timezone`."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(timezone))
    return (aware - _EPOCH) // timedelta(microseconds=1) * 1000


def row_times(start_ns: int, period_s: float, first_row: int, rows: int) -> NDArray[np.int64]:
    """Times in ns UTC of rows at equal distance, of which row 0 is at `start_ns`; shape (rows,)."""
    return start_ns + (np.arange(rows) + first_row) * round(period_s * 1e9)


def check_timezone(name: str) -> str:
    """The name itself. Raises ValueError where there is no such IANA time zone."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"no time zone {name!r}") from None
    return name


def _iso(text: pa.Array, timezone: str) -> NDArray[np.int64] | None:
    """Times in ISO 8601; None where not a single cell is one."""
    for kind in (pa.timestamp("ns"), pa.timestamp("ns", "UTC")):
        try:
            return _nanoseconds(_in_zone(text.cast(kind), timezone))
        except pa.ArrowInvalid:
            continue
    parsed = [_iso_cell(cell, timezone) for cell in text.to_pylist()]
    return None if all(ns == NO_TIME for ns in parsed) else np.array(parsed, dtype=np.int64)


def _iso_cell(cell: str | None, timezone: str) -> int:
    if not cell or "-" not in cell:
        return NO_TIME  # a plain number could be read as a date without its hyphens
    try:
        moment = pd.Timestamp(datetime.fromisoformat(cell))
        return int(
            (moment if moment.tzinfo else moment.tz_localize(timezone, ambiguous=True, nonexistent="shift_forward")).as_unit("ns").value
        )
    except (ValueError, OverflowError):
        return NO_TIME


def _in_zone(column: pa.Array, timezone: str) -> pa.Array:
    column = column.cast(pa.timestamp("ns", getattr(column.type, "tz", None)), safe=False)
    return column if column.type.tz else pc.assume_timezone(column, timezone, ambiguous="earliest", nonexistent="latest")


def _nanoseconds(column: pa.Array) -> NDArray[np.int64]:
    return np.asarray(pc.fill_null(column.cast(pa.int64()), NO_TIME).to_numpy(zero_copy_only=False), dtype=np.int64)


def _epoch(column: pa.Array, time_format: TimeFormat) -> NDArray[np.int64]:
    if time_format == "iso":
        return np.full(len(column), NO_TIME)
    values, _ = numbers(column)
    if time_format == "auto":
        there = np.abs(values[np.isfinite(values)])
        usual = float(np.median(there)) if len(there) else 0.0  # and not the largest: one damaged cell would move all others
        scale = next(scale for limit, scale in _SCALES if usual < limit)
    else:
        scale = _UNIT_NS[time_format]
    if pa.types.is_integer(column.type) and not column.null_count and np.abs(values).max(initial=0.0) * scale < _LAST_NS:
        return np.asarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64) * scale
    good = np.isfinite(values) & (np.abs(values) * scale < _LAST_NS)
    whole = np.floor(np.where(good, values, 0.0))
    fraction_ns = np.round((np.where(good, values, 0.0) - whole) * scale)
    return np.where(good, whole.astype(np.int64) * scale + fraction_ns.astype(np.int64), NO_TIME)
