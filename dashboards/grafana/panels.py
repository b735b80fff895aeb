"""The kinds of panels that the dashboards are made of: a number, lines over time, a table.

Normal is grey: colour means abnormal, and what the colour says stands in the title or the value too. Schema version 1 of dashboards
is used on purpose: every Grafana since 9 takes it, by its API and by provisioning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.grafana.sdk import PromQueryFormat, common, common_models, dashboard, models, prometheus, stat, table, timeseries

DATASOURCE = common_models.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREY, ORANGE, RED = "text", "dark-orange", "dark-red"
HIDDEN_COLUMNS = ("Time", "Value", "__name__", "job", "instance")
PAGE_VARIABLE = "page"
NO_DATA, NOTHING = "no data", "none"
"""A number that is missing is never a good sign; a list may well be empty."""
Built = stat.Panel | timeseries.Panel | table.Panel


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and how its series are called: "{{source}}", or the words of a single one."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Limits:
    """From which value on a number is not normal any more; None where it never is."""

    warning: float | None = None
    critical: float | None = None

    def config(self) -> dashboard.ThresholdsConfig:
        """For a panel."""
        steps = [models.Threshold(value=None, color=GREY)]
        steps += [models.Threshold(value, color) for value, color in ((self.warning, ORANGE), (self.critical, RED)) if value is not None]
        return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


NEVER = Limits()


def number(title: str, query: Query, description: str, *, unit: str = "short", limits: Limits = NEVER, width: int = 4) -> stat.Panel:
    """One value as it is now."""
    panel = stat.Panel().title(title).description(description).unit(unit).span(width).height(4)
    panel.datasource(DATASOURCE).with_target(_target(query, "A", instant=True)).thresholds(limits.config()).no_value(NO_DATA)
    panel.color_mode(common_models.BigValueColorMode.VALUE).graph_mode(common_models.BigValueGraphMode.NONE)
    return panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def lines(
    title: str, queries: Sequence[Query], description: str, *, unit: str = "short", limits: Limits = NEVER, width: int = 12
) -> timeseries.Panel:
    """Lines over time; where there are limits, they are drawn."""
    panel = timeseries.Panel().title(title).description(description).unit(unit).span(width).height(8)
    panel.datasource(DATASOURCE).thresholds(limits.config()).min(0).line_width(1).fill_opacity(0)
    for letter, query in zip("ABCDEF", queries, strict=False):
        panel.with_target(_target(query, letter, instant=False))
    style = common_models.GraphThresholdsStyleMode.OFF if limits == NEVER else common_models.GraphThresholdsStyleMode.DASHED
    panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(style))
    panel.legend(
        common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.LIST).placement(common_models.LegendPlacement.BOTTOM)
    )
    return panel.tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI).sort(common_models.SortOrder.DESCENDING))


def listing(title: str, query: Query, description: str, *, width: int = 24, columns: Sequence[str] = ()) -> table.Panel:
    """The series of an expression as rows: `columns` are the labels to show, in order."""
    panel = table.Panel().title(title).description(description).unit("short").span(width).height(8).no_value(NOTHING)
    panel.datasource(DATASOURCE).with_target(_target(query, "A", instant=True, as_table=True))
    order: dict[str, Any] = {name: position for position, name in enumerate(columns)}
    options = {"excludeByName": dict.fromkeys(HIDDEN_COLUMNS, True), "indexByName": order, "renameByName": {}}
    link = {"title": "Open on the page", "url": f"${{{PAGE_VARIABLE}}}/incidents/${{__value.raw}}", "targetBlank": True}
    panel.override_by_name("incident", [models.DynamicConfigValue(id_val="links", value=[link])])
    return panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=options))


def _target(query: Query, letter: str, *, instant: bool, as_table: bool = False) -> prometheus.Dataquery:
    target = prometheus.Dataquery().datasource(DATASOURCE).expr(query.expression).legend_format(query.legend).ref_id(letter)
    target.format(PromQueryFormat.TABLE if as_table else PromQueryFormat.TIME_SERIES)
    return target.instant() if instant else target.range()
