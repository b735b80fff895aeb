"""CAEN GECO logs for the contract of collectors."""

from __future__ import annotations

from collectors.caen_geco import CaenGecoCollector, CaenGecoOptions
from collectors.collector import Collector
from tests.collectors.case import BAD, ORIGIN, FileCase


class CaenGecoCase(FileCase):
    kind = CaenGecoCollector
    name = "250321_CAENGECO2020.log"
    victim = "HV 1:0:3:IMon"
    survivor = "HV 1:0:3:VMon"

    def build(self) -> Collector:
        return CaenGecoCollector(ORIGIN, CaenGecoOptions(files=str(self.path)))

    def _log(self, victim: str) -> str:
        lines = (("VMon", "3599.8"), ("IMon", "2.23"), ("VMon", "3600.1"), ("IMon", victim))
        return "".join(f"[2025-03-21T21:23:5{i}]: [HV 1] bd [0] ch [3] par [{p}] val [{v}]; \r\n" for i, (p, v) in enumerate(lines))

    def good(self) -> None:
        self.write(self._log("2.25"))

    def empty(self) -> None:
        self.write("")

    def half(self) -> None:
        self.write(self._log("2.25")[:-20])

    def bad(self, what: str) -> None:
        self.write(self._log(BAD[what]))


CASES = (CaenGecoCase,)
