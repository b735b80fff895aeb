"""What `python -m dashboards` writes: dashboards for Grafana and rules for Prometheus. Nothing here is edited by hand."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def dashboards() -> list[dict[str, Any]]:
    """The dashboards as Grafana's API takes them, the overview first."""
    found = [
        json.loads(entry.read_text(encoding="utf-8"))
        for entry in sorted(files(__name__).iterdir(), key=lambda entry: entry.name)
        if entry.name.startswith("shiftwatch-") and entry.name.endswith(".json")
    ]
    return sorted(found, key=lambda dashboard: not dashboard["uid"].endswith("-overview"))
