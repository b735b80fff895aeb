"""A file of UHI histograms that can be spoilt."""

from __future__ import annotations

import json

from collectors.collector import Collector
from collectors.uhi import UhiCollector, UhiOptions
from tests.collectors.case import ORIGIN, FileCase

VALUES = {"nan": float("nan"), "absurd": float("inf"), "text": "broken"}


class UhiCase(FileCase):
    kind = UhiCollector
    name = "dqm_run7.json"

    def build(self) -> Collector:
        return UhiCollector(ORIGIN, UhiOptions(files=str(self.path)))

    def _show(self, **contents: list[object]) -> None:
        axis = {"type": "regular", "lower": 0, "upper": 1, "bins": 2, "underflow": False, "overflow": False, "circular": False}
        forms = {
            name: {"uhi_schema": 1, "axes": [axis], "storage": {"type": "double", "values": values}} for name, values in contents.items()
        }
        self.write(json.dumps(forms))

    def good(self) -> None:
        self._show(victim=[1, 2], survivor=[3, 4])

    def empty(self) -> None:
        self.write("{}")

    def half(self) -> None:
        self.good()
        self.write(self.path.read_bytes()[:-40])

    def bad(self, what: str) -> None:
        self._show(victim=[VALUES[what], 2], survivor=[3, 4])


CASES = (UhiCase,)
