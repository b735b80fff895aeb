"""One Parquet file of the history: a run of blocks of one stream and one layout, in the order in which they came.

A channel is a column of its name, a histogram a column of lists; `_time_ns` has the times and `_quality`, where not all is
good, the qualities of a row. Names that begin with `_` get another one in front. Any reader of Parquet can open it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from collectors.frame import Frame, Layout, LayoutError
from collectors.wire import WireError, decode_layout, encode_layout

VERSION = "1"
TIME, QUALITY = "_time_ns", "_quality"
PARTIAL = ".partial"
"""Ending of a file that is being written: what a crash leaves behind is not read, and removed at the next start."""


class HistoryError(Exception):
    """A file or folder of the history that cannot be used; names it."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a file holds, as its name says: event times of its first and last rows, and which records of the bus they came in.

    origin: topic and partition ("frames-3"); first_offset, last_offset: of the records, both included. The same run has the same
    name, so that writing it again writes the same file.
    """

    first_ns: int
    last_ns: int
    origin: str
    first_offset: int
    last_offset: int

    @property
    def name(self) -> str:
        """Of the file."""
        return f"{self.first_ns:020d}_{self.last_ns:020d}_{self.origin}_{self.first_offset}_{self.last_offset}.parquet"

    @classmethod
    def of(cls, path: Path) -> Run | None:
        """From the name of a file, None where it is no such name."""
        parts = path.name.removesuffix(".parquet").split("_")
        if len(parts) != 5 or path.suffix != ".parquet":
            return None
        try:
            return cls(int(parts[0]), int(parts[1]), parts[2], int(parts[3]), int(parts[4]))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, order=True)
class Reach:
    """Up to which block a stream is on disk: its producer's epoch and its sequence."""

    epoch: int = -1
    sequence: int = -1


def column_name(name: str) -> str:
    """The name of a channel or histogram in a file."""
    return f"_{name}" if name.startswith("_") else name


def to_table(frame: Frame, reach: Reach) -> pa.Table:
    """The frame as a table, with its stream, layout and reach beside it."""
    layout = frame.layout
    arrays: dict[str, pa.Array] = {TIME: pa.array(frame.time_ns)}
    for column, start in zip(layout.columns, layout.starts[:-1], strict=True):
        values = np.ascontiguousarray(frame.values[:, start : start + column.width])
        arrays[column_name(column.name)] = pa.array(values[:, 0]) if column.width == 1 else _lists(values)
    if frame.quality is not None and frame.quality.any():
        arrays[QUALITY] = _lists(np.ascontiguousarray(frame.quality))
    metadata = {
        "shiftwatch": VERSION,
        "stream": layout.stream,
        "layout": layout.digest,
        "width": str(layout.width),
        "reach": f"{reach.epoch} {reach.sequence}",
    }
    return pa.table(arrays).replace_schema_metadata(metadata)


def _lists(values: NDArray[np.generic]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def read_frame(path: Path, layout: Layout, between_ns: tuple[int, int] | None = None) -> Frame:
    """The rows of a file, those from the first of two times to before the second where given. Raises HistoryError."""
    try:
        table = pq.read_table(path, partitioning=None)
        if between_ns is not None:
            time_ns = table[TIME].to_numpy()
            table = table.filter(pa.array((time_ns >= between_ns[0]) & (time_ns < between_ns[1])))
        return _of_table(table, layout)
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, LayoutError) as error:
        raise HistoryError(f"{path}: {_one_line(error)}") from None


def _of_table(table: pa.Table, layout: Layout) -> Frame:
    columns = dict(zip(table.schema.names, table.columns, strict=True))
    time_ns = columns[TIME].to_numpy()
    single = [columns[column_name(c.name)].type for c in layout.columns]
    kinds = {np.dtype((kind.value_type if pa.types.is_fixed_size_list(kind) else kind).to_pandas_dtype()) for kind in single}
    values = np.empty((len(time_ns), layout.width), dtype=np.float64 if np.dtype(np.float64) in kinds else np.float32)
    for column, start in zip(layout.columns, layout.starts[:-1], strict=True):
        array = columns[column_name(column.name)]
        flat = array.to_numpy() if column.width == 1 else _flat(array)
        values[:, start : start + column.width] = flat.reshape(len(time_ns), column.width)
    quality = None if QUALITY not in columns else _flat(columns[QUALITY]).reshape(len(time_ns), layout.width).astype(np.uint8)
    return Frame(layout, time_ns.astype(np.int64), values, quality)


def _flat(array: pa.ChunkedArray) -> NDArray[np.generic]:
    parts = [chunk.flatten().to_numpy() for chunk in array.chunks]
    result: NDArray[np.generic] = np.concatenate(parts) if parts else np.empty(0, dtype=array.type.value_type.to_pandas_dtype())
    return result


@dataclass(frozen=True, slots=True)
class Head:
    """What a file says of itself without its rows being read."""

    stream: str
    layout: str
    reach: Reach
    rows: int
    width: int

    @property
    def bytes(self) -> int:
        """Of its values in memory, at most."""
        return self.rows * self.width * 8


def read_head(path: Path) -> Head:
    """Raises HistoryError where the file is damaged, of another version, or not one of the history."""
    try:
        found = pq.read_metadata(path)
        said = {name.decode(): value.decode() for name, value in (found.metadata or {}).items()}
        if said.get("shiftwatch") != VERSION:
            raise HistoryError(f"{path}: version {said.get('shiftwatch', '?')[:20]}, this reader knows {VERSION}")
        epoch, sequence = said["reach"].split(" ")
        return Head(said["stream"], said["layout"], Reach(int(epoch), int(sequence)), found.num_rows, int(said["width"]))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise HistoryError(f"{path}: {_one_line(error)}") from None


def write_table(table: pa.Table, path: Path) -> None:
    """Writes a file as a whole or not at all: under another name first, which is changed once all is on the disk."""
    _write(path, lambda sink: pq.write_table(table, sink, compression="zstd"))


def _write(path: Path, content: Callable[[BinaryIO], object]) -> None:
    """The other name is this writer's own: two that write the same file do not meet. A disk that is full keeps nothing of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        with partial.open("wb") as sink:
            content(sink)
            sink.flush()
            os.fsync(sink.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_layout(root: Path, layout: Layout) -> None:
    """Puts the layout beside the files, once."""
    path = root / "layouts" / f"{layout.digest}.json"
    if not path.exists():
        _write(path, lambda sink: sink.write(encode_layout(layout)))


def read_layout(root: Path, digest: str) -> Layout:
    """The layout of a digest. Raises HistoryError."""
    path = root / "layouts" / f"{digest}.json"
    try:
        layout = decode_layout(path.read_bytes())
    except (OSError, WireError) as error:
        raise HistoryError(f"{path}: {_one_line(error)}") from None
    if layout.digest != digest:
        raise HistoryError(f"{path}: it is the layout {layout.digest}")
    return layout


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
