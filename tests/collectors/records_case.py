"""Recorded transfers for the contract of collectors."""

from __future__ import annotations

from collectors.collector import Collector
from collectors.records import RecordsCollector
from collectors.tabular.records_options import RecordsOptions, RecordSum
from tests.collectors.case import BAD, ORIGIN, FileCase


class RecordsCase(FileCase):
    kind = RecordsCollector
    name = "transfers.csv"

    def build(self) -> Collector:
        sums = tuple(RecordSum(name=name, column=name) for name in (self.victim, self.survivor))
        return RecordsCollector(ORIGIN, RecordsOptions(files=str(self.path), time="start", sums=sums))

    def good(self) -> None:
        self.write("start,victim,survivor\n2024-01-01T10:00:00,1,2\n2024-01-01T11:00:00,3,4\n")

    def empty(self) -> None:
        self.write("start,victim,survivor\n")

    def half(self) -> None:
        self.write("start,victim,survivor\n2024-01-01T10:00:00,1,2\n2024-01")

    def bad(self, what: str) -> None:
        self.write(f"start,victim,survivor\n2024-01-01T10:00:00,1,2\n2024-01-01T11:00:00,{BAD[what]},4\n")


class RecordsJsonCase(RecordsCase):
    name = "transfers.jsonl"

    def good(self) -> None:
        self._lines("3")

    def empty(self) -> None:
        self.write("")

    def half(self) -> None:
        self.good()
        self.write(self.path.read_bytes()[:-20])

    def bad(self, what: str) -> None:
        self._lines({"nan": "NaN", "absurd": "1e999", "text": '"broken"'}[what])

    def _lines(self, victim: str) -> None:
        self.write(
            '{"start": "2024-01-01T10:00:00", "victim": 1, "survivor": 2}\n'
            f'{{"start": "2024-01-01T11:00:00", "victim": {victim}, "survivor": 4}}\n'
        )


CASES = (RecordsCase, RecordsJsonCase)
