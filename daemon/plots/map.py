"""A map: what was observed, beside it observed over expected; suspicious cells outlined, numbered and named below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from daemon.plots import style
from detectors.figure import MapFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

PANEL_HEIGHT, BAR, FOOT, HEAD, LINE = 2.6, 0.13, 1.02, 0.3, 0.2
REGIONS_MOST = 4
"""Regions that are numbered and named; the others are outlined and counted."""
RING_BELOW = 0.16
"""A region smaller than this has a ring around it: an outline alone is not seen."""
RATIO_MOST = 2.0
_DIVERGING = ((0.0, "#0b1f4d"), (0.25, "#5478ad"), (0.5, "#f3f3f3"), (0.75, "#eda07c"), (1.0, "#c8401f"))
"""Dark is too few, bright is as expected, medium red is too many: three different greys, too."""


def draw(shown: MapFigure) -> Figure:
    """The picture."""
    regions = regions_of(shown)
    listed = min(len(regions), REGIONS_MOST) + (len(regions) > REGIONS_MOST)
    foot = FOOT + LINE * listed
    figure, _ = style.canvas(PANEL_HEIGHT + foot + HEAD, shown.title, shown.context)
    width = (style.WIDTH - style.LEFT - style.RIGHT - 0.45) / 2
    panels = [style.panel(figure, style.LEFT + i * (width + 0.45), foot, width, PANEL_HEIGHT) for i in range(2)]
    edges = [style.edges_of(shown.x_edges, shown.observed.shape[0]), style.edges_of(shown.y_edges, shown.observed.shape[1])]
    observed, expected = style.finite(shown.observed), style.finite(shown.expected)
    low, high = _range(observed, expected)
    _panel(panels[0], edges, observed, "cividis", (low, high))
    _panel(panels[1], edges, ratio_of(observed, expected), _diverging(), (0.0, RATIO_MOST))
    panels[0].set_title(style.clean(f"observed [{shown.z_label}]", 40), fontsize=style.NORMAL, loc="left", pad=4)
    panels[1].set_title("observed / expected", fontsize=style.NORMAL, loc="left", pad=4)
    for axes in panels:
        style.ticks(axes.xaxis, float(edges[0][0]), float(edges[0][-1]), 5)
        style.ticks(axes.yaxis, float(edges[1][0]), float(edges[1][-1]), 6)
        axes.set_xlabel(style.clean(shown.x_label, 36), labelpad=1)
        for number, region in enumerate(regions, start=1):
            _outline(axes, edges, region[0], number if number <= REGIONS_MOST else 0)
    panels[0].set_ylabel(style.clean(shown.y_label, 36))
    panels[1].set_yticks(panels[1].get_yticks(), labels=[])
    bar = foot - 0.62
    _colour_bar(figure, style.LEFT, bar, width, "cividis", (low, high), [low, high])
    _colour_bar(figure, style.LEFT + width + 0.45, bar, width, _diverging(), (0.0, RATIO_MOST), [0.0, 0.5, 1.0, 1.5, RATIO_MOST])
    _names(figure, shown, regions, bar - 0.38)
    return figure


Region = tuple[NDArray[np.bool_], str]
"""Cells of connected suspicious ones, shape (nx, ny), and their name."""


def regions_of(shown: MapFigure) -> list[Region]:
    """Suspicious cells that touch each other, in the order in which their first cell is given."""
    from scipy import ndimage  # noqa: PLC0415 - loaded when the first map is drawn

    cells = [(ix, iy) for ix, iy in shown.suspicious if 0 <= ix < shown.observed.shape[0] and 0 <= iy < shown.observed.shape[1]]
    if not cells:
        return []
    marked = np.zeros(shown.observed.shape, dtype=np.bool_)
    marked[tuple(np.array(cells).T)] = True
    labels, _ = ndimage.label(marked, np.ones((3, 3)))
    names = dict(zip(shown.suspicious, shown.names, strict=False))
    whole = shown.names[0] if len(shown.names) == 1 else ""
    regions = []
    for label in dict.fromkeys(int(labels[cell]) for cell in cells):
        inside = labels == label
        own = [names[cell] for cell in dict.fromkeys(cells) if inside[cell] and cell in names]
        name = whole or style.listed([style.clean(n) for n in own], 2) or _coordinates(shown, inside)
        regions.append((inside, name))
    return regions


def ratio_of(observed: Array, expected: Array) -> Array:
    """Observed over expected; infinite where nothing was expected but something is there, NaN where neither is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Array = observed / expected
    return np.where(np.isinf(ratio), RATIO_MOST * 10, ratio)


def said_of(shown: MapFigure, region: Region) -> str:
    """Such as "eta 3 to 5, phi 12 to 14: 2 seen, 214 expected (0.9 %)"."""
    inside, name = region
    observed, expected = (float(np.nansum(style.finite(values)[inside])) for values in (shown.observed, shown.expected))
    if "mean" in shown.z_label:
        count = float(inside.sum())
        return f"{style.clean(name, 60)}: {style.number(observed / count)}, expected {style.number(expected / count)}"
    ratio = observed / expected if expected > 0 else 1.0
    part = f", {style.number(float(f'{100 * ratio:.2g}'))} %" if ratio < 1 else f", {style.number(float(f'{ratio:.2g}'))} times"
    seen = f"{style.number(round(observed))} seen, {style.number(round(expected))} expected"
    return f"{style.clean(name, 60)}: {seen}{part if expected > 0 else ''}"


def _range(observed: Array, expected: Array) -> tuple[float, float]:
    """Range of colours: a few hot cells must not make all others one colour."""
    known, usual = observed[np.isfinite(observed)], expected[np.isfinite(expected)]
    if not len(known):
        return 0.0, 1.0
    low, most = min(0.0, float(known.min())), float(known.max())
    high = min(most, max(float(np.quantile(known, 0.95)), float(usual.max(initial=0.0))))
    high = high if high > low else most
    return low, high if high > low else low + 1.0


def _diverging() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415

    return LinearSegmentedColormap.from_list("observed/expected", list(_DIVERGING))


def _panel(axes: Axes, edges: list[Array], values: Array, colours: str | Colormap, limits: tuple[float, float]) -> None:
    axes.set_facecolor(style.NOWHERE)
    axes.set_xlim(edges[0][0], edges[0][-1])
    axes.set_ylim(edges[1][0], edges[1][-1])
    if values.size:
        masked = np.ma.masked_invalid(values.T)
        axes.pcolormesh(edges[0], edges[1], masked, cmap=colours, vmin=limits[0], vmax=limits[1], rasterized=True)


def _colour_bar(
    figure: Figure, left: float, bottom: float, width: float, colours: str | Colormap, limits: tuple[float, float], marks: list[float]
) -> None:
    axes = style.panel(figure, left, bottom, width, BAR)
    steps = np.linspace(limits[0], limits[1], 129)
    axes.pcolormesh(steps, [0.0, 1.0], ((steps[:-1] + steps[1:]) / 2)[None], cmap=colours, vmin=limits[0], vmax=limits[1], rasterized=True)
    axes.set_yticks([])
    labels = [style.number(marks[0]), f"≥ {style.number(float(f'{marks[-1]:.3g}'))}"]
    if limits == (0.0, RATIO_MOST) and len(marks) > 3:
        labels = ["0, dead", "0.5", "1, as expected", "1.5", "≥ 2, hot"]
    axes.set_xticks(marks, labels=labels, fontsize=7.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=2, pad=1)
    ends = axes.get_xticklabels()
    ends[0].set_horizontalalignment("left")
    ends[-1].set_horizontalalignment("right")


def _outline(axes: Axes, edges: list[Array], inside: NDArray[np.bool_], number: int) -> None:
    """The border of a region in red on white, a ring where it is small, and its number beside it."""
    from matplotlib.collections import LineCollection  # noqa: PLC0415

    x, y = edges
    ix, iy = np.nonzero(inside)
    padded = np.pad(inside, 1)
    lines: list[list[tuple[float, float]]] = []
    for i, j in zip(ix.tolist(), iy.tolist(), strict=True):
        corners = ((x[i], y[j]), (x[i + 1], y[j]), (x[i + 1], y[j + 1]), (x[i], y[j + 1]))
        beside = (padded[i + 1, j], padded[i + 2, j + 1], padded[i + 1, j + 2], padded[i, j + 1])
        lines += [[corners[k], corners[(k + 1) % 4]] for k in range(4) if not beside[k]]
    for color, stroke in (("white", 3.2), (style.ABNORMAL, 1.6)):
        axes.add_collection(LineCollection(lines, colors=color, linewidths=stroke, capstyle="projecting", zorder=4))
    box = (float(x[ix.min()]), float(x[ix.max() + 1]), float(y[iy.min()]), float(y[iy.max() + 1]))
    width, height = style.inches(axes)
    wide, high = (box[1] - box[0]) / float(x[-1] - x[0]) * width, (box[3] - box[2]) / float(y[-1] - y[0]) * height
    middle = (box[0] + box[1]) / 2, (box[2] + box[3]) / 2
    if max(wide, high) < RING_BELOW:
        for color, stroke in (("white", 3.2), (style.ABNORMAL, 1.6)):
            axes.plot(*middle, "o", markersize=13, markerfacecolor="none", markeredgecolor=color, markeredgewidth=stroke, zorder=5)
    if number:
        side = 1 if middle[0] < (x[0] + x[-1]) / 2 else -1
        away = max(wide, RING_BELOW) / 2 * 72 + 5
        axes.annotate(str(number), middle, xytext=(side * away, 0), textcoords="offset points", ha="left" if side > 0 else "right",
                      va="center", fontsize=style.LARGE, fontweight="bold", color=style.ABNORMAL, zorder=6,
                      bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": style.ABNORMAL, "lw": 0.8})  # fmt: skip


def _names(figure: Figure, shown: MapFigure, regions: list[Region], y: float) -> None:
    for number, region in enumerate(regions[:REGIONS_MOST], start=1):
        text = f"{number}  {said_of(shown, region)}"
        style.put_text(figure, style.MARGIN, y, text, fontsize=style.NORMAL, fontweight="bold", color=style.ABNORMAL, va="baseline")
        y -= LINE
    if len(regions) > REGIONS_MOST:
        more = f"and {len(regions) - REGIONS_MOST} more, outlined"
        style.put_text(figure, style.MARGIN, y, more, fontsize=style.NORMAL, color=style.ABNORMAL, va="baseline")


def _coordinates(shown: MapFigure, inside: NDArray[np.bool_]) -> str:
    """Where a region without a name is."""
    words = []
    for axis, (label, raw) in enumerate(((shown.x_label, shown.x_edges), (shown.y_label, shown.y_edges))):
        edges, at = style.edges_of(raw, inside.shape[axis]), np.nonzero(inside)[axis]
        words.append(f"{style.clean(label, 20)} {style.number(float(edges[at.min()]))} to {style.number(float(edges[at.max() + 1]))}")
    return ", ".join(words)
