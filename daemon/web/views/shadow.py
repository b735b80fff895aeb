"""Models in use, and what detectors and models in shadow would have said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.store.shadow import Silent
from daemon.web.live import Snapshot
from daemon.web.views.sources import fresh
from daemon.web.words import Times, clean, plural

SHOWN_FINDINGS = 10


@dataclass(frozen=True, slots=True)
class ModelRow:
    """What a detector of a stream judges with."""

    name: str
    judges: str
    shadow: str


@dataclass(frozen=True, slots=True)
class SilentRow:
    """One detector or model in shadow; findings: when and what, the newest first."""

    name: str
    found: str
    also_sent: int
    sent_only: int
    findings: tuple[tuple[str, str], ...]
    more: int


def model_rows(snapshot: Snapshot, wall_ns: int) -> list[ModelRow]:
    """Every detector that learns, as the detect stages say."""
    rows = []
    for stream in _streams(snapshot, wall_ns):
        listed = stream.get("models")
        for model in (m for m in listed if isinstance(m, dict)) if isinstance(listed, list) else ():
            version, beside, silent = model.get("version"), model.get("beside"), model.get("silent") is True
            found = plural(model["found"], "silent finding") if isinstance(model.get("found"), int) else ""
            shadow = f"the detector, {found}" if silent else f"version {beside}, {found}" if beside else ""
            judges = "nothing: it is in shadow" if silent else f"version {version}" if version else "what it learned while watching"
            rows.append(ModelRow(clean(f"{stream.get('stream', '')}/{model.get('detector', '')}"), clean(judges), clean(shadow)))
    return sorted(rows, key=lambda row: row.name)


def _streams(snapshot: Snapshot, wall_ns: int) -> Iterable[dict[str, Any]]:
    for status in fresh(snapshot.states, "detect", wall_ns):
        listed = status.status.get("streams")
        yield from (stream for stream in listed if isinstance(stream, dict)) if isinstance(listed, list) else ()


def silent_rows(found: Sequence[Silent], times: Times) -> list[SilentRow]:
    """What is recorded of them."""
    rows = []
    for one in found:
        shown = one.findings[:SHOWN_FINDINGS]
        said = tuple((times.moment(f.since_ns, seconds=True), clean(f"{f.condition}: {f.summary or f.unit}")) for f in shown)
        version = f" version {one.version}" if one.version else ""
        more = len(one.findings) - len(shown)
        found_words = plural(len(one.findings), "finding")
        rows.append(SilentRow(clean(f"{one.stream}/{one.detector}{version}"), found_words, one.also_sent, one.sent_only, said, more))
    return rows
