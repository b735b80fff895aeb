"""Blocks and layouts on the wire: Arrow IPC streams of one record batch, and layouts as JSON.

Any Arrow reader can open a block; what it needs beside the columns (source, layout digest, producer epoch, sequence)
travels in the schema's metadata. Whatever arrives is checked before it is used: bytes that are truncated, malformed,
oversized or of another version raise WireError and nothing worse.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from collectors.frame import Axis, Channel, Column, Frame, Histogram, Kind, Layout, LayoutError, Storage, Updates
from collectors.ipc import read_batch
from collectors.wire_arrays import WireError, flat, matrix, one_line, plain, read_matrix

__all__ = [
    "CLOCK_PROBLEM",
    "END_OF_STREAM_NS",
    "JUDGED_ALL",
    "MAX_AXES",
    "MAX_BLOCK_BYTES",
    "MAX_LAYOUT_BYTES",
    "MAX_PROBLEM_CHARACTERS",
    "OVERHEAD_BYTES",
    "VERSION",
    "Block",
    "Identity",
    "UnknownLayout",
    "WireError",
    "decode",
    "decode_layout",
    "encode",
    "encode_layout",
    "pieces",
]

VERSION = b"1"
MAX_BLOCK_BYTES = 512_000
"""Blocks stay below this, so that they pass a broker with default settings and never block others for long."""
MAX_LAYOUT_BYTES = 16_000_000
MAX_AXES = 8
MAX_PROBLEM_CHARACTERS = 500
JUDGED_ALL = ("*",)
"""`judged` of a block that is only to be shown and kept."""
CLOCK_PROBLEM = "clock of the source"
"""How the `problem` of a block begins whose source's clock was found to be wrong."""
END_OF_STREAM_NS = 4_102_444_800_000_000_000
"""Later than any data (the year 2100): `complete_ns` of a recorded source that has come to its end."""


class UnknownLayout(WireError):  # noqa: N818 - what it is, not an error of the sender: the layout may still arrive
    """The block is sound as far as one can see, but its layout has not been seen yet."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"layout {digest} is not known")
        self.digest = digest


@dataclass(frozen=True, slots=True)
class Identity:
    """Who produced a block: repeats are recognised by it, never by time.

    `epoch` is the start of the producer in ns since 1970, `sequence` counts its blocks in one stream from 0.
    """

    stream: str
    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Block:
    """What a message on the bus holds: data, or (with no content) a heartbeat.

    `complete_ns`: the stream is complete up to this event time; nothing older is to be expected. `newest_ns`: event time of
    the newest row that the source has published, in any of its streams; 0 before the first. `problem` says why the last
    run of the collector failed, empty where it did not. `judged` names the detectors that have judged it where it was
    collected (an agent's): nobody else judges it with these.
    """

    identity: Identity
    content: Frame | Updates | None
    complete_ns: int
    problem: str = ""
    newest_ns: int = 0
    judged: tuple[str, ...] = ()


def encode(block: Block) -> bytes:
    """The block as an Arrow IPC stream. Raises WireError where it is larger than MAX_BLOCK_BYTES (see `pieces`)."""
    content = block.content
    metadata = {
        b"shiftwatch": VERSION,
        b"content": _CONTENT_NAMES[type(content)],
        b"stream": block.identity.stream.encode(),
        b"layout": content.layout.digest.encode() if content is not None else b"",
        b"epoch": str(block.identity.epoch).encode(),
        b"sequence": str(block.identity.sequence).encode(),
        b"complete_ns": str(block.complete_ns).encode(),
        b"newest_ns": str(block.newest_ns).encode(),
        b"problem": block.problem[:MAX_PROBLEM_CHARACTERS].encode(errors="backslashreplace"),
    }
    if block.judged:
        metadata[b"judged"] = ",".join(block.judged).encode()
    arrays = _arrays(content)
    schema = pa.schema([pa.field(name, array.type) for name, array in arrays.items()], metadata=metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch(list(arrays.values()), schema=schema))
    encoded: bytes = sink.getvalue().to_pybytes()
    if len(encoded) > MAX_BLOCK_BYTES:
        raise WireError(f"block of {block.identity.stream!r}: {len(encoded)} bytes, more than {MAX_BLOCK_BYTES}")
    return encoded


_CONTENT_NAMES: dict[type, bytes] = {Frame: b"frame", Updates: b"updates", type(None): b"heartbeat"}


def _arrays(content: Frame | Updates | None) -> dict[str, pa.Array]:
    if content is None:
        return {"time_ns": flat(np.empty(0, dtype=np.int64))}
    return _frame_arrays(content) if isinstance(content, Frame) else _update_arrays(content)


def _frame_arrays(frame: Frame) -> dict[str, pa.Array]:
    arrays = {"time_ns": flat(frame.time_ns), "values": matrix(frame.values)}
    if frame.quality is not None:
        arrays["quality"] = matrix(frame.quality)
    return arrays


def _update_arrays(updates: Updates) -> dict[str, pa.Array]:
    columns: dict[str, NDArray[Any]] = {
        "time_ns": updates.time_ns,
        "column": updates.column,
        "value": updates.value,
        "quality": updates.quality,
    }
    return {name: flat(array) for name, array in columns.items()}


def decode(data: bytes | memoryview, layouts: Mapping[str, Layout]) -> Block:
    """The block in these bytes; arrays are views into them. Raises WireError, and UnknownLayout where `layouts` lacks its digest."""
    if len(data) > MAX_BLOCK_BYTES:
        raise WireError(f"{len(data)} bytes, more than {MAX_BLOCK_BYTES}")
    try:
        batch = read_batch(data)
        metadata = _metadata(batch.schema)
        arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
    except WireError:
        raise
    except (pa.ArrowException, OSError, ValueError, struct.error) as error:
        raise WireError(f"not a block: {one_line(error)}") from None
    if len(arrays) != batch.num_columns:
        raise WireError(f"columns {', '.join(batch.schema.names)[:80]}: a name is used twice")
    identity = Identity(metadata["stream"], int(metadata["epoch"]), int(metadata["sequence"]))
    content: Frame | Updates | None = None
    if metadata["content"] != "heartbeat":
        layout = _layout(metadata, layouts)
        content = _read_frame(layout, arrays) if metadata["content"] == "frame" else _read_updates(layout, arrays)
    return Block(identity, content, int(metadata["complete_ns"]), metadata["problem"], int(metadata["newest_ns"]), _judged(metadata))


def _judged(metadata: Mapping[str, str]) -> tuple[str, ...]:
    names = metadata.get("judged", "")
    return tuple(names.split(",")) if names else ()


def _layout(metadata: Mapping[str, str], layouts: Mapping[str, Layout]) -> Layout:
    digest = metadata["layout"]
    layout = layouts.get(digest)
    if layout is None:
        raise UnknownLayout(digest)
    if metadata["stream"] != layout.stream:
        raise WireError(f"stream {metadata['stream']!r} is not that of its layout, {layout.stream!r}")
    return layout


_METADATA = ("content", "stream", "layout", "epoch", "sequence", "complete_ns", "newest_ns", "problem")


def _metadata(schema: pa.Schema) -> dict[str, str]:
    metadata = schema.metadata or {}
    if metadata.get(b"shiftwatch") != VERSION:
        raise WireError(f"version {metadata.get(b'shiftwatch', b'?')[:20]!r}, this reader knows {VERSION!r}")
    try:
        read = {name: metadata[name.encode()].decode() for name in _METADATA}
        read["judged"] = metadata.get(b"judged", b"").decode()
    except KeyError as error:
        raise WireError(f"metadata lack {error}") from None
    if read["content"].encode() not in _CONTENT_NAMES.values():
        raise WireError(f"content {read['content'][:20]!r} is neither frame, updates nor heartbeat")
    for name in ("epoch", "sequence", "complete_ns", "newest_ns"):
        digits = read[name].removeprefix("-") if name.endswith("_ns") else read[name]
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 19 and abs(int(digits)) <= _MAX_INT64):
            raise WireError(f"{name} {read[name][:24]!r} is not a whole number of 64 bits")
    return read


_MAX_INT64 = 2**63 - 1
_PRECISIONS = (pa.float32(), pa.float64())


def _read_frame(layout: Layout, arrays: Mapping[str, pa.Array]) -> Frame:
    time_ns = plain(arrays, "time_ns", np.dtype(np.int64))
    values = read_matrix(arrays, "values", layout.width, _PRECISIONS)
    quality = read_matrix(arrays, "quality", layout.width, (pa.uint8(),)) if "quality" in arrays else None
    try:
        return Frame(layout, time_ns, values, quality)
    except LayoutError as error:
        raise WireError(str(error)) from None


def _read_updates(layout: Layout, arrays: Mapping[str, pa.Array]) -> Updates:
    types = {"time_ns": np.int64, "column": np.int32, "value": np.float64, "quality": np.uint8}
    try:
        return Updates(layout, *(plain(arrays, name, np.dtype(kind)) for name, kind in types.items()))
    except LayoutError as error:
        raise WireError(str(error)) from None


def pieces(frame: Frame, max_bytes: int = MAX_BLOCK_BYTES) -> Iterator[Frame]:
    """The frame in runs of rows that each fit into one block. Raises WireError where a single row does not (see `collectors.split`)."""
    row_bytes = 8 + frame.layout.width * (frame.values.dtype.itemsize + (frame.quality is not None))
    rows = (max_bytes - OVERHEAD_BYTES) // row_bytes
    if rows < 1:
        raise WireError(f"a row of {frame.layout.stream!r} takes {row_bytes} bytes, more than a block may hold")
    for start in range(0, len(frame), rows):
        yield frame if rows >= len(frame) else frame.rows(slice(start, start + rows))


OVERHEAD_BYTES = 4_096
"""Room for the schema, its metadata and Arrow's padding."""


def encode_layout(layout: Layout) -> bytes:
    """The layout as JSON; the key of its message is the digest."""
    description = {"version": 1, "source": layout.source, "part": layout.part, "columns": [c.description() for c in layout.columns]}
    return json.dumps(description, separators=(",", ":"), ensure_ascii=False).encode()


def decode_layout(data: bytes) -> Layout:
    """The layout in these bytes. Raises WireError."""
    if len(data) > MAX_LAYOUT_BYTES:
        raise WireError(f"layout of {len(data)} bytes, more than {MAX_LAYOUT_BYTES}")
    try:
        description = json.loads(data)
        if description["version"] != 1:
            raise WireError(f"layout of version {description['version']!r}, this reader knows 1")
        columns = tuple(_read_column(entry) for entry in description["columns"])
        source, part = description["source"], description["part"]
        if not isinstance(source, str) or not isinstance(part, str):
            raise WireError("source and part of a layout must be text")
        layout = Layout(source, columns, part)
        if layout.digest and sum(column.width for column in columns) > MAX_BLOCK_BYTES:  # the digest fails on text that is not Unicode
            raise WireError(f"layout of {layout.stream[:80]!r} is wider than a block can be")
        return layout
    except WireError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, OverflowError) as error:
        raise WireError(f"not a layout: {type(error).__name__}: {one_line(error)}") from None


def _read_column(entry: list[Any]) -> Column:
    match entry:
        case ["channel", str(name), str(quantity), str(unit), str(kind), str(place), list(states)] if _are_texts(states):
            return Channel(name, quantity, unit, Kind(kind), place, tuple(states))
        case ["histogram", str(path), list(axes), str(storage), str(place), bool(flow)] if 1 <= len(axes) <= MAX_AXES:
            return Histogram(path, tuple(_read_axis(*axis) for axis in axes), Storage(storage), place, flow)
    raise WireError(f"not a column: {str(entry)[:80]}")


def _read_axis(name: str, unit: str, bins: int, low: float, high: float, edges: list[float], labels: list[str]) -> Axis:
    if not _are_texts([name, unit, *labels]):
        raise WireError(f"axis {str(name)[:40]!r}: name, unit and labels must be text")
    if isinstance(bins, bool) or not isinstance(bins, int) or not 1 <= bins <= 1_000_000:
        raise WireError(f"axis {name[:40]!r} of {str(bins)[:20]} bins")
    return Axis(name, unit, bins, float(low), float(high), tuple(edges), tuple(labels))


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
