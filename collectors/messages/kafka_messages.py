"""From messages of a topic to blocks: JSON by a mapping, and Arrow IPC streams whose columns are channels."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from collectors.collector import Collected, Origin, Rejected
from collectors.fetched.json_channels import ChannelOptions, Describer
from collectors.fetched.json_mapping import JsonOptions
from collectors.fetched.json_readings import MAX_CHANNELS, MalformedDocumentError, Mapper, parse
from collectors.frame import Channel, Frame, Kind, Layout, LayoutError, Quality, Updates
from collectors.ipc import read_batches
from collectors.tabular.table_values import NO_TIME, TimeFormat, numbers, times

TIME_COLUMNS = ("time", "timestamp", "datetime", "time_ns", "time_ms", "time_s")
"""What the column of times is looked for as, in any case of letters, where no option names it."""
LAST_MS = np.iinfo(np.int64).max // 1_000_000
Record = Any
"""A message of kafka-python: topic, partition, offset, timestamp in ms, key and value as bytes."""


class Decoder(Protocol):
    """Makes blocks of the messages of one turn."""

    def decode(self, records: Iterable[Record], now_ns: int) -> Iterator[Collected]:
        """What messages say; those that cannot be used are rejected. `now_ns`: the time of messages that have none."""


def named(record: Record) -> str:
    """Where a message stands, for messages of ours."""
    return f"{record.topic}[{record.partition}]@{record.offset}"


def _time_ns(record: Record, now_ns: int) -> int:
    """The message's own time; that of arrival where it has none, or one in other units than ms, beyond what int64 holds."""
    return int(record.timestamp) * 1_000_000 if 0 < (record.timestamp or 0) <= LAST_MS else now_ns


class JsonDecoder:
    """JSON by its mapping: all readings of a turn are one block of updates, of all channels that have come so far."""

    def __init__(self, origin: Origin, options: JsonOptions) -> None:
        self._mapper = Mapper(origin, options)
        self._channels: dict[str, Channel] = {}
        self._layout = Layout(origin.source, ())

    def decode(self, records: Iterable[Record], now_ns: int) -> Iterator[Collected]:
        """Updates of all messages, in their order. The label `{topic}` is the topic, `{message_key}` the key of the message."""
        rows: list[tuple[int, str, float, Quality]] = []
        for record in records:
            if record.value is None:  # a tombstone: compacted topics say so that a key is gone
                continue
            try:
                document = parse(record.value) if record.value.strip() else None
            except MalformedDocumentError as error:
                yield Rejected(named(record), str(error), record.value)
                continue
            if document is None:
                yield Rejected(named(record), "an empty message", record.value)
                continue
            labels = {"topic": record.topic, "message_key": (record.key or b"").decode("utf-8", "replace")}
            try:
                readings = self._mapper.read(document, labels)
            except (ArithmeticError, ValueError, TypeError, RecursionError) as error:  # or it would be read again, and nothing after it
                yield Rejected(named(record), f"cannot be read: {' '.join(str(error).split())[:200]}", record.value)
                continue
            if not readings.is_found:
                yield Rejected(named(record), "there is nothing at any of the paths", record.value)
            yield from readings.rejected(named(record))
            time_ns = _time_ns(record, now_ns) if readings.time_ns is None else readings.time_ns
            for name, channel in readings.channels.items():
                if name in self._channels or len(self._channels) < MAX_CHANNELS:
                    self._channels[name] = channel
                    quality = readings.bad.get(name, Quality.GOOD)
                    rows.append((readings.times_ns.get(name, time_ns), name, readings.values[name], quality))
        if rows:
            yield self._updates(rows)

    def _updates(self, rows: list[tuple[int, str, float, Quality]]) -> Updates:
        columns = tuple(self._channels.values())
        if columns != self._layout.columns:
            self._layout = Layout(self._layout.source, columns)
        position = {name: i for i, name in enumerate(self._channels)}
        return Updates(
            self._layout,
            np.array([time_ns for time_ns, _, _, _ in rows], dtype=np.int64),
            np.array([position[name] for _, name, _, _ in rows], dtype=np.int32),
            np.array([value for _, _, value, _ in rows], dtype=np.float64),
            np.array([quality for _, _, _, quality in rows], dtype=np.uint8),
        )


class ArrowOptions(ChannelOptions):
    """What the columns of record batches are."""

    time_column: str = ""
    """Arrow: the column of times; one called time, timestamp … by default, else all rows have the time of the message."""
    channel_column: str = ""
    """Arrow: the column that names the channel, where each row is one reading; by default each column of numbers is a channel."""
    value_column: str = "value"
    """Arrow: the column of readings, with `channel_column`."""
    time_format: TimeFormat = "auto"
    timezone: str = "UTC"


class ArrowDecoder:
    """Arrow IPC streams: a frame a record batch, or updates where a column names the channel.

    Fields may tell their unit in their metadata, under `unit`.
    """

    def __init__(self, origin: Origin, options: ArrowOptions) -> None:
        self._source = origin.source
        self._options = options
        self._describer = Describer(origin, options)
        self._wide: dict[tuple[str, ...], tuple[Layout, list[str]]] = {}
        self._channels: dict[str, Channel | None] = {}
        self._layout = Layout(origin.source, ())

    def decode(self, records: Iterable[Record], now_ns: int) -> Iterator[Collected]:
        """Blocks of all messages, in their order."""
        for record in records:
            if record.value is None:
                continue
            try:
                for batch in read_batches(record.value):
                    yield from self._batch(record, batch, _time_ns(record, now_ns))
            except (ValueError, OSError, ArithmeticError, pa.ArrowException, struct.error) as error:
                yield Rejected(named(record), f"no Arrow IPC stream: {' '.join(str(error).split())[:200]}", record.value)

    def _batch(self, record: Record, batch: pa.RecordBatch, now_ns: int) -> Iterator[Collected]:
        """Raises ValueError."""
        where, names = named(record), batch.schema.names
        if len(set(names)) != len(names):
            raise ValueError("two columns have one name")
        by_name = {name.lower(): name for name in reversed(names)}
        time = self._options.time_column or next((by_name[name] for name in TIME_COLUMNS if name in by_name), "")
        if time and time not in names:
            raise ValueError(f"no column {time!r} among {', '.join(names)}")
        time_ns = np.full(batch.num_rows, now_ns, dtype=np.int64)
        if time:
            time_ns = times(batch.column(time), self._options.time_format, self._options.timezone)
        timed = time_ns != NO_TIME
        if not timed.all():
            yield Rejected(where, f"{int((~timed).sum())} rows without a time that can be read are left out")
        if timed.any():
            batch, time_ns = batch.filter(pa.array(timed)), time_ns[timed]
            yield from self._long(where, batch, time_ns) if self._options.channel_column else self._frame(where, batch, time_ns, time)

    def _frame(self, where: str, batch: pa.RecordBatch, time_ns: NDArray[np.int64], time: str) -> Iterator[Collected]:
        known = tuple(f"{field.name}:{field.type}" for field in batch.schema)
        if known not in self._wide:
            self._wide[known] = self._described(batch, time)
        layout, columns = self._wide[known]
        values = np.empty((batch.num_rows, len(columns)))
        bad = np.zeros(values.shape, dtype=bool)
        for i, (name, channel) in enumerate(zip(columns, layout.channels, strict=True)):
            values[:, i], bad[:, i] = _cells(batch.column(name), channel)
            if bad[:, i].any():
                yield Rejected(f"{where}: {name}", _told(batch.column(name), bad[:, i]))
        quality = np.where(bad, Quality.INVALID, Quality.GOOD).astype(np.uint8) if bad.any() else None
        yield Frame(layout, time_ns, values, quality)

    def _described(self, batch: pa.RecordBatch, time: str) -> tuple[Layout, list[str]]:
        """The layout of a schema, and the columns that are its channels: numbers, and texts whose states are named."""
        columns = {}
        for field in batch.schema:
            is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
            is_truth = pa.types.is_boolean(field.type)
            if field.name != time and (is_number or is_truth or self._describer.has_states(field.name)):
                channel = self._describer.describe(field.name, field.name, True if is_truth else None, "")
                unit = (field.metadata or {}).get(b"unit", b"").decode("utf-8", "replace")
                if channel is not None:
                    columns[field.name] = replace(channel, unit=unit) if unit and not channel.unit and not channel.states else channel
        if not columns:
            raise ValueError(f"no column of numbers among {', '.join(batch.schema.names)}")
        return Layout(self._source, tuple(columns.values())), list(columns)

    def _long(self, where: str, batch: pa.RecordBatch, time_ns: NDArray[np.int64]) -> Iterator[Collected]:
        wanted = (self._options.channel_column, self._options.value_column)
        if missing := [name for name in wanted if name not in batch.schema.names]:
            raise ValueError(f"no column {missing[0]!r} among {', '.join(batch.schema.names)}")
        texts = batch.column(wanted[0])
        encoded = texts if pa.types.is_dictionary(texts.type) else pc.dictionary_encode(texts)
        names = [" ".join(str(name).split()) for name in encoded.dictionary.to_pylist()]
        code = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        column = batch.column(wanted[1])
        values, bad = np.full(batch.num_rows, np.nan), np.zeros(batch.num_rows, dtype=bool)
        position = np.array([*self._positions(names), -1], dtype=np.int32)
        order = np.argsort(code, kind="stable")
        bounds = np.searchsorted(code[order], np.arange(len(names) + 1))
        sorted_cells = column.take(pa.array(order))
        for i, name in enumerate(names):
            channel, (first, end) = self._channels.get(name), bounds[i : i + 2].tolist()
            if channel is None or first == end:
                continue
            rows, cells = order[first:end], sorted_cells.slice(first, end - first)
            values[rows], bad[rows] = _cells(cells, channel)
            if bad[rows].any():
                yield Rejected(f"{where}: {name}", _told(cells, bad[rows]))
        kept = position[code] >= 0
        if (code < 0).any():
            yield Rejected(where, f"{int((code < 0).sum())} rows name no channel")
        if kept.any():
            quality = np.where(bad, Quality.INVALID, Quality.GOOD).astype(np.uint8)
            yield Updates(self._layout, time_ns[kept], position[code][kept], values[kept], quality[kept])

    def _positions(self, names: Sequence[str]) -> list[int]:
        """The column of each channel in the layout, -1 for those that are not wanted; new ones join the layout together."""
        new = [name for name in dict.fromkeys(names) if name not in self._channels][: MAX_CHANNELS - len(self._channels)]
        if new:
            channels = {name: self._describer.describe(name, name, None, "") if name else None for name in new}
            try:
                self._layout = Layout(self._source, (*self._layout.columns, *(c for c in channels.values() if c is not None)))
            except LayoutError as error:
                raise ValueError(str(error)) from None
            self._channels |= channels
        known = (self._channels.get(name) for name in names)
        return [-1 if channel is None else self._layout.position(channel.name) for channel in known]


def _cells(column: pa.Array, channel: Channel) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Numbers of a column and which cells hold something that cannot be true, both of shape (rows,)."""
    values, bad = numbers(column, channel.states if channel.kind is Kind.STATE else ())
    if channel.kind in (Kind.COUNTER, Kind.BITS):
        bad = bad | (values < 0)
    if channel.kind is Kind.BITS:
        bad = bad | (np.isfinite(values) & (values != np.floor(values)))
    return np.where(bad, np.nan, values), bad


def _told(column: pa.Array, bad: NDArray[np.bool_]) -> str:
    rows = np.flatnonzero(bad)
    more = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
    return f"row {int(rows[0]) + 1}: {column[int(rows[0])].as_py()!r:.60} is no reading{more}"
