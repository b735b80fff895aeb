"""Pages of JSON for the tests of http_json: written to a file, read by a collector, and what came of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from collectors.collector import Collected, Origin, Rejected
from collectors.frame import Channel, Frame, Updates
from collectors.http_json import HttpJsonCollector, HttpJsonOptions

ARRIVAL_NS = 1_700_000_500_000_000_000
ORIGIN = Origin("daq", "CMS", lambda: ARRIVAL_NS)
DAQ_PAGE = {
    "lastUpdate": "2023-11-14T22:13:20Z",
    "run": 380_000,
    "daq": {
        "state": "Running",
        "rate": 98_512.5,
        "deadTime": {"total": "3.25", "byCause": {"tts": 1.5, "backpressure": 1.25, "retri": 0.5}},
    },
    "subSystems": [
        {
            "name": "ECAL",
            "ttsState": "WARNING",
            "rate": 98_500,
            "feds": [{"id": 601, "backpressure": 0.5}, {"id": 602, "backpressure": None}],
        },
        {"name": "HCAL", "ttsState": "ready", "rate": 98_400, "feds": [{"id": 700, "backpressure": 12}]},
    ],
    "lumi": {"delivered": 20_123.5, "recorded": 19_800.25},
}


def show(page: Path, document: Any, time_s: int = 0) -> None:
    """Writes a document (or text) with a time of modification."""
    page.write_text(document if isinstance(document, str) else json.dumps(document))
    moment_ns = (time_s or 1_700_000_000) * 1_000_000_000
    os.utime(page, ns=(moment_ns, moment_ns))


def build(page: Path, **options: Any) -> HttpJsonCollector:
    return HttpJsonCollector(ORIGIN, HttpJsonOptions(url=page.as_uri(), **options))


def one(collected: Iterator[Collected]) -> Frame:
    (block,) = collected
    assert isinstance(block, Frame)
    return block


def shown(block: Frame) -> dict[str, float]:
    return dict(zip((column.name for column in block.layout.columns), block.values[0].tolist(), strict=True))


def channel(block: Frame | Updates, name: str) -> Channel:
    found = block.layout.column(name)
    assert isinstance(found, Channel)
    return found


def rejections(collector: HttpJsonCollector) -> list[Rejected]:
    return [item for item in collector.collect() if isinstance(item, Rejected)]
