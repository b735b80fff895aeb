"""smartctl_exporter as tests/contract/test_collectors.py sees it."""

from __future__ import annotations

from collectors.collector import Collector
from collectors.smartctl_exporter import SmartctlExporterCollector, SmartctlExporterOptions
from tests.collectors.case import BAD, ORIGIN, SECRET, HttpCase
from tests.collectors.exporter_metrics import metrics
from tests.collectors.smartctl_reports import ata, attribute


class SmartctlExporterCase(HttpCase):
    kind = SmartctlExporterCollector
    path = "/metrics"
    victim = "A1/reallocated_sectors"
    survivor = "A1/pending_sectors"

    def build(self) -> Collector:
        return SmartctlExporterCollector(ORIGIN, SmartctlExporterOptions.model_validate({"url": self.url, "bearer_token": SECRET}))

    def _show(self, victim: str) -> None:
        self.content_type, self.missing_bytes = "text/plain; version=0.0.4", 0
        self.body = metrics(ata("A1", attribute(5, 4711), attribute(197, 2))).replace(" 4711\n", f" {victim}\n").encode()

    def good(self) -> None:
        self._show("3")

    def bad(self, what: str) -> None:
        self._show(BAD[what])


CASES = (SmartctlExporterCase,)
