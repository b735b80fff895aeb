"""The contract case of http_json: an object with two numbers, `victim` and `survivor`."""

from __future__ import annotations

import json
import time

from collectors.collector import Collector
from collectors.http_json import HttpJsonCollector, HttpJsonOptions
from tests.collectors.case import BAD, ORIGIN, SECRET, HttpCase


class HttpJsonCase(HttpCase):
    kind = HttpJsonCollector
    path = "/daq.json"

    def build(self) -> Collector:
        options = {
            "url": self.url,
            "bearer_token": SECRET,
            "values": {"victim": "daq.victim", "survivor": "daq.survivor"},
            "time": "lastUpdate",
        }
        return HttpJsonCollector(ORIGIN, HttpJsonOptions.model_validate(options))

    def _show(self, victim: str) -> None:
        self.missing_bytes = 0
        self.body = f'{{"lastUpdate": {time.time_ns()}, "daq": {{"victim": {victim}, "survivor": 2}}}}'.encode()

    def good(self) -> None:
        self._show("1.5")

    def bad(self, what: str) -> None:
        self._show(json.dumps(BAD[what]) if what == "text" else BAD[what])


CASES = (HttpJsonCase,)
