"""Pictures of the evidence as data: what is drawn, not how. A detector says it, `daemon/plots` draws it.

A figure travels with the finding that it belongs to: it holds the numbers that a person needs to judge, and no more than
that. NaN means "no reading" throughout.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame

Numbers = NDArray[np.float64]
Times = NDArray[np.int64]

MAX_ENCODED_CHARACTERS = 200_000
"""A figure beyond this does not travel."""
MAX_DECODED_BYTES = 16_000_000


class FigureError(ValueError):
    """A text that holds no figure."""


@dataclass(frozen=True, eq=False, slots=True)
class HistogramFigure:
    """A histogram of one axis against its reference, with pulls.

    edges: shape (k+1,); all other arrays (k,). expected_error is half the width of the band; pulls are in standard
    deviations, beyond +-pull_limit they are suspicious. bin_names is empty for a numeric axis.
    """

    title: str
    x_label: str
    y_label: str
    edges: Numbers
    observed: Numbers
    observed_error: Numbers
    expected: Numbers
    expected_error: Numbers
    pulls: Numbers
    pull_limit: float
    suspicious: tuple[int, ...] = ()
    bin_names: tuple[str, ...] = ()
    context: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class MapFigure:
    """A map of two axes, observed and expected, shape (nx, ny); suspicious: cells (ix, iy), with their names where known."""

    title: str
    x_label: str
    y_label: str
    z_label: str
    x_edges: Numbers
    y_edges: Numbers
    observed: Numbers
    expected: Numbers
    suspicious: tuple[tuple[int, int], ...] = ()
    names: tuple[str, ...] = ()
    context: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Line:
    """One channel over time: values, and the band that was expected (NaN where nothing was). All of shape (n,)."""

    name: str
    unit: str
    values: Numbers
    low: Numbers
    high: Numbers
    share: float = 0.0
    """Its part of the alarm, 0 to 1."""


@dataclass(frozen=True, eq=False, slots=True)
class Span:
    """A shaded stretch of time with a word: a run, an incident."""

    start_ns: int
    end_ns: int
    label: str


@dataclass(frozen=True, eq=False, slots=True)
class SeriesFigure:
    """Channels over time, at most six, ranked by their share in the alarm. Limits are NaN where there are none."""

    title: str
    y_label: str
    time_ns: Times
    lines: tuple[Line, ...]
    since_ns: int
    found_ns: int
    limit_low: float = float("nan")
    limit_high: float = float("nan")
    spans: tuple[Span, ...] = ()
    context: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class StackFigure:
    """Shares that add up, such as dead-time by cause: the layers from the bottom, the culprit highlighted."""

    title: str
    y_label: str
    time_ns: Times
    layers: tuple[Line, ...]
    culprit: str
    since_ns: int
    found_ns: int
    limit_high: float = float("nan")
    context: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Lane:
    """A channel with named states over time: codes into `states`, shape (n,), NaN where not known."""

    name: str
    codes: Numbers
    states: tuple[str, ...]
    bad: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class StatesFigure:
    """Lanes of states over time."""

    title: str
    time_ns: Times
    lanes: tuple[Lane, ...]
    since_ns: int
    found_ns: int
    context: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Attribute:
    """One attribute of a disk: its value over time and the buckets of values with the failure rate seen in each.

    bucket_edges: shape (b+1,); annual_failure_ratio: (b,), between 0 and 1; empty where no rates are known.
    """

    name: str
    unit: str
    values: Numbers
    bucket_edges: Numbers
    annual_failure_ratio: Numbers


@dataclass(frozen=True, eq=False, slots=True)
class DiskFigure:
    """Attributes of a disk against their failure-rate buckets, with trend."""

    title: str
    time_ns: Times
    attributes: tuple[Attribute, ...]
    context: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Bar:
    """A job on some lane of a schedule, from start to end in seconds after now."""

    lane: str
    label: str
    start_s: float
    end_s: float
    changed: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class PlanFigure:
    """Gantt of what would happen by default against what is proposed; both over the same lanes."""

    title: str
    default: tuple[Bar, ...]
    proposed: tuple[Bar, ...]
    gain: str
    """In words, with its interval."""
    context: str = ""


Figure = HistogramFigure | MapFigure | SeriesFigure | StackFigure | StatesFigure | DiskFigure | PlanFigure


@runtime_checkable
class Picturing(Protocol):
    """A rule or detector that can show what it saw."""

    def picture(self, recent: Frame, row: int, unit: int) -> Figure | None:
        """The evidence for a unit in a row of `recent`; None where there is nothing to show.

        `recent` holds the rows before too (as many as were kept), of the same layout; `row` is an index into it, `unit`
        one into the units that `judge` or `score` give for this layout.
        """


def of_finding(figure: Figure, since_ns: int, found_ns: int, context: str) -> Figure:
    """The figure with the beginning of its finding, the moment at which it was raised, and a line that says when that was.

    The line is as in "run 382711, LS 214". A picture alone can tell neither of them: it may have been drawn later.
    """
    if isinstance(figure, SeriesFigure | StackFigure | StatesFigure):
        return replace(figure, since_ns=since_ns, found_ns=found_ns, context=context)
    return replace(figure, context=context)


_KINDS: Mapping[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        HistogramFigure,
        MapFigure,
        SeriesFigure,
        StackFigure,
        StatesFigure,
        DiskFigure,
        PlanFigure,
        Line,
        Span,
        Lane,
        Attribute,
        Bar,
    )
}


def encode(figure: Figure) -> str:
    """The figure as text; numbers keep about seven digits. Raises FigureError where it is too large to travel."""
    body = json.dumps(_plain(figure), separators=(",", ":"))
    text = base64.b85encode(zlib.compress(body.encode(), 6)).decode()
    if len(text) > MAX_ENCODED_CHARACTERS:
        raise FigureError(f"{figure.title}: a picture of {len(text)} characters is too large to travel")
    return text


def decode(text: str) -> Figure:
    """The figure in a text. Raises FigureError."""
    try:
        inflater = zlib.decompressobj()
        body = json.loads(inflater.decompress(base64.b85decode(text), MAX_DECODED_BYTES))
        figure = _built(body)
    except (ValueError, TypeError, KeyError, AttributeError, zlib.error, binascii.Error) as error:
        raise FigureError(f"not a figure: {type(error).__name__}") from None
    if not isinstance(figure, Figure):
        raise FigureError(f"not a figure: {type(figure).__name__}")
    return figure


def _plain(value: Any) -> Any:  # noqa: ANN401 - a field of a figure
    if isinstance(value, np.ndarray):
        kind = "<i8" if value.dtype.kind == "i" else "<f4"
        data = base64.b64encode(np.ascontiguousarray(value, dtype=kind).tobytes()).decode()
        return {"kind": kind, "shape": list(value.shape), "data": data}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if type(value).__name__ in _KINDS:
        return {"type": type(value).__name__} | {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return value


def _built(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return tuple(_built(entry) for entry in value)
    if not isinstance(value, dict):
        return value
    if "type" not in value:
        array = np.frombuffer(base64.b64decode(value["data"]), dtype={"<i8": "<i8", "<f4": "<f4"}[value["kind"]])
        return array.reshape(value["shape"]).astype(np.int64 if value["kind"] == "<i8" else np.float64)
    kind = _KINDS[value.pop("type")]
    known = {f.name for f in fields(kind)}
    return kind(**{name: _built(entry) for name, entry in value.items() if name in known})
