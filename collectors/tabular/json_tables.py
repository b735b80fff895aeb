"""Tables in JSON documents: a list of records, a dictionary of columns, and by run either records or named tables (trigger rates)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import pyarrow as pa

from collectors.collector import CollectError
from collectors.dqm.lumisection_times import LUMISECTION_COLUMNS, RUN_COLUMNS, column_named
from collectors.tabular.table_blocks import Block

MAX_DOCUMENT_BYTES = 512 * 1024 * 1024
"""The whole document is held in memory; a table larger than this belongs into Parquet."""


def json_blocks(path: str, rows: int) -> Iterator[Block]:
    """Blocks of the table in a JSON file, compressed or not. Raises CollectError."""
    try:
        if Path(path).stat().st_size > MAX_DOCUMENT_BYTES:
            raise ValueError(f"more than {MAX_DOCUMENT_BYTES} bytes; use Parquet")
        with pa.input_stream(path, compression="detect") as stream:
            columns = columns_in(json.loads(stream.read(MAX_DOCUMENT_BYTES)))
    except (OSError, EOFError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())[:200]
        raise CollectError(f"{path}: {reason}") from None
    total = max((len(column) for column in columns.values()), default=0)
    for start in range(0, total, rows):
        stop = min(start + rows, total)
        yield Block(start + 1, stop - start, {name: column.slice(start, rows) for name, column in columns.items()}, {})


def columns_in(document: object) -> dict[str, pa.Array]:
    """The columns of a table, all of the same length. Raises ValueError where the document is none."""
    if _is_columns(document):
        _check_lengths(document)
        return {str(name): _column(values) for name, values in document.items()}
    if isinstance(document, dict) and document and all(_is_named_tables(tables) for tables in document.values()):
        document = _joined(document)
    elif isinstance(document, dict) and all(isinstance(record, dict) for record in document.values()):
        document = [{RUN_COLUMNS[0]: key, **record} for key, record in document.items()]
    if not isinstance(document, list) or not all(isinstance(record, dict) for record in document):
        raise ValueError("neither a list of records, nor a dictionary of columns, nor one of records or named tables by run")
    names = dict.fromkeys(name for record in document for name in record)
    return {str(name): _column([record.get(name) for record in document]) for name in names}


def _is_columns(document: object) -> TypeGuard[dict[str, list[Any]]]:
    return isinstance(document, dict) and bool(document) and all(isinstance(values, list) for values in document.values())


def _is_named_tables(document: object) -> bool:
    return isinstance(document, dict) and bool(document) and all(_is_columns(table) for table in document.values())


def _check_lengths(columns: dict[str, list[Any]]) -> None:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise ValueError(f"column {shortest!r} has {lengths[shortest]} values, {longest!r} has {lengths[longest]}")


def _joined(document: dict[str, dict[str, dict[str, list[Any]]]]) -> list[dict[str, Any]]:
    """Records by run and lumisection of tables such as {"381594": {"HLT_Physics": {"rate": […], "lumisection": […]}}}.

    Their columns are called as in "HLT_Physics/rate".
    """
    records: dict[tuple[str, Any], dict[str, Any]] = {}
    for run, tables in document.items():
        for name, table in tables.items():
            _check_lengths(table)
            number = column_named("", LUMISECTION_COLUMNS, table)
            kept = [column for column in table if column not in (number, column_named("", RUN_COLUMNS, table))]
            for i in range(len(next(iter(table.values())))):
                lumisection = table[number][i] if number else i + 1
                record = records.setdefault((run, lumisection), {RUN_COLUMNS[0]: run, LUMISECTION_COLUMNS[0]: lumisection})
                record.update({f"{name}/{column}": table[column][i] for column in kept})
    return list(records.values())


def _column(values: list[Any]) -> pa.Array:
    """A column of numbers, truth values or text; of several kinds, text."""
    try:
        column = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        column = None
    if column is None or pa.types.is_nested(column.type):
        return pa.array(
            [None if value is None else value if isinstance(value, str) else json.dumps(value) for value in values], pa.string()
        )
    return column.cast(pa.float64()) if pa.types.is_null(column.type) else column
