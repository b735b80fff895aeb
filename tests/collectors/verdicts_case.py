"""Verdicts of another system for the contract of collectors, from a server and from a file."""

from __future__ import annotations

import json
from typing import Any

from collectors.collector import Collector
from collectors.verdicts import VerdictsCollector, VerdictsOptions
from tests.collectors.case import ORIGIN, SECRET, FileCase, HttpCase

BAD_WORDS = {"nan": "NaN", "absurd": "1e999", "text": '"broken-beyond-words"'}


def document(victim: str = '"Good"') -> str:
    survivor = json.dumps({"name": "survivor", "verdict": "Good"})
    return f'{{"checks": [{{"name": "victim", "verdict": {victim}}}, {survivor}]}}'


class VerdictsCase(HttpCase):
    kind = VerdictsCollector

    def build(self) -> Collector:
        options: dict[str, Any] = {"url": self.url, "bearer_token": SECRET, "rows": "checks", "verdict": "verdict"}
        return VerdictsCollector(ORIGIN, VerdictsOptions.model_validate(options))

    def good(self) -> None:
        self.body, self.missing_bytes = document().encode(), 0

    def bad(self, what: str) -> None:
        self.body, self.missing_bytes = document(BAD_WORDS[what]).encode(), 0


class VerdictsFileCase(FileCase):
    kind = VerdictsCollector
    name = "verdicts.json"

    def build(self) -> Collector:
        return VerdictsCollector(ORIGIN, VerdictsOptions(files=str(self.path), rows="checks", verdict="verdict"))

    def good(self) -> None:
        self.write(document())

    def empty(self) -> None:
        self.write("")

    def half(self) -> None:
        self.write(document()[:-10])

    def bad(self, what: str) -> None:
        self.write(document(BAD_WORDS[what]))


CASES = (VerdictsCase, VerdictsFileCase)
