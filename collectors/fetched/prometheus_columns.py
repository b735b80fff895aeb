"""From samples to channels and histograms: kind, unit, place and states of each series."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from collectors.fetched.prometheus_text import Families, Series, spelled
from collectors.frame import Axis, Channel, Histogram, Kind
from collectors.patterns import Places, Selection, join_place, matches
from collectors.quantities import from_title, metric_unit

_COUNTERS = {"counter", "histogram", "summary"}


@dataclass(frozen=True, slots=True)
class Bucket:
    """One cumulative bucket of the histogram called `name`: how many observations were at most `bound`."""

    name: str
    metric: str
    place: str
    unit: str
    bound: float


@dataclass(frozen=True, slots=True)
class Unwanted:
    """A series that is left out."""


UNWANTED = Unwanted()
Target = Channel | Bucket | Unwanted


@dataclass(frozen=True, slots=True)
class Describer:
    """Says what a series becomes."""

    selection: Selection
    places: Places
    place_labels: Sequence[str]
    states: Mapping[str, Sequence[str]]
    buckets: bool

    def target(self, series: Series, families: Families) -> Target:
        """The channel or bucket a series stands for. Raises ValueError for a bucket without a bound."""
        name, family = series.name, families.family(series.metric)
        kind = families.types.get(family, "untyped")
        if kind == "info" or not self.selection.accepts(series.metric, name):
            return UNWANTED
        labels = dict(series.labels)
        place = join_place(self.places.of(name), *(labels[label] for label in self.place_labels if label in labels))
        if kind in ("histogram", "gaugehistogram") and series.metric == f"{family}_bucket":
            if not self.buckets:
                return UNWANTED
            unit = self._unit(family, families)
            rest = tuple((label, value) for label, value in series.labels if label != "le")
            return Bucket(spelled(family, rest), family, place, unit, float(labels.get("le", "")))
        if states := self._states(series):
            return Channel(name, series.metric, "", Kind.STATE, place, tuple(states))
        return Channel(name, series.metric, self._unit(series.metric, families), _kind(series, family, kind), place)

    def _states(self, series: Series) -> Sequence[str]:
        name = series.name
        return next((names for pattern, names in self.states.items() if matches(pattern, series.metric) or matches(pattern, name)), ())

    def _unit(self, metric: str, families: Families) -> str:
        family = families.family(metric)
        unit = metric_unit(metric, "" if metric.endswith(("_count", "_bucket")) else families.units.get(family, ""))
        if unit == "1" and not metric.endswith("_count"):
            return from_title(families.helps.get(family, ""))[1] or unit
        return unit


def _kind(series: Series, family: str, kind: str) -> Kind:
    if kind in ("untyped", "unknown"):
        return Kind.COUNTER if series.metric.endswith("_total") else Kind.GAUGE
    if kind not in _COUNTERS or series.metric.endswith("_created"):
        return Kind.GAUGE
    is_quantile = kind == "summary" and series.metric == family
    return Kind.GAUGE if is_quantile else Kind.COUNTER


class BucketError(ValueError):
    """Buckets that do not make a histogram."""


def bucket_histogram(buckets: Mapping[Bucket, float]) -> tuple[Histogram, list[float]]:
    """The histogram of all buckets of one name, and its section of a frame: entries, then bins with their flow bins.

    The first bucket has no lower bound and becomes the underflow, the last one the overflow. Raises BucketError.
    """
    ordered = sorted(buckets.items(), key=lambda item: item[0].bound)
    bounds = [bucket.bound for bucket, _ in ordered]
    counts = [count for _, count in ordered]
    first = ordered[0][0]
    if not math.isinf(bounds[-1]):
        raise BucketError('no bucket le="+Inf"')
    if len(bounds) < 3 or not all(math.isfinite(bound) for bound in bounds[:-1]):
        raise BucketError(f"{len(bounds)} buckets make no histogram")
    steps = np.diff(counts, prepend=0.0)
    if not np.isfinite(steps).all() or (steps < 0).any():
        raise BucketError("its buckets are not cumulative")
    axis = Axis.variable(first.metric, first.unit, bounds[:-1])
    return Histogram(first.name, (axis,), place=first.place), [counts[-1], *steps.tolist()]
