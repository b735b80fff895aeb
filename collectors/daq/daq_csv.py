"""Tables of DAQ snapshots as compressed CSV: read fast where they are sound, cell by cell where they are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pac
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from collectors.collector import CollectError, Rejected

TIME = "t_ms"
MAX_REJECTED = 100
"""Cells of one column that are named one by one; the others are only counted."""


class DaqTable:
    """One table, rows in order of time: columns by name, and what could not be read (`rejected`).

    `numbers` and `flags` are the columns that must be numbers and true or false; all other columns wanted are text.
    Raises CollectError, naming the file, where it is missing, truncated or lacks a column.
    """

    def __init__(
        self, folder: Path, name: str, *, numbers: Sequence[str] = (), flags: Sequence[str] = (), texts: Sequence[str] = ()
    ) -> None:
        self.path = _existing(folder, name)
        self.rejected: list[Rejected] = []
        self._skipped: list[int] = []
        self.columns = (*numbers, *flags, *texts)
        self._types = types = {TIME: pa.float64()}
        types |= dict.fromkeys(numbers, pa.float64()) | dict.fromkeys(flags, pa.bool_())
        types |= dict.fromkeys(texts, pa.dictionary(pa.int32(), pa.string()))
        try:
            table = self._read(types)
        except pa.ArrowInvalid:  # a cell that is not of its column's type, or a row of another length
            table = self._read(dict.fromkeys(types, pa.string()), self._skip_row)
        self._table = table.combine_chunks()
        self._order: NDArray[np.int64] = np.arange(len(self._table))
        time_ms = self.number(TIME)
        timed = np.isfinite(time_ms)
        self._reject(TIME, np.flatnonzero(~timed), "the line has no time", "")
        self._order = np.flatnonzero(timed)[np.argsort(time_ms[timed], kind="stable")]
        self.time_ms: NDArray[np.int64] = time_ms[self._order].astype(np.int64)

    @classmethod
    def header(cls, folder: Path, name: str) -> list[str]:
        """Names of all columns of a table."""
        path = _existing(folder, name)
        try:
            with pacsv.open_csv(path) as reader:
                return list(reader.schema.names)
        except (OSError, pa.ArrowInvalid) as error:
            raise CollectError(f"{path}: {error}") from error

    def number(self, column: str) -> NDArray[np.float64]:
        """A column as numbers (flags as 0 and 1), NaN where the cell is empty or was rejected; shape (rows,)."""
        array = self._table.column(column).combine_chunks()
        if pa.types.is_string(array.type):
            return self._parsed(column, array.take(pa.array(self._order)))
        values: NDArray[np.float64] = np.asarray(pac.cast(array, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        return values[self._order]

    def text(self, column: str) -> tuple[NDArray[np.int64], list[str]]:
        """A column as codes into its distinct texts, -1 where the cell is empty; shape (rows,)."""
        array = self._table.column(column).combine_chunks()
        encoded = array if pa.types.is_dictionary(array.type) else pac.dictionary_encode(array)
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        codes = np.asarray(pac.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
        texts = [str(text) for text in encoded.dictionary.to_pylist()]
        if "" in texts:
            codes = np.where(codes == texts.index(""), -1, codes)
        return codes[self._order], texts

    def combined(self, *columns: str | NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[tuple[Any, ...]]]:
        """Several columns as codes into their distinct combinations; shape (rows,).

        A column is named (text, "" where empty, or a whole number, which is -1 where it was rejected) or given as flags.
        """
        radix = np.zeros(len(self._order), dtype=np.int64)
        meanings: list[list[Any]] = []
        for column in columns:
            codes, values = self._coded(column)
            radix = radix * len(values) + codes
            meanings.append(values)
        distinct, codes = np.unique(radix, return_inverse=True)
        combinations = []
        for values in reversed(meanings):
            distinct, which = np.divmod(distinct, len(values))
            combinations.append([values[i] for i in which.tolist()])
        return codes, list(zip(*reversed(combinations), strict=True))

    def _coded(self, column: str | NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[Any]]:
        if not isinstance(column, str):
            return column.astype(np.int64), [False, True]
        if pa.types.is_floating(self._types[column]):
            distinct, codes = np.unique(np.nan_to_num(self.number(column), nan=-1), return_inverse=True)
            return codes, [int(value) for value in distinct]
        codes, texts = self.text(column)
        return np.where(codes < 0, len(texts), codes), [*texts, ""]

    def mapped(self, column: str, meaning: Callable[[str], int | None]) -> NDArray[np.float64]:
        """A text column through `meaning`, NaN where that is None, or rejected where it raises ValueError; shape (rows,)."""
        codes, texts = self.text(column)
        numbers = np.full(len(texts) + 1, np.nan)
        for i, text in enumerate(texts):
            try:
                number = meaning(text)
            except ValueError as error:
                self._reject(column, np.flatnonzero(codes == i), str(error), text)
            else:
                numbers[i] = np.nan if number is None else number
        return numbers[codes]

    def _read(self, types: dict[str, pa.DataType], skip_row: Callable[[pacsv.InvalidRow], str] | None = None) -> pa.Table:
        try:
            return pacsv.read_csv(
                self.path,
                read_options=pacsv.ReadOptions(use_threads=skip_row is None),
                parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip_row),
                convert_options=pacsv.ConvertOptions(
                    column_types=types, include_columns=list(types), strings_can_be_null=True, quoted_strings_can_be_null=True
                ),
            )
        except pa.ArrowInvalid as error:
            if skip_row is None:
                raise
            raise CollectError(f"{self.path}: {error}") from error
        except (OSError, KeyError) as error:
            raise CollectError(f"{self.path}: {error.args[0] if error.args else error}") from error

    def _skip_row(self, row: pacsv.InvalidRow) -> str:
        reason = f"{row.actual_columns} cells instead of {row.expected_columns}"
        self.rejected.append(Rejected(f"{self.path} line {row.number}", reason, row.text.encode()))
        self._skipped.append(int(row.number))
        return "skip"

    def _parsed(self, column: str, array: pa.StringArray) -> NDArray[np.float64]:
        values = np.full(len(array), np.nan)
        bad: dict[str, list[int]] = {}
        for i, text in enumerate(array.to_pylist()):
            if not text:
                continue
            try:
                values[i] = _FLAGS[text] if text in _FLAGS else float(text)
            except ValueError:
                bad.setdefault(text, []).append(i)
        if column != TIME:  # a line without a time is left out altogether, and named once
            for text, rows in bad.items():
                self._reject(column, np.array(rows), f"{text!r} is not a number", text)
        return values

    def _reject(self, column: str, rows: NDArray[np.int64], reason: str, payload: str) -> None:
        if not len(rows):
            return
        lines = np.setdiff1d(np.arange(2, 2 + len(self._table) + len(self._skipped)), self._skipped)
        named = np.sort(lines[self._order[rows]])
        for line in named[:MAX_REJECTED].tolist():
            self.rejected.append(Rejected(f"{self.path} line {line} column {column}", reason, payload.encode()))
        if len(named) > MAX_REJECTED:
            self.rejected.append(Rejected(f"{self.path} column {column}", f"{reason}, in {len(named)} lines", payload.encode()))


_FLAGS = {"True": 1.0, "False": 0.0, "true": 1.0, "false": 0.0}


def _existing(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.csv.gz", folder / f"{name}.csv"):
        if path.is_file():
            return path
    raise CollectError(f"{folder}: no table {name}.csv.gz")
