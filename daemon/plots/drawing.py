"""Draws figures as SVG for the page and as PNG for messages. The same figure gives the same bytes, from any thread."""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import tzinfo
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from daemon.plots import disk, histogram, plan, series, stack, states, style
from daemon.plots import map as maps
from detectors.figure import DiskFigure, Figure, HistogramFigure, MapFigure, PlanFigure, SeriesFigure, StackFigure, StatesFigure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

RASTER_DPI = 160
"""Resolution of the maps within an SVG."""
WIDTHS_PX = range(100, 4001)

_drawing = threading.Lock()
"""matplotlib's settings are global: one picture is drawn at a time."""
_HEAD = re.compile(r"^.*?(<svg [^>]*)>", re.DOTALL)


def svg(figure: Figure, zone: tzinfo) -> str:
    """The picture as an SVG element with text as text, without references to anything outside; times are those of the zone."""
    with _settings():
        stream = io.BytesIO()
        unsaid = {"Date": None, "Creator": None, "Format": None, "Type": None}
        _drawn(figure, zone).savefig(stream, format="svg", dpi=RASTER_DPI, metadata=unsaid)
    title, description = (escape(style.clean(text, 400)) for text in (figure.title, described(figure)))
    words = f'\\1 role="img" aria-label="{title.replace(chr(34), "&quot;")}">\n <title>{title}</title>\n <desc>{description}</desc>'
    return _HEAD.sub(lambda match: words.replace("\\1", match[1]), stream.getvalue().decode(), count=1)


def png(figure: Figure, zone: tzinfo, width_px: int = 1200) -> bytes:
    """The picture as a PNG of this width; the height follows. Raises ValueError for a width that is no picture's."""
    if width_px not in WIDTHS_PX:
        raise ValueError(f"a picture cannot be {width_px} pixels wide, only {WIDTHS_PX.start} to {WIDTHS_PX.stop - 1}")
    with _settings():
        stream = io.BytesIO()
        dpi = (width_px + 0.01) / style.WIDTH  # the size is cut to whole pixels
        _drawn(figure, zone).savefig(stream, format="png", dpi=dpi, metadata={"Software": None})
    return stream.getvalue()


def described(figure: Figure) -> str:
    """What the picture shows, in words for those who cannot see it."""
    match figure:
        case HistogramFigure():
            said = ["Histogram against its reference", *histogram.suspicious_names(figure)[:5]]
        case MapFigure():
            said = ["Map and observed over expected", *(maps.said_of(figure, region) for region in maps.regions_of(figure)[:5])]
        case SeriesFigure():
            said = ["Readings over time", *(series.said_of(figure, line) for line in figure.lines[:6])]
        case StackFigure():
            said = ["Stacked by cause", f"culprit: {figure.culprit}"]
        case StatesFigure():
            said = ["States over time", *(f"{lane.name}: bad states {', '.join(lane.bad)}" for lane in figure.lanes[:6] if lane.bad)]
        case DiskFigure():
            said = ["Attributes of a disk", *(disk.said_of(figure, attribute) for attribute in figure.attributes[:6])]
        case PlanFigure():
            said = ["Schedule by default and as proposed", figure.gain]
    return "; ".join([text for text in said if text] + ([figure.context] if figure.context else []))


def _drawn(figure: Figure, zone: tzinfo) -> Drawn:
    match figure:
        case HistogramFigure():
            drawn = histogram.draw(figure)
        case MapFigure():
            drawn = maps.draw(figure)
        case SeriesFigure():
            drawn = series.draw(figure, zone)
        case StackFigure():
            drawn = stack.draw(figure, zone)
        case StatesFigure():
            drawn = states.draw(figure, zone)
        case DiskFigure():
            drawn = disk.draw(figure, zone)
        case PlanFigure():
            drawn = plan.draw(figure)
    return drawn


@contextmanager
def _settings() -> Iterator[None]:
    """The look of all pictures, for one thread at a time; letters that the font lacks are drawn as boxes without a word."""
    import matplotlib as mpl  # noqa: PLC0415 - loaded when the first picture is drawn

    parameters: Any = dict(style.PARAMETERS)  # newer versions list all names in the type
    with _drawing, mpl.rc_context(parameters), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield
