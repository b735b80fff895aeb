"""Reference comparison: the shape of each histogram in an interval against the shape of normal intervals.

What it finds: a moved peak, a hole, a hot bin, a changed width, also where many bins are off by little. What it does not take
for a fault: more or fewer entries. Method and sources: `detectors.shapes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from collectors.collector import Options
from collectors.frame import Frame, Histogram, Layout, Quality, Storage
from detectors.bins import field_columns
from detectors.figure import HistogramFigure, MapFigure
from detectors.finding import Evidence, Scores, Unit
from detectors.reference_evidence import count_evidence, profile_evidence
from detectors.reference_picture import count_picture, profile_picture
from detectors.selection import PerLayout, SelectionOptions, select_histograms, unit_key
from detectors.shapes import Compared, Windows, compare_counts, compare_profiles, learn_counts, learn_profile

Array = NDArray[np.float64]

VALUES_AT_ONCE = 4_000_000
ROWS_LEAST = 3
"""Intervals with enough entries without which a histogram is not learned."""


class ReferenceOptions(SelectionOptions):
    """Options of the detector `reference`."""

    tolerance_ratio: float = Field(default=0.01, ge=0)
    """Relative fluctuation of each bin beyond counting statistics that is always allowed for."""
    entries_needed: float = Field(default=100.0, gt=0)
    """Entries of an interval below which it cannot be judged."""
    bins_most: int = Field(default=20_000, ge=1)
    """Histograms with more bins are left out."""


@dataclass(frozen=True, eq=False)
class _Batch:
    """Histograms of a layout that are compared together: of one storage and size.

    fields: frame columns of each of the storage's sums, shape (sums, histograms, bins); learned: stacked arrays of the models.
    """

    histograms: tuple[Histogram, ...]
    fields: NDArray[np.int64]
    windows: Windows
    profile: bool
    learned: dict[str, Array]

    @property
    def bins(self) -> int:
        return self.windows.bins

    def only(self, i: int) -> _Batch:
        """One histogram alone."""
        learned = {name: array[i : i + 1] for name, array in self.learned.items()}
        return _Batch(self.histograms[i : i + 1], self.fields[:, i : i + 1], self.windows, self.profile, learned)


@dataclass(frozen=True, eq=False)
class _Bound:
    """The batches of a layout and the units of all, in order."""

    batches: tuple[_Batch, ...]
    units: tuple[Unit, ...]

    def batch_of(self, unit: int) -> tuple[_Batch, int]:
        """The batch that a unit is in, and its place there."""
        for batch in self.batches:
            if unit < len(batch.histograms):
                return batch, unit
            unit -= len(batch.histograms)
        raise IndexError(f"there are no units after the {len(self.units)} of this layout")


class ReferenceDetector:
    """Shapes of histograms against their reference; see the module. Cost: O(rows x bins), histograms of one size at once.

    Example::

        [detector.reference]
        include = ["ECAL/*", "TRACKER/*"]
        tolerance_ratio = 0.01
    """

    options_model: ClassVar[type[Options]] = ReferenceOptions
    rows_needed: ClassVar[int] = 10

    def __init__(self, name: str, options: ReferenceOptions) -> None:
        self.name = name
        self._options = options
        self._models: dict[str, dict[str, Array]] = {}
        self._bound = PerLayout(self._bind)

    def applies(self, layout: Layout) -> bool:
        """Whether there are histograms to compare."""
        return bool(self._histograms(layout))

    def fit(self, history: Frame) -> Self:
        """Adds up the references and learns how much normal intervals differ from them."""
        self._models = {}
        for histogram in self._histograms(history.layout):
            batch = _batch(history.layout, (histogram,), [{}])
            entries, *means = (array[:, 0] for array in _content(history, batch))
            rows = np.nan_to_num(entries.sum(axis=1)) >= self._options.entries_needed
            if rows.sum() < ROWS_LEAST:
                continue
            tolerance = self._options.tolerance_ratio
            if batch.profile:
                model = learn_profile(entries[rows], means[0][rows], means[1][rows], tolerance)
            else:
                model = learn_counts(entries[rows], batch.windows, tolerance)
            self._models[history.layout.key(histogram.path)] = model
        self._bound.forget()
        return self

    def score(self, frame: Frame) -> Scores:
        """-log10 of the chance of such a shape, before calibration; NaN where there are too few entries."""
        bound = self._bound.of(frame.layout)
        values = [np.empty((len(frame), 0))]
        for batch in bound.batches:
            parts = [self._scores(some, batch) for some in _blocks(frame, batch)]
            values.append(np.concatenate(parts) if parts else np.empty((0, len(batch.histograms))))
        return Scores(bound.units, np.concatenate(values, axis=1))

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """The bins that differ most, with what was expected, and where a peak has moved to if it has."""
        batch, unit = self._bound.of(frame.layout).batch_of(unit)
        content = _content(frame.rows(slice(row, row + 1)), batch)
        compared = _compare(content, batch)
        histogram, pull, expected = batch.histograms[unit], compared.pull[0, unit], compared.expected[0, unit]
        if batch.profile:
            return profile_evidence(histogram, content[1][0, unit], expected, pull)
        return count_evidence(histogram, content[0][0, unit], expected, pull, batch.windows)

    def picture(self, recent: Frame, row: int, unit: int) -> HistogramFigure | MapFigure | None:
        """The histogram of the interval against its reference, with pulls; as a map where it has two axes."""
        batch, unit = self._bound.of(recent.layout).batch_of(unit)
        alone = batch.only(unit)
        content = _content(recent.rows(slice(row, row + 1)), alone)
        compared = _compare(content, alone)
        histogram, pull, expected = alone.histograms[0], compared.pull[0, 0], compared.expected[0, 0]
        if alone.profile:
            entries, mean, variance = (array[0, 0] for array in content)
            return profile_picture(histogram, entries, mean, variance, expected, alone.learned["spread_squared"][0], pull)
        return count_picture(histogram, content[0][0, 0], expected, pull, alone.learned["dispersion"][0], alone.windows)

    def state(self) -> dict[str, Any]:
        """The references."""
        return {"version": 1, "models": self._models}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""
        if state.get("version") != 1:
            raise ValueError(f"detector {self.name}: model of version {state.get('version')}, this is version 1")
        self._models = {key: {name: np.asarray(array) for name, array in model.items()} for key, model in state["models"].items()}
        self._bound.forget()

    def _histograms(self, layout: Layout) -> list[Histogram]:
        return [h for h in select_histograms(layout, self._options) if _bins(h) <= self._options.bins_most]

    def _bind(self, layout: Layout) -> _Bound:
        alike: dict[tuple[Storage, bool, int], list[Histogram]] = {}
        for histogram in self._histograms(layout):
            if layout.key(histogram.path) in self._models:
                alike.setdefault((histogram.storage, len(histogram.axes) == 1, _bins(histogram)), []).append(histogram)
        batches = tuple(_batch(layout, tuple(some), [self._models[layout.key(h.path)] for h in some]) for some in alike.values())
        ordered = [h for batch in batches for h in batch.histograms]
        units = tuple(Unit(unit_key(layout.key(h.path), "shape"), h.path, h.place, "shape") for h in ordered)
        return _Bound(batches, units)

    def _scores(self, frame: Frame, batch: _Batch) -> Array:
        content = _content(frame, batch)
        scores = _compare(content, batch).score(batch.bins, batch.learned["chi_scale"], batch.learned["chi_freedom"])
        judged = np.nan_to_num(content[0].sum(axis=-1)) >= self._options.entries_needed
        return np.where(judged, scores, np.nan)


def _bins(histogram: Histogram) -> int:
    return int(np.prod([axis.bins for axis in histogram.axes]))


def _batch(layout: Layout, histograms: tuple[Histogram, ...], models: list[dict[str, Array]]) -> _Batch:
    first = histograms[0]
    fields = np.array([[field_columns(layout, h, field) for h in histograms] for field in first.storage.fields])
    profile = first.storage is Storage.PROFILE
    windows = Windows.of(_bins(first), neighbours=len(first.axes) == 1 and not profile)
    learned = {name: np.stack([model[name] for model in models]) for name in models[0]}
    return _Batch(histograms, fields, windows, profile, learned)


def _blocks(frame: Frame, batch: _Batch) -> Iterator[Frame]:
    """Some rows at a time, so that what is worked out of them does not take much memory."""
    rows = max(1, VALUES_AT_ONCE // max(1, len(batch.histograms) * len(batch.windows.start)))
    for start in range(0, len(frame), rows):
        yield frame.rows(slice(start, start + rows))


def _content(frame: Frame, batch: _Batch) -> tuple[Array, ...]:
    """Counts of each bin, or effective entries, mean and variance of profiles; each (n, histograms, bins), NaN in bad rows."""
    sums = [frame.values[:, columns].astype(np.float64) for columns in batch.fields]
    if frame.quality is not None:
        bad = (frame.quality[:, batch.fields[0]] != Quality.GOOD).any(axis=-1)
        sums[0][bad] = np.nan
    if batch.profile:
        return _profile_content(*sums)
    counts = np.maximum(sums[0], 0.0)
    if len(sums) > 1:  # weighted: the equivalent number of unweighted entries
        squared = sums[1].sum(axis=-1, keepdims=True)
        counts *= np.divide(counts.sum(axis=-1, keepdims=True), squared, out=np.zeros_like(squared), where=squared > 0)
    counts[~np.isfinite(counts).all(axis=-1)] = np.nan
    return (counts,)


def _profile_content(sum_w: Array, sum_w2: Array, sum_wy: Array, sum_wy2: Array) -> tuple[Array, Array, Array]:
    filled = (sum_w > 0) & (sum_w2 > 0)
    entries = np.divide(sum_w**2, sum_w2, out=np.where(np.isnan(sum_w), np.nan, 0.0), where=filled)
    mean = np.divide(sum_wy, sum_w, out=np.full(sum_w.shape, np.nan), where=filled)
    variance = np.divide(sum_wy2, sum_w, out=np.full(sum_w.shape, np.nan), where=filled) - mean**2
    return entries, mean, np.maximum(variance, 0.0)


def _compare(content: tuple[Array, ...], batch: _Batch) -> Compared:
    learned = batch.learned
    if batch.profile:
        return compare_profiles(content[0], content[1], learned["mean"], learned["variance"], learned["spread_squared"])
    return compare_counts(np.nan_to_num(content[0]), batch.windows, learned["part"], learned["dispersion"])
