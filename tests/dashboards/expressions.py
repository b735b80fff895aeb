"""The expressions of dashboards, with numbers and names in place of Grafana's variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client.metrics import MetricWrapperBase

from daemon import metrics
from daemon.optimizer import metrics as optimizer_metrics

VARIABLES = {"$__rate_interval": "10s", "$__interval": "10s", "$__range": "1h", "$source": ".+", "$pattern": ".+"}


@dataclass(frozen=True, slots=True)
class Expression:
    """A query of a panel: where it stands, and what Prometheus is asked."""

    dashboard: str
    panel: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.dashboard}: {self.panel}"


def substituted(expression: str) -> str:
    """Without Grafana's variables."""
    for name, value in sorted(VARIABLES.items(), key=lambda item: -len(item[0])):
        expression = expression.replace(name, value)
    return expression


def expressions(dashboard: dict[str, Any]) -> Iterator[Expression]:
    """Every query of every panel."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield Expression(dashboard["uid"], panel["title"], substituted(target["expr"]))


def metric_names(expression: str) -> set[str]:
    """Names of series in an expression: ours, and what every Python process exports."""
    without_strings = re.sub(r'"[^"]*"', '""', expression)
    return set(re.findall(r"\b(?:shiftwatch[a-z0-9_:]*|process_[a-z_]+|ALERTS)\b", without_strings))


def exported() -> set[str]:
    """Names of the series that the daemon exports."""
    names = set()
    for metric in (*vars(metrics).values(), *vars(optimizer_metrics).values()):
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
            names |= {family.name + suffix for suffix in suffixes}
    return names
