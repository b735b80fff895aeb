"""Reads recorded events block by block: CSV and Parquet as tables are read, JSON lines in pieces, JSON arrays whole."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.json

from collectors.collector import CollectError, Rejected
from collectors.tabular.table_blocks import REPORTED_ROWS, Block, csv_blocks, line_pieces, parquet_blocks

RecordFormat = Literal["auto", "csv", "json_lines", "json", "parquet"]
MAX_ARRAY_BYTES = 256 * 1024 * 1024
"""A JSON array is held in memory as a whole; what is larger must come as JSON lines."""
_COMPRESSIONS = (".gz", ".bz2", ".zst", ".lz4")
_ENDINGS: tuple[tuple[str, RecordFormat], ...] = (
    (".jsonl", "json_lines"),
    (".ndjson", "json_lines"),
    (".json", "json"),
    (".parquet", "parquet"),
    (".pq", "parquet"),
)


def record_blocks(path: str, kind: RecordFormat, delimiter: str, names: Sequence[str], rows: int) -> Iterator[Block | Rejected]:
    """Blocks of at most `rows` records, with what could not be read. Raises CollectError where not even the first record can be.

    Members of nested objects are columns with a dot: `data.size`. Rejected lines come without their content, which may name people.
    """
    kind = format_of(path, kind)
    if kind == "csv":
        blocks = csv_blocks(path, delimiter, names, rows)
    elif kind == "parquet":
        blocks = parquet_blocks(path, rows)
    else:
        blocks = _json_blocks(path, rows, is_array=kind == "json")
    for block in blocks:
        yield Rejected(block.subject, block.reason, b"", block.time_ns) if isinstance(block, Rejected) else block


def format_of(path: str, kind: RecordFormat) -> RecordFormat:
    """The format of a file, by its ending where it is auto."""
    if kind != "auto":
        return kind
    bare = next((path.removesuffix(end) for end in _COMPRESSIONS if path.endswith(end)), path)
    return next((found for ending, found in _ENDINGS if bare.endswith(ending)), "csv")


def _json_blocks(path: str, rows: int, *, is_array: bool) -> Iterator[Block | Rejected]:
    first_row = 1
    try:
        with pa.input_stream(path, compression="detect") as stream:
            for found in _array(stream) if is_array else _lines(stream):
                if isinstance(found, str):
                    yield Rejected(path, found)
                    continue
                table = _flat(found)
                for start in range(0, table.num_rows, rows):
                    part = table.slice(start, rows).combine_chunks()
                    columns = {name: _one_chunk(column) for name, column in zip(part.column_names, part.columns, strict=True)}
                    yield Block(first_row, part.num_rows, columns, {})
                    first_row += part.num_rows
    except (OSError, EOFError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
        if first_row == 1:
            raise CollectError(f"{path}: {reason}") from None
        yield Rejected(path, f"ends after record {first_row - 1}: {reason}")


def _array(stream: pa.NativeFile) -> Iterator[pa.Table | str]:
    """The objects of one array. Raises ValueError."""
    content = stream.read(MAX_ARRAY_BYTES + 1)
    if len(content) > MAX_ARRAY_BYTES:
        raise ValueError(f"an array of more than {MAX_ARRAY_BYTES} bytes: write it as JSON lines")
    if not content.strip():
        raise ValueError("it is empty")
    found = json.loads(content)
    if not isinstance(found, list):
        raise ValueError("not a JSON array: its outermost value is no list")
    records = [record for record in found if isinstance(record, dict)]
    if len(records) < len(found):
        yield f"{len(found) - len(records)} entries are no objects"
    yield _table(records)


def _lines(stream: pa.NativeFile) -> Iterator[pa.Table | str]:
    """Objects one a line; a line that is none is named and left out."""
    line = 1
    for piece in line_pieces(stream):
        try:
            options = pyarrow.json.ReadOptions(use_threads=False, block_size=len(piece) + 1)
            yield pyarrow.json.read_json(pa.BufferReader(piece), read_options=options)
        except pa.ArrowInvalid:  # one line is not JSON, or a column has numbers and texts: looked at one by one
            yield from _checked(piece, line)
        line += piece.count(b"\n")


def _checked(piece: bytes, first_line: int) -> Iterator[pa.Table | str]:
    records: list[dict[str, Any]] = []
    refused: list[int] = []
    for number, text in enumerate(piece.splitlines(), first_line):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            records.append(record)
        else:
            refused.append(number)
    if refused:
        named = ", ".join(str(number) for number in refused[:REPORTED_ROWS])
        more = f" and {len(refused) - REPORTED_ROWS} more" if len(refused) > REPORTED_ROWS else ""
        yield f"no JSON object in line {named}{more}"
    yield _table(records)


def _table(records: Sequence[dict[str, Any]]) -> pa.Table:
    """A column for each member of any record; one that holds values of several sorts becomes text."""
    names = dict.fromkeys(itertools.chain.from_iterable(records))
    return pa.table({name: _column([record.get(name) for record in records]) for name in names})


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([value if value is None or isinstance(value, str) else json.dumps(value) for value in values])


def text_of_lists(column: pa.Array) -> pa.Array:
    """Lists as JSON, so that they can be compared and counted like any text."""
    return pa.array([None if value is None else json.dumps(value, default=str) for value in column.to_pylist()], pa.string())


def _flat(table: pa.Table) -> pa.Table:
    while any(pa.types.is_struct(column.type) for column in table.columns):
        table = table.flatten()
    return table


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)
