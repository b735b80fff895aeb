"""What the columns of a table mean: which are channels, with what units and states, and which are the bins of histograms."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from collectors.collector import Options, Origin
from collectors.frame import Axis, Channel, Kind
from collectors.patterns import Places, PlaceTemplates, Selection, join_place, matches
from collectors.quantities import from_title
from collectors.tabular.table_frames import HistogramSource
from collectors.tabular.table_values import TimeFormat, check_timezone

Timezone = Annotated[str, AfterValidator(check_timezone)]


class TableAxis(Options):
    """One axis of a histogram whose bins are columns: regular between `low` and `high`, or with `edges`."""

    title: str = "x"
    """With its unit: "charge [e]"."""
    bins: int | None = Field(default=None, ge=1)
    """Without flow bins; needed where there is more than one axis."""
    low: float = 0.0
    """Lower edge of the first bin."""
    high: float | None = None
    """The number of bins by default."""
    edges: tuple[float, ...] = ()
    """Edges of bins of different width, rising, one more than there are bins; instead of `low` and `high`."""
    labels: tuple[str, ...] = ()
    """Names of the bins, where they have some."""

    @model_validator(mode="after")
    def _possible(self) -> TableAxis:
        bins = self.bins or (len(self.edges) - 1 if self.edges else 0) or len(self.labels)
        if bins or self.high is not None:  # else nothing is known before the data
            self.axis(bins or 1)
        return self

    def axis(self, bins: int) -> Axis:
        """The axis with this number of bins; ValueError where it contradicts the options."""
        name, unit = from_title(self.title, "x")
        if self.labels and len(self.labels) != bins:
            raise ValueError(f"axis {name!r}: {len(self.labels)} labels for {bins} bins")
        if self.edges:
            if len(self.edges) != bins + 1:
                raise ValueError(f"axis {name!r}: {bins} bins need {bins + 1} edges")
            return Axis.variable(name, unit, self.edges)
        return Axis(name, unit, bins, self.low, float(bins) if self.high is None else self.high, labels=self.labels)


class TableHistogram(Options):
    """A histogram in every row, from a run of columns or a matrix of an archive."""

    path: str
    """Its name."""
    columns: str = ""
    """Names of the columns with `{}` for the number of the bin ("bin_{}")."""
    array: str = ""
    """NumPy archives: the array with a histogram a row."""
    axes: tuple[TableAxis, ...] = (TableAxis(),)
    """One table for each axis, in the order in which bins follow one another: the last one fastest."""
    flow: bool = False
    """The first and the last bin of each axis are under- and overflow."""
    entries: str = ""
    """Column with the number of entries; the sum of the bins by default."""
    normalised: bool = False
    """The bins are fractions of the entries."""
    place: str = ""
    """Below the source's own."""

    @model_validator(mode="after")
    def _one_source(self) -> TableHistogram:
        if bool(self.columns) == bool(self.array) or (self.columns and self.columns.count("{}") != 1):
            raise ValueError("give either `columns`, with one {} for the bin's number, or `array`")
        if self.normalised and not self.entries:
            raise ValueError("`normalised` needs `entries`")
        if len(self.axes) > 1 and any(axis.bins is None for axis in self.axes):
            raise ValueError("several axes need `bins` each")
        return self

    def sized_axes(self, bins: int) -> tuple[Axis, ...]:
        """Axes for this number of bins, flow bins included. Raises ValueError."""
        extra = 2 * self.flow
        sizes = [bins - extra if axis.bins is None else axis.bins for axis in self.axes]
        if min(sizes) < 1 or np.prod([size + extra for size in sizes]) != bins:
            raise ValueError(f"histogram {self.path!r}: {bins} bins do not fit {sizes}{' with flow bins' if self.flow else ''}")
        return tuple(axis.axis(size) for axis, size in zip(self.axes, sizes, strict=True))


class TimeOptions(Options):
    """How times are written."""

    time_format: TimeFormat = "auto"
    """auto: ISO 8601, or seconds to nanoseconds since 1970 by their size."""
    timezone: Timezone = "UTC"
    """IANA name, for times that name no zone."""


class ColumnOptions(Options):
    """What the columns of a table mean."""

    include: tuple[str, ...] = ("*",)
    """Patterns on the channel's name; one must match. Columns of text are no channels unless they have `states`."""
    exclude: tuple[str, ...] = ()
    """Patterns of channels that are left out."""
    places: PlaceTemplates = Field(default_factory=dict)
    """Pattern on the channel's name = place below the source's; `{1}` is what the first `*` stands for."""
    units: dict[str, str] = Field(default_factory=dict)
    """Pattern = unit; a name such as "pressure [bar]" carries its own."""
    kinds: dict[str, Kind] = Field(default_factory=dict)
    """Pattern = gauge, counter, state or bits; gauge by default."""
    states: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Pattern = names of the values of a state, lowest first; cells hold the name or its number."""
    histograms: tuple[TableHistogram, ...] = ()
    """Histograms whose bins are columns, or an array of a NumPy archive."""


class Columns:
    """The channels and histograms that the columns of a source's tables stand for."""

    def __init__(self, origin: Origin, options: ColumnOptions) -> None:
        self._options = options
        self._selection = Selection(options.include, options.exclude)
        self._places = Places(origin.place, options.places)
        self.histograms = tuple(
            HistogramSource(h.path, join_place(origin.place, h.place), h.columns, h.array, h.sized_axes, h.flow, h.entries, h.normalised)
            for h in options.histograms
        )

    def describe(self, name: str, states: tuple[str, ...] = ()) -> Channel | None:
        """The channel of a column; None where it is not wanted. `states`: those of the column where the options name none."""
        if name not in self._selection:
            return None
        options = self._options
        quantity, unit = from_title(name)
        states = next((names for pattern, names in options.states.items() if matches(pattern, name)), states)
        kind = next((k for pattern, k in options.kinds.items() if matches(pattern, name)), Kind.STATE if states else Kind.GAUGE)
        unit = next((u for pattern, u in options.units.items() if matches(pattern, name)), unit)
        return Channel(name, quantity, unit, kind, self._places.of(name), states)
