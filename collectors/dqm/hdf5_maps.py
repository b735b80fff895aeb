"""Maps in an open HDF5 file as frames, some rows at a time: only a few of them are in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from collectors.collector import Collected, CollectError, Rejected
from collectors.frame import Channel, Frame, Histogram, Layout, Quality
from collectors.tabular.table_values import NO_TIME

MAX_BLOCK_BYTES = 16 * 1024 * 1024
"""Of the frames that are made; one row is read where it alone is larger."""

Times = NDArray[np.int64]


class Map(NamedTuple):
    """A dataset of maps, one a row, and the histogram they are."""

    dataset: Any
    histogram: Histogram
    entries: NDArray[np.float64] | None
    """Shape (rows,); the sum of the cells where it is None."""
    is_normalised: bool
    nan_is: float | None


class Track(NamedTuple):
    """A channel with one value a row, shape (rows,)."""

    channel: Channel
    values: NDArray[np.float64]


def lookup(file: Any, reference: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """The values of a dataset ("times"), an attribute of the file ("@start") or one of a dataset ("occupancy@times").

    Raises CollectError where there is none.
    """
    path, at, attribute = reference.partition("@")
    try:
        holder = file[path] if path else file
        return holder.attrs[attribute] if at else holder[()]
    except (KeyError, TypeError, AttributeError, OSError, RuntimeError):
        raise CollectError(f"{file.filename}: no {'attribute' if at else 'dataset'} {reference!r} that can be read") from None


def column_of(values: Any) -> pa.Array:  # noqa: ANN401 - as above
    """What a dataset or an attribute holds as a column of numbers or text; a single value is a column of one."""
    array = np.atleast_1d(np.asarray(values)).reshape(-1)
    if array.dtype.kind in "OS":
        return pa.array([item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in array])
    return pa.array(array)


def datasets_of(file: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - h5py has no types
    """Path and dataset of all there are, in the order of their paths."""
    found: list[tuple[str, Any]] = []

    def visit(path: str, item: Any) -> None:  # noqa: ANN401
        if isinstance(item, h5py.Dataset):
            found.append((path, item))

    file.visititems(visit)
    return found


class MapBlocks:
    """Frames of all maps of a file that have the same number of rows."""

    def __init__(self, source: str, maps: Sequence[Map], tracks: Sequence[Track], time_axis: int) -> None:
        self._maps = maps
        self._tracks = tracks
        self._time_axis = time_axis
        self._layout = Layout(source, (*(track.channel for track in tracks), *(m.histogram for m in maps)))

    def frames(self, path: str, time_ns: Times) -> Iterator[Collected]:
        """All rows; maps that cannot be read or cannot be true are rejected and are no readings in the frame."""
        rows = max(1, MAX_BLOCK_BYTES // (8 * self._layout.width))
        for start in range(0, len(time_ns), rows):
            stop = min(start + rows, len(time_ns))
            values = np.empty((stop - start, self._layout.width))
            quality = np.full(values.shape, Quality.GOOD, dtype=np.uint8)
            for i, track in enumerate(self._tracks):
                values[:, i] = track.values[start:stop]
            position = len(self._tracks)
            for maps in self._maps:
                section = slice(position, position + maps.histogram.width)
                reason, bad = self._fill(values[:, section], maps, start, stop)
                if bad.any():
                    values[bad, section], quality[bad, section] = np.nan, Quality.INVALID
                    which = np.flatnonzero(bad)
                    more = f" (and {len(which) - 1} more rows)" if len(which) > 1 else ""
                    yield Rejected(f"{path}:{maps.dataset.name.strip('/')}", f"row {start + int(which[0])}: {reason}{more}")
                position += maps.histogram.width
            timed = time_ns[start:stop] != NO_TIME
            if not timed.all():
                first = start + int(np.flatnonzero(~timed)[0])
                yield Rejected(path, f"row {first}: has no time that can be read; {int((~timed).sum())} such rows are left out")
            if timed.any():
                yield Frame(self._layout, time_ns[start:stop][timed], values[timed], quality[timed] if quality.any() else None)

    def _fill(self, section: NDArray[np.float64], maps: Map, start: int, stop: int) -> tuple[str, NDArray[np.bool_]]:
        """Writes entries and cells of some rows; what is wrong, and with which rows. `section`: shape (rows, 1 + cells)."""
        every = np.ones(stop - start, dtype=bool)
        if maps.dataset.dtype.kind not in "iufb":
            return f"holds {maps.dataset.dtype}, no numbers", every
        try:
            read = maps.dataset[(slice(None),) * self._time_axis + (slice(start, stop),)]
        except (OSError, RuntimeError) as error:
            return f"cannot be read: {' '.join(str(error).split())[:160]}", every
        cells = section[:, 1:]
        cells[...] = np.moveaxis(read, self._time_axis, 0).reshape(stop - start, -1)
        if maps.nan_is is not None:
            cells[np.isnan(cells)] = maps.nan_is
        bad = ~np.isfinite(cells).all(axis=1)
        reason = "holds cells that are no finite numbers"
        if not bad.any():
            bad = np.asarray((cells < 0).any(axis=1))
            reason = "holds negative cells; a map is one of counts, or of shares of its entries"
        section[:, 0] = cells.sum(axis=1) if maps.entries is None else maps.entries[start:stop]
        if maps.is_normalised:
            cells *= section[:, :1]
        without = ~(section[:, 0] >= 0) | np.isinf(section[:, 0])
        return ("its number of entries is none" if without.any() and not bad.any() else reason), bad | without


def rows_of(dataset: Any, time_axis: int) -> int:  # noqa: ANN401 - as above
    """How many maps a dataset holds."""
    return int(dataset.shape[time_axis])


def map_shape(dataset: Any, time_axis: int) -> tuple[int, ...]:  # noqa: ANN401 - as above
    """Cells of one map along each of its axes. Raises ValueError where it is none."""
    shape = tuple(int(size) for size in dataset.shape or ())
    if len(shape) <= max(time_axis, 1):
        raise ValueError(f"it has {len(shape)} axes; a map needs one for the time (axis {time_axis}) and at least one more")
    cells = shape[:time_axis] + shape[time_axis + 1 :]
    if not math.prod(cells):
        raise ValueError("it has no cells")
    return cells
