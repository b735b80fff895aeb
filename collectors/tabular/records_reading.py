"""From the columns of a block to records that can be added up, and what of them could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from collectors.collector import CollectError, Rejected
from collectors.patterns import matches
from collectors.tabular.records_blocks import format_of
from collectors.tabular.records_intervals import Records
from collectors.tabular.records_options import RecordsOptions
from collectors.tabular.table_blocks import Block
from collectors.tabular.table_frames import BadCells
from collectors.tabular.table_values import NO_TIME, numbers, times

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNIT_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_DATE_PARTS = ("year", "month", "day", "hour", "minute", "second")


class RecordReader:
    """Reads blocks by the options; it keeps nothing from block to block."""

    def __init__(self, options: RecordsOptions) -> None:
        self._options = options
        self._at_ns = NO_TIME
        if options.at is not None:
            at = options.at if options.at.tzinfo else options.at.replace(tzinfo=ZoneInfo(options.timezone))
            self._at_ns = (at - _EPOCH) // timedelta(microseconds=1) * 1000

    def check(self, path: str, block: Block) -> None:
        """Raises CollectError where a column is missing."""
        wanted = self._options.wanted_columns()
        missing = [name for name in wanted if name not in block.columns]
        if missing and len(missing) == len(wanted) and format_of(path, self._options.format) == "csv":  # it is perhaps no header
            raise CollectError(f"{path}: its first line names none of the columns {', '.join(wanted)}; give `names` if it has no header")
        if missing:
            raise CollectError(f"{path}: no column {missing[0]!r} among {', '.join(block.columns) or 'none'}")

    def time_ns(self, block: Block) -> NDArray[np.int64]:
        """The time of each record, NO_TIME where it has none; shape (rows,)."""
        options, columns = self._options, block.columns
        if options.at is not None:
            return np.full(block.rows, self._at_ns)
        if isinstance(options.time, str):
            found = times(columns[options.time], options.time_format, options.timezone)
        else:
            parts = {part: numbers(columns[name])[0] for part, name in zip(_DATE_PARTS, options.time, strict=False)}
            date = pd.to_datetime(pd.DataFrame(parts), errors="coerce").dt.tz_localize(
                options.timezone, ambiguous=False, nonexistent="shift_forward"
            )
            stamps = date.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
            found = np.where(np.isnat(stamps), NO_TIME, stamps.astype(np.int64))
        return np.where(found > 0, found, NO_TIME)

    def volume(self, block: Block) -> NDArray[np.float64]:
        """By what groups are ranked: bytes where there is a size, else events; shape (rows,)."""
        if self._options.all_sums:
            return np.nan_to_num(numbers(block.columns[self._options.all_sums[0].column])[0])
        return np.nan_to_num(numbers(block.columns[self._options.count])[0]) if self._options.count else np.ones(block.rows)

    def records(
        self, path: str, block: Block, interval: NDArray[np.int64], group: NDArray[np.int64], timed: NDArray[np.bool_]
    ) -> tuple[Records, list[Rejected]]:
        """The records of a block; cells that cannot be read are named and say nothing. `timed`: False where there is no time."""
        options, columns = self._options, block.columns
        bad_cells = BadCells(path, block.first_row)
        reason = "has no time that can be read; the record is left out"
        bad_cells.add(options.time_columns[0] if options.time else "time", None, ~timed, reason)
        read = {name: self._numbers(name, columns, bad_cells) for name in self._numeric()}
        sums = [read[sum_.column] * sum_.factor for sum_ in options.all_sums]
        distinct = tuple(_hashes(columns[name]) for name in options.distinct)
        made = Records(
            interval,
            group,
            np.nan_to_num(read[options.count]) if options.count else np.ones(block.rows),
            np.stack(sums, axis=1) if sums else np.zeros((block.rows, 0)),
            self._failed(columns[options.status]) if options.status else np.full(block.rows, np.nan),
            self._values(read, block.rows),
            distinct,
        )
        return made, list(bad_cells.rejected())

    def _numeric(self) -> Iterator[str]:
        options = self._options
        named = (options.count, options.elapsed, options.value, *(sum_.column for sum_ in options.all_sums))
        return iter(dict.fromkeys(name for name in named if name))

    def _numbers(self, name: str, columns: Mapping[str, pa.Array], bad_cells: BadCells) -> NDArray[np.float64]:
        values, bad = numbers(columns[name])
        bad_cells.add(name, None, bad)  # without the cell: in a line with shifted columns it may name somebody
        return values

    def _values(self, read: Mapping[str, NDArray[np.float64]], rows: int) -> NDArray[np.float64]:
        options = self._options
        if options.value:
            return read[options.value]
        if not options.elapsed:
            return np.full(rows, np.nan)
        elapsed_s = read[options.elapsed] * _UNIT_S[options.elapsed_unit]
        size = read[options.size] * options.size_factor
        rate = np.full(rows, np.nan)
        np.divide(size, elapsed_s, out=rate, where=elapsed_s > 0)
        return rate

    def _failed(self, column: pa.Array) -> NDArray[np.float64]:
        """1 or 0, NaN where there is no status; shape (rows,)."""
        encoded = pc.dictionary_encode(pc.utf8_trim_whitespace(column.cast(pa.string())))
        verdicts = [self._is_failure(word) for word in encoded.dictionary.to_pylist()]
        code = pc.fill_null(encoded.indices.cast(pa.int64()), len(verdicts)).to_numpy(zero_copy_only=False)
        result: NDArray[np.float64] = np.array([*verdicts, np.nan])[code]
        return result

    def _is_failure(self, word: str) -> float:
        if not word:
            return np.nan
        if self._options.failed:
            return float(_any(self._options.failed, word))
        return float(not _any(self._options.succeeded, word))


def _any(patterns: Sequence[str], word: str) -> bool:
    return any(matches(pattern, word) for pattern in patterns)


def _hashes(column: pa.Array) -> NDArray[np.uint64]:
    """A 64-bit hash of each cell, 0 for a missing one; shape (rows,)."""
    cells = column.cast(pa.string())
    hashes = pd.util.hash_array(pc.fill_null(cells, "").to_numpy(zero_copy_only=False).astype(object), categorize=True)
    return np.where(cells.is_valid().to_numpy(zero_copy_only=False), np.maximum(hashes, 1), 0).astype(np.uint64)
