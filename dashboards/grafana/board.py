"""A dashboard around its panels: the variables, links and annotations that all of them share, and the JSON that Grafana takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.grafana.panels import DATASOURCE, PAGE_VARIABLE, Built
from dashboards.grafana.sdk import JSONEncoder, common_models, dashboard, models

TAG = "shiftwatch"
INCIDENTS_OF_GRAFANA = {"type": "tags", "tags": [TAG], "limit": 100, "matchAny": False}
"""Which of Grafana's own annotations are shown: those that the receiver `grafana` writes."""
ANY = ".+"
PAGE = "http://127.0.0.1:9110"


@dataclass(frozen=True, slots=True)
class Section:
    """A row of panels under a heading; their widths fill the 24 columns of the grid line by line."""

    title: str
    panels: Sequence[Built]


@dataclass(frozen=True, slots=True)
class Board:
    """What makes one dashboard. `sources`: regular expression of the names of the sources that it is about."""

    uid: str
    title: str
    description: str
    sections: Sequence[Section]
    sources: str = ANY

    def as_json(self) -> dict[str, Any]:
        """As Grafana's API and its provisioning take it."""
        built = dashboard.Dashboard(self.title).uid(self.uid).description(self.description).tags([TAG]).editable()
        built.time("now-6h", "now").refresh("30s").timezone("browser").tooltip(models.DashboardCursorSync.CROSSHAIR)
        for variable in (_datasource(), _pattern(self.sources), _source(), _page()):
            built.with_variable(variable)
        built.annotation(_annotations()).link(_others())
        for section in self.sections:
            built.with_row(dashboard.Row(section.title))
            for panel in section.panels:
                built.with_panel(panel)
        found: dict[str, Any] = json.loads(json.dumps(built.build(), cls=JSONEncoder))
        for number, panel_json in enumerate(found["panels"], start=1):
            panel_json["id"] = number
        found["annotations"]["list"][0]["target"] = INCIDENTS_OF_GRAFANA
        return found


def _datasource() -> dashboard.DatasourceVariable:
    variable = dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    return variable.description("The Prometheus that scrapes shiftwatch")


def _pattern(sources: str) -> dashboard.TextBoxVariable:
    variable = dashboard.TextBoxVariable("pattern").label("Names of sources").default_value(sources)
    variable.current(models.VariableOption(selected=True, text=sources, value=sources))
    return variable.description("Regular expression: which sources of the configuration this dashboard is about")


def _source() -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable("source").label("Source").datasource(DATASOURCE)
    variable.query('label_values(shiftwatch_rows_total{source=~"$pattern"}, source)')
    variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    return variable.multi(True).include_all(True).current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))


def _page() -> dashboard.TextBoxVariable:
    """`shiftwatch grafana push` puts the address of the configuration here."""
    variable = dashboard.TextBoxVariable(PAGE_VARIABLE).label("Page of shiftwatch").default_value(PAGE)
    variable.current(models.VariableOption(selected=True, text=PAGE, value=PAGE)).hide(models.VariableHide.HIDE_VARIABLE)
    return variable.description("Address of the page, for the links in lists of incidents")


def _annotations() -> dashboard.AnnotationQuery:
    grafana = common_models.DataSourceRef(type_val="grafana", uid="-- Grafana --")
    return dashboard.AnnotationQuery().name("Incidents").datasource(grafana).enable(True).icon_color("dark-red")


def _others() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("shiftwatch").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(True).keep_time(True).include_vars(False)
