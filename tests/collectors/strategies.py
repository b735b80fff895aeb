"""Layouts, frames and updates of every kind, for hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from collectors.frame import Axis, Channel, Column, Frame, Histogram, Kind, Layout, Quality, Storage, Updates

TIMES_NS = st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(min_size=1, max_size=8)


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    """Regular, variable or labelled, of a few bins."""
    name, unit = draw(st.text(max_size=5)), draw(st.text(max_size=3))
    if draw(st.booleans()):
        edges = draw(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=5, unique=True).map(sorted))
        return Axis.variable(name, unit, edges)
    bins = draw(st.integers(1, 4))
    low = draw(st.integers(-1000, 1000) | st.floats(-1e6, 1e6))
    labels = draw(st.none() | st.lists(st.text(max_size=4), min_size=bins, max_size=bins))
    return Axis(name, unit, bins, low, low + draw(st.integers(1, 1000) | st.floats(0.5, 1e6)), labels=tuple(labels or ()))


CHANNELS = st.builds(
    Channel,
    NAMES,
    st.text(max_size=4),
    st.text(max_size=3),
    st.sampled_from(Kind),
    st.text(max_size=6),
    st.lists(NAMES, max_size=3).map(tuple),
)
HISTOGRAMS = st.builds(
    Histogram, NAMES, st.lists(axes(), min_size=1, max_size=3).map(tuple), st.sampled_from(Storage), st.text(max_size=6), st.booleans()
)


@st.composite
def layouts(draw: st.DrawFn, columns: st.SearchStrategy[Column] = CHANNELS | HISTOGRAMS, min_size: int = 0) -> Layout:
    """Up to five channels and histograms."""
    chosen = draw(st.lists(columns, min_size=min_size, max_size=5, unique_by=lambda column: column.name))
    return Layout(draw(NAMES), tuple(chosen), draw(st.text(max_size=3)))


def numbers(dtype: Any, shape: Any) -> st.SearchStrategy[NDArray[Any]]:
    """Anything that fits, NaN and infinities included."""
    return arrays.arrays(dtype, shape)


QUALITIES = st.sampled_from([int(quality) for quality in Quality])


@st.composite
def frames(draw: st.DrawFn, layout: Layout) -> Frame:
    """Up to four rows of a layout."""
    n = draw(st.integers(0, 4))
    time_ns = draw(arrays.arrays(np.int64, n, elements=TIMES_NS))
    values = draw(numbers(draw(st.sampled_from([np.float32, np.float64])), (n, layout.width)))
    quality = draw(st.none() | arrays.arrays(np.uint8, (n, layout.width), elements=QUALITIES))
    return Frame(layout, time_ns, values, quality)


@st.composite
def updates(draw: st.DrawFn, layout: Layout) -> Updates:
    """Up to six readings of a layout that has columns."""
    k = draw(st.integers(0, 6))
    column = draw(arrays.arrays(np.int32, k, elements=st.integers(0, layout.width - 1)))
    quality = draw(arrays.arrays(np.uint8, k, elements=QUALITIES))
    return Updates(layout, draw(arrays.arrays(np.int64, k, elements=TIMES_NS)), column, draw(numbers(np.float64, k)), quality)
