"""What is generated: every file by its name in dashboards/generated, with its text."""

from __future__ import annotations

import json

from dashboards.grafana.domains import DOMAINS
from dashboards.grafana.monitor import MONITOR
from dashboards.grafana.overview import OVERVIEW
from dashboards.prometheus.alerts import GROUPS
from dashboards.prometheus.rules import rules_file

BOARDS = (OVERVIEW, *DOMAINS, MONITOR)
RULES = "shiftwatch-rules.yaml"


def generated() -> dict[str, str]:
    """Dashboards as UID.json and the rules, as they are committed."""
    files = {f"{board.uid}.json": json.dumps(board.as_json(), indent=1, ensure_ascii=False) + "\n" for board in BOARDS}
    return {**files, RULES: rules_file(GROUPS)}
