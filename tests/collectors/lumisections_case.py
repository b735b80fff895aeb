"""A table of lumisections that can be spoilt; each time it is shown it has grown."""

from __future__ import annotations

from pathlib import Path

from collectors.collector import Collector
from collectors.lumisections import LumisectionsCollector, LumisectionsOptions
from tests.collectors.case import BAD, ORIGIN, FileCase

HEADER = "run,ls,victim,survivor,beams_stable\n"


class LumisectionsCase(FileCase):
    kind = LumisectionsCollector
    name = "table.csv"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._rows: list[str] = []

    def build(self) -> Collector:
        return LumisectionsCollector(ORIGIN, LumisectionsOptions.model_validate({"files": str(self.path), "start": "2024-03-08T10:00:00"}))

    def _add(self, victim: str) -> None:
        self._rows.append(f"7,{len(self._rows) + 1},{victim},2,true\n")
        self.write(HEADER + "".join(self._rows))

    def good(self) -> None:
        self._add("1")

    def empty(self) -> None:
        self.write(HEADER)

    def half(self) -> None:
        self._add("1")
        self.write(HEADER + "".join(self._rows)[:-9])

    def bad(self, what: str) -> None:
        self._add(BAD[what])


CASES = (LumisectionsCase,)
