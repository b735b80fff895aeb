"""Reads recorded tables block by block: CSV and Parquet in bounded memory, NumPy archives array by array."""

from __future__ import annotations

import csv
import itertools
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from collectors.collector import CollectError, Rejected

CSV_PIECE_BYTES = 1024 * 1024
MAX_LINE_BYTES = 64 * 1024 * 1024
REPORTED_ROWS = 3
"""Bad rows of a block that are named; the rest of them is counted."""


_NUMBER = re.compile(r"([0-9]+)")


class Block(NamedTuple):
    """Some rows of a table. `first_row` counts rows of the file from 1; `arrays` are matrices of shape (rows, …)."""

    first_row: int
    rows: int
    columns: dict[str, pa.Array]
    arrays: dict[str, NDArray[np.generic]]


def csv_blocks(path: str, delimiter: str, names: Sequence[str], rows: int, *, is_written: bool = False) -> Iterator[Block | Rejected]:
    """Blocks of a text table, all columns as text; of one that `is_written` to now, without a last line that has no end yet.

    Raises CollectError where not even the first row can be read.
    """
    row, line = 1, 1
    try:
        with pa.input_stream(path, compression="detect") as stream:
            pieces = line_pieces(stream, with_rest=not is_written)
            first = next(pieces, b"").removeprefix(b"\xef\xbb\xbf")
            if b"\0" in first[:4096]:
                raise ValueError("no text in UTF-8 or Latin-1")
            header, separator = _csv_header(_utf8(first.partition(b"\n")[0]).decode(), delimiter, names)
            if not names:
                line, first = 2, first.partition(b"\n")[2]
            for piece in itertools.chain([first], pieces):
                batch, refused = _parse_csv(piece, header, separator)
                if refused:
                    also = f" (and {len(refused) - 1} more lines)" if len(refused) > 1 else ""
                    reason = (
                        f"line {line + (refused[0].number or 1) - 1}: {refused[0].actual_columns} columns, expected {len(header)}{also}"
                    )
                    yield Rejected(path, reason, "\n".join(item.text for item in refused[:REPORTED_ROWS]).encode())
                for start in range(0, batch.num_rows, rows):
                    part = batch.slice(start, rows)
                    yield Block(row, part.num_rows, dict(zip(header, part.columns, strict=True)), {})
                    row += part.num_rows
                line += piece.count(b"\n")
    except (OSError, EOFError, ValueError, csv.Error) as error:
        yield from _ended(path, row, error)


def line_pieces(stream: pa.NativeFile, *, with_rest: bool = True) -> Iterator[bytes]:
    """The stream in pieces of whole lines, `with_rest` also what follows the last newline.

    Arrow's own streaming reader reads far ahead and loses all of it at an error.
    """
    rest = b""
    while data := stream.read(CSV_PIECE_BYTES):
        whole, newline, after = data.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = after
        else:
            rest += after
            if len(rest) > MAX_LINE_BYTES:
                raise ValueError(f"a line of more than {MAX_LINE_BYTES} bytes")
    if rest and with_rest:
        yield rest


def _utf8(text: bytes) -> bytes:
    """The text as UTF-8; what is none is Latin-1, which spreadsheets and older programs write ("°C", names of people)."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1").encode()
    return text


def _csv_header(line: str, delimiter: str, names: Sequence[str]) -> tuple[list[str], str]:
    separator = delimiter or max(",;\t|", key=line.count)
    found = next(csv.reader([line], delimiter=separator), [])
    if not found:
        raise ValueError("it is empty")
    header = list(names) or [name.strip() or f"column_{i}" for i, name in enumerate(found, 1)]
    if len(header) != len(found):
        raise ValueError(f"it has {len(found)} columns, `names` has {len(header)}")
    if len(set(header)) != len(header):
        raise ValueError(f"column {next(n for n in header if header.count(n) > 1)!r} is there twice")
    return header, separator


def _parse_csv(piece: bytes, header: list[str], separator: str) -> tuple[pa.RecordBatch, list[pyarrow.csv.InvalidRow]]:
    """The cells of some whole lines as text, and the lines that have another number of columns."""
    refused: list[pyarrow.csv.InvalidRow] = []

    def refuse(row: pyarrow.csv.InvalidRow) -> str:
        refused.append(row)
        return "skip"

    schema = pa.schema([(name, pa.string()) for name in header])
    if not piece.strip():
        return pa.RecordBatch.from_pylist([], schema), refused

    def read(text: bytes) -> pa.Table:
        refused.clear()
        return pyarrow.csv.read_csv(
            pa.BufferReader(text),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=header),
            parse_options=pyarrow.csv.ParseOptions(delimiter=separator, invalid_row_handler=refuse),
            convert_options=pyarrow.csv.ConvertOptions(column_types=schema, strings_can_be_null=True),
        )

    try:
        table = read(piece)
    except ValueError:  # only text that is no UTF-8 is worth another look
        if (text := _utf8(piece)) is piece:
            raise
        table = read(text)
    batches = table.combine_chunks().to_batches()
    return (batches[0] if batches else pa.RecordBatch.from_pylist([], schema)), refused


def parquet_blocks(path: str, rows: int) -> Iterator[Block | Rejected]:
    """Blocks of a Parquet file. Raises CollectError where not even the first row can be read."""
    row = 1
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=rows, use_threads=False):
                yield Block(row, batch.num_rows, dict(zip(batch.schema.names, batch.columns, strict=True)), {})
                row += batch.num_rows
    except (OSError, ValueError) as error:
        yield from _ended(path, row, error)


def npz_blocks(path: str, array: str, vectors: Sequence[str], matrices: Sequence[str], names: Sequence[str], rows: int) -> Iterator[Block]:
    """Blocks of a NumPy archive: the columns of `array`, and whole `vectors` and `matrices` of as many rows.

    Raises CollectError.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not array and not matrices:
                array = _only_table(archive)
            wanted = dict.fromkeys([*([array] if array else []), *vectors, *matrices])
            if unknown := [name for name in wanted if name not in archive]:
                raise ValueError(f"no array {unknown[0]!r}; there are {', '.join(archive)}")
            found = {name: archive[name] for name in wanted}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise CollectError(f"{path}: {_line(error)}") from None
    lengths = {name: len(values) for name, values in found.items() if values.ndim}
    if len(lengths) != len(found) or len(set(lengths.values())) != 1:
        raise CollectError(f"{path}: arrays of different length: {lengths}")
    columns = {name: found[name] for name in vectors}
    if array and found[array].ndim == 1:
        columns[array] = found[array]
    elif array:
        width = found[array].shape[1]
        if names and len(names) != width:
            raise CollectError(f"{path}: {array!r} has {width} columns, `names` has {len(names)}")
        columns.update(zip(names or [f"dim_{i}" for i in range(1, width + 1)], found[array].T, strict=True))
    total = next(iter(lengths.values()))
    for start in range(0, total, rows):
        stop = min(start + rows, total)
        block = {name: pa.array(np.ascontiguousarray(values[start:stop])) for name, values in columns.items()}
        yield Block(start + 1, stop - start, block, {name: found[name][start:stop] for name in matrices})


def _only_table(archive: np.lib.npyio.NpzFile) -> str:
    tables = [name for name in archive if archive[name].ndim == 2]
    if len(tables) != 1:
        raise ValueError(f"name one of its arrays in `array`: {', '.join(archive)}")
    return tables[0]


def _ended(path: str, row: int, error: Exception) -> Iterator[Rejected]:
    """What was read stays; a file of which nothing can be read is an error."""
    if row == 1:
        raise CollectError(f"{path}: {_line(error)}") from None
    yield Rejected(path, f"ends after row {row - 1}: {_line(error)}")


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0] or type(error).__name__


def expand(pattern: str) -> list[str]:
    """Files that match a glob, sorted by path with numbers by their size (run_99999 before run_100000). Raises CollectError for none."""
    base = Path(pattern)
    anchor = Path(base.anchor)
    found = sorted((str(path) for path in anchor.glob(str(base.relative_to(anchor)))), key=_order) if base.name else []
    if not found:
        raise CollectError(f"no file matches {pattern}")
    return found


def _order(path: str) -> tuple[list[str | int], str]:
    parts: list[str | int] = list(_NUMBER.split(path))
    parts[1::2] = [int(number) for number in parts[1::2]]
    return parts, path
