"""Drive statistics as tests/contract/test_collectors.py sees them."""

from __future__ import annotations

from collectors.backblaze import BackblazeCollector, BackblazeOptions
from collectors.collector import Collector
from tests.collectors.case import BAD, ORIGIN, FileCase
from tests.collectors.drive_statistics import drive, table


class BackblazeCase(FileCase):
    kind = BackblazeCollector
    name = "2024-01-01.csv"
    victim = "Z1/reallocated_sectors"
    survivor = "Z1/pending_sectors"

    def build(self) -> Collector:
        return BackblazeCollector(ORIGIN, BackblazeOptions(files=str(self.path)))

    def _days(self, victim: object) -> str:
        return table([drive("Z1", "2024-01-01", smart_5=3, smart_197=1), drive("Z1", "2024-01-02", smart_5=victim, smart_197=1)])

    def good(self) -> None:
        self.write(self._days(4))

    def empty(self) -> None:
        self.write(table([]))

    def half(self) -> None:
        self.write(self._days(4)[:-20])

    def bad(self, what: str) -> None:
        self.write(self._days(BAD[what]))


CASES = (BackblazeCase,)
