"""One snapshot of one ROOT file as a frame; what is known of its structure makes the next one cheap."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collectors.collector import Rejected
from collectors.frame import Axis, Channel, Column, Frame, Histogram, Kind, Layout, Quality, Storage
from collectors.patterns import Places, Selection
from collectors.root_files import Key, RootFile, RootFormatError, Signature
from collectors.root_histograms import Content, Structure, is_histogram, parse
from collectors.root_models import ModelReader
from collectors.root_streams import DamagedHistogramError, UnknownLayoutError

logger = logging.getLogger(__name__)


class Naming(NamedTuple):
    """From an object's path in the file to the histogram's path and place."""

    rename: Sequence[tuple[re.Pattern[str], str]]
    selection: Selection
    places: Places

    def name(self, object_path: str) -> str | None:
        """The histogram's path; None where it is not wanted."""
        for pattern, replacement in self.rename:
            object_path = pattern.sub(replacement, object_path)
        return object_path if object_path in self.selection else None


class Snapshot(NamedTuple):
    """What one reading of a file gave; no frame where nothing in it could be used."""

    frame: Frame | None
    rejected: list[Rejected]
    signature: Signature


class SnapshotReader:
    """Reads the files of one series. `claim(name)` says whether this series may use a histogram's path."""

    def __init__(self, source: str, part: str, naming: Naming, claim: Callable[[str], bool]) -> None:
        self._naming = naming
        self._claim = claim
        self._layout = Layout(source, (), part)
        # where the run changes, totals begin anew
        self._run = Channel("run", "run", "", Kind.STATE, naming.places.origin)
        self._names: dict[str, str | None] = {}
        self._known: dict[str, tuple[Structure | None, Histogram]] = {}

    def read(self, path: str, run: int) -> Snapshot:
        """One snapshot at the file's time of modification. Raises OSError or RootFormatError where the file is unusable."""
        found: dict[str, tuple[Histogram, Content | None]] = {}
        rejected: list[Rejected] = []
        with RootFile(path) as file:
            models = ModelReader(file)
            try:
                for object_path, name, key in self._wanted(file):
                    if name in found or (run >= 0 and name == self._run.name):
                        rejected.append(Rejected(f"{path}:{object_path}", f"something else is named {name!r} as well"))
                        continue
                    try:
                        found[name] = self._decode(file, models, object_path, name, key)
                    except (RootFormatError, DamagedHistogramError) as error:
                        rejected.append(Rejected(f"{path}:{object_path}", str(error)))
                        if name in self._known:
                            found[name] = self._known[name][1], None
            finally:
                models.close()
            if not file.is_unchanged():
                raise RootFormatError("it was written to while it was read; read again at the next turn")
        self._known = {name: self._known[name] for name in found}
        frame, invalid = self._frame(file.signature.modified_ns, run, [found[name] for name in sorted(found)])
        rejected += [Rejected(f"{path}:{name}", "its contents are not finite numbers or its entries are negative") for name in invalid]
        if not found and not rejected:
            rejected = [Rejected(path, "holds no histogram that `include` and `exclude` let through")]
        return Snapshot(frame if found else None, rejected, file.signature)

    def _wanted(self, file: RootFile) -> list[tuple[str, str, Key]]:
        """Path in the file, histogram's path and key of all histograms that are wanted."""
        wanted: list[tuple[str, str, Key]] = []
        names: dict[str, str | None] = {}
        skipped = 0
        for object_path, key in file.objects():
            if not is_histogram(key.class_name):
                skipped += 1
                continue
            if object_path in self._names:
                name = self._names[object_path]
            else:
                name = self._naming.name(object_path)
                name = name if name is not None and self._claim(name) else None
            names[object_path] = name
            if name is not None:
                wanted.append((object_path, name, key))
        self._names = names  # paths of former runs are forgotten
        if skipped:
            logger.debug("source=%s: %d objects are not histograms and were skipped", self._layout.source, skipped)
        return wanted

    def _decode(self, file: RootFile, models: ModelReader, object_path: str, name: str, key: Key) -> tuple[Histogram, Content]:
        payload = file.payload(key)
        structure, histogram = self._known.get(name, (None, None))
        if structure is not None and histogram is not None and structure.fits(payload, key.class_name):
            return histogram, structure.content(payload)
        try:
            structure = parse(payload, key.class_name)
            axes, storage, content = structure.axes, structure.storage, structure.content(payload)
        except UnknownLayoutError:
            structure = None
            axes, storage, content = models.read(object_path, key)
        histogram = self._histogram(histogram, name, axes, storage)
        self._known[name] = structure, histogram
        return histogram, content

    def _histogram(self, known: Histogram | None, name: str, axes: tuple[Axis, ...], storage: Storage) -> Histogram:
        if known is not None and known.axes == axes and known.storage == storage:
            return known
        return Histogram(name, axes, storage, self._naming.places.of(name))

    def _frame(self, time_ns: int, run: int, found: Sequence[tuple[Histogram, Content | None]]) -> tuple[Frame, list[str]]:
        """The frame, and the paths of histograms whose numbers cannot be true."""
        columns: tuple[Column, ...] = (*((self._run,) if run >= 0 else ()), *(histogram for histogram, _ in found))
        if columns != self._layout.columns:
            self._layout = Layout(self._layout.source, columns, self._layout.part)
        row = np.empty(self._layout.width)
        starts = self._layout.starts[len(columns) - len(found) :]
        if run >= 0:
            row[0] = run
        for (histogram, content), start, stop in zip(found, starts[:-1], starts[1:], strict=True):
            if content is None:
                row[start:stop] = np.nan
            else:
                content.write(row[start:stop], histogram.axes)
        is_broken = np.array([content is None for _, content in found], dtype=bool)
        is_untrue = _untrue(row, starts) & ~is_broken if found else is_broken
        quality = self._blank(row, starts, is_broken | is_untrue)
        frame = Frame(self._layout, np.array([time_ns], dtype=np.int64), row[None], quality)
        return frame, [histogram.path for (histogram, _), bad in zip(found, is_untrue, strict=True) if bad]

    def _blank(self, row: NDArray[np.float64], starts: NDArray[np.int64], bad: NDArray[np.bool_]) -> NDArray[np.uint8] | None:
        """Takes the numbers of bad histograms out of the row, and says so in the quality that is returned."""
        if not bad.any():
            return None
        quality = np.full((1, len(row)), Quality.GOOD, dtype=np.uint8)
        for i in np.flatnonzero(bad):
            row[starts[i] : starts[i + 1]] = np.nan
            quality[0, starts[i] : starts[i + 1]] = Quality.INVALID
        return quality


def _untrue(row: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which histograms hold numbers that are not finite or count less than nothing; shape (histograms,)."""
    untrue: NDArray[np.bool_] = row[starts[:-1]] < 0
    is_infinite = ~np.isfinite(row)
    if is_infinite.any():
        untrue |= np.logical_or.reduceat(is_infinite, starts[:-1])
    return untrue
