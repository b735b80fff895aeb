"""How all pictures look: sizes, the few colours, words and numbers.

Normal is grey; the one colour means "abnormal" and is darker than all greys of data, so that it stands out in print too. Shapes, hatching
and words repeat it. All lengths are in inches; at 600 pixels a point of type is 1.16 pixels.
"""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

WIDTH = 7.2
MARGIN = 0.12
LEFT = 0.85
RIGHT = 0.2
TITLE_CHARACTERS = 76
TITLE_LINES = 2
LINE_OF_TITLE = 0.2
NAME_MOST = 44

INK = "#1a1a1a"
QUIET = "#5c5c5c"
DATA = "#4d4d4d"
BAND = "#d4d4d4"
GRID = "#ececec"
ABNORMAL = "#b3001b"
TINT = "#f6d9d5"
NOWHERE = "#f4f4f4"

SMALL, NORMAL, LARGE = 8.5, 9.0, 11.0
LARGEST = 1e36

PARAMETERS: Mapping[str, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": NORMAL,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "hatch.linewidth": 0.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "shiftwatch",
    "path.simplify": True,
}
"""Settings of matplotlib while a picture is drawn; names are never read as formulas."""

_PRINTED: Mapping[str, str] = {"uA": "µA", "us": "µs", "um": "µm", "uV": "µV", "degC": "°C", "Ohm": "Ω"}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def canvas(height: float, title: str, context: str) -> tuple[Figure, float]:
    """An empty picture with its heading, and the height that is left below it."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - loaded when the first picture is drawn

    lines = textwrap.wrap(clean(title, TITLE_CHARACTERS * TITLE_LINES), TITLE_CHARACTERS)[: TITLE_LINES + 1] or [""]
    heading = MARGIN + LINE_OF_TITLE * len(lines) + (0.19 if context else 0.0)
    whole = height + heading
    figure = Figure(figsize=(WIDTH, whole), facecolor="white")
    for i, text in enumerate(lines):
        y = 1 - (MARGIN + LINE_OF_TITLE * (i + 0.8)) / whole
        figure.text(MARGIN / WIDTH, y, text, fontsize=LARGE, fontweight="bold", va="baseline")
    if context:
        y = 1 - (MARGIN + LINE_OF_TITLE * len(lines) + 0.14) / whole
        figure.text(MARGIN / WIDTH, y, clean(context, 105), fontsize=NORMAL, color=QUIET, va="baseline")
    return figure, height


def panel(figure: Figure, left: float, bottom: float, width: float, height: float, **options: Any) -> Axes:  # noqa: ANN401 - those of add_axes
    """Axes at a place in inches from the lower left corner."""
    whole = float(figure.get_figheight())
    return figure.add_axes((left / WIDTH, bottom / whole, width / WIDTH, height / whole), **options)


def put_text(figure: Figure, x: float, y: float, text: str, **options: Any) -> None:  # noqa: ANN401 - those of text
    """Text at a place in inches from the lower left corner."""
    figure.text(x / WIDTH, y / float(figure.get_figheight()), text, **options)


def inches(axes: Axes) -> tuple[float, float]:
    """Width and height of axes."""
    box = axes.get_window_extent()
    return box.width / axes.figure.dpi, box.height / axes.figure.dpi


def clean(text: str, most: int = NAME_MOST) -> str:
    """One line of at most so many characters, without what XML or a reader cannot take; cut in the middle: both ends tell names apart."""
    if len(text) > 20 * most:
        text = text[: 10 * most] + text[-10 * most :]
    shown = "".join(c if unicodedata.category(c)[0] != "C" and c not in "\ufffe\uffff" else " " for c in text)
    shown = " ".join(shown.split())
    if len(shown) <= most:
        return shown
    tail = most // 3
    return f"{shown[: most - tail - 1]}…{shown[-tail:]}"


def finite(values: Array) -> Array:
    """With NaN for what is infinite or beyond all measure."""
    known = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(known) & (np.abs(known) < LARGEST), known, np.nan)


def edges_of(edges: Array, cells: int) -> Array:
    """Edges of cells, or numbers where the edges are no axis; one cell at least, so that there is something to put a word on."""
    known = finite(edges)
    if cells and len(known) == cells + 1 and bool((np.diff(known) > 0).all()):
        return known
    return np.arange(max(1, cells) + 1.0)


def span_of(*arrays: Array | float, pad: float = 0.06) -> tuple[float, float]:
    """A range that holds all finite values, with a margin; around 0 where there is none and never empty."""
    values = np.concatenate([np.empty(0), *(np.atleast_1d(finite(np.asarray(a, dtype=np.float64))).ravel() for a in arrays)])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    least = max(abs(low), abs(high)) * 1e-6
    if high - low <= least:
        half = 0.05 * max(abs(low), abs(high)) or 0.5
        return low - half, high + half
    margin = pad * (high - low)
    return low - margin, high + margin


def number(value: float, step: float = 0.0) -> str:
    """A number in four digits, or in as many decimals as a tick of a scale with this step needs: "12 500", "0.31", "2.5×10⁷"."""
    if not math.isfinite(value):
        return "none" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == 0 or abs(value) < step * 1e-6:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    digits = max(1, exponent + _decimals(step) + 1) if step > 0 else 4
    if exponent >= 7 or exponent < -3:
        mantissa = f"{value / 10.0**exponent:.{min(digits, 6) - 1}f}"
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}×10{str(exponent).translate(_SUPERSCRIPTS)}".replace("-", "−")
    places = max(0, digits - 1 - exponent)
    text = f"{value:,.{min(places, 9)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace(",", "\u202f").replace("-", "−")


def _decimals(step: float) -> int:
    """Decimals with which numbers a step apart are told from each other; negative where even tens are."""
    places = -math.floor(math.log10(step))
    mantissa = step * 10.0**places
    return places + (abs(mantissa - round(mantissa)) > 1e-6)


def unit_of(unit: str) -> str:
    """A unit as it is printed, "" for plain numbers."""
    return "" if unit == "1" else clean(_PRINTED.get(unit, unit), 12)


def quantity(value: float, unit: str, step: float = 0.0) -> str:
    """A number with its unit."""
    shown = number(value, step)
    return f"{shown} {unit_of(unit)}" if unit_of(unit) and math.isfinite(value) else shown


def ticks(axis: Axis, low: float, high: float, most: int = 5, *, whole: bool = False) -> None:
    """Round numbers as ticks of an axis from `low` to `high`."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    found = np.asarray(MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10], integer=whole).tick_values(low, high))
    found = found[(found >= low) & (found <= high)]
    step = float(found[1] - found[0]) if len(found) > 1 else 0.0
    axis.set_ticks(found.tolist(), labels=[number(float(value), step) for value in found])


def power_ticks(axis: Axis, low: float, high: float) -> None:
    """Powers of ten as ticks of a logarithmic axis."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    step = max(1, (last - first + 4) // 5)
    found = [10.0**exponent for exponent in range(first, last + 1, step)]
    axis.set_ticks(found, labels=[number(value) for value in found])
    axis.set_ticks([], minor=True)


def stretches(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and end of each run of True."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return list(zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True))


def listed(names: Sequence[str], most: int = 3) -> str:
    """Names in a row, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
