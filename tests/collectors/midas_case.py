"""The contract case of midas: one equipment with two readings in an array."""

from __future__ import annotations

import math
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from collectors.collector import Collector
from collectors.midas import MidasCollector, MidasOptions
from tests.collectors.case import ORIGIN, SECRET, HttpCase
from tests.collectors.midas_server import FLOAT, STRING, Odb, Rpc


class MidasCase(HttpCase):
    kind = MidasCollector
    path = "/"
    victim = "/Equipment/HV/Variables/Current"
    survivor = "/Equipment/HV/Variables/Voltage"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.odb = Odb()
        self._rpc = Rpc(self.odb)
        self._is_empty = False
        self._volts = 1000.0

    def build(self) -> Collector:
        options = {"url": self.url, "bearer_token": SECRET, "paths": ["/Equipment/*/Variables"]}
        return MidasCollector(ORIGIN, MidasOptions.model_validate(options))

    def answer(self, handler: BaseHTTPRequestHandler, question: bytes) -> None:
        self.body = b"" if self._is_empty else self._rpc.answer(question)
        super().answer(handler, question)

    def good(self) -> None:
        self._is_empty, self.missing_bytes = False, 0
        self._volts += 1
        self.odb.put(self.survivor, FLOAT, self._volts)
        self.odb.put(self.victim, FLOAT, self._volts / 1000)

    def empty(self) -> None:
        self._is_empty = True

    def bad(self, what: str) -> None:
        self.good()
        if what == "text":
            self.odb.put(self.victim, STRING, "broken")
        else:
            self.odb.put(self.victim, FLOAT, {"nan": math.nan, "absurd": math.inf}[what])


CASES = (MidasCase,)
