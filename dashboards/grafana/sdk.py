"""Grafana's foundation SDK, imported in one place because some of its modules warn when they are.

It prefers version 2 of the dashboards' schema, which older Grafanas and their API for dashboards do not take.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import common as common_models
    from grafana_foundation_sdk.models import dashboard as models
    from grafana_foundation_sdk.models.prometheus import PromQueryFormat

__all__ = [
    "JSONEncoder",
    "PromQueryFormat",
    "common",
    "common_models",
    "dashboard",
    "models",
    "prometheus",
    "stat",
    "table",
    "timeseries",
]
