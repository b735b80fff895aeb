"""What is found silently, by detectors and models in shadow: findings for the record, and for nobody's attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from collectors.frame import digest_of
from daemon.detect.findings import Event
from daemon.records import ShadowFinding


class SilentFindings:
    """Those of one detector of a stream."""

    def __init__(self, stream: str, detector: str) -> None:
        self._stream = stream
        self._detector = detector
        self._lasting: dict[str, ShadowFinding] = {}
        self._said: list[ShadowFinding] = []
        self.count = 0

    def note(self, events: Sequence[Event], version: int) -> None:
        """Takes what a version of its model has found, or what has ended."""
        for event in events:
            unit = event.unit
            key = digest_of("shadow", self._stream, self._detector, version, unit.key, unit.condition, event.since_ns)
            finding = self._lasting.get(key)
            if finding is None and event.cleared_ns is None:
                summary = event.evidence.summary if event.evidence is not None else ""
                finding = ShadowFinding(
                    *(key, self._stream, self._detector, version, event.since_ns, event.raised_ns, None, str(event.certainty)),
                    *(unit.name, unit.place, unit.condition, summary),
                )
                self._lasting[key] = finding
                self.count += 1
                self._said.append(finding)
            elif finding is not None and event.cleared_ns is not None:
                del self._lasting[key]
                self._said.append(replace(finding, cleared_ns=event.cleared_ns))

    def take(self) -> list[ShadowFinding]:
        """What was found, or has ended, since this was called last."""
        said, self._said = self._said, []
        return said

    def state(self) -> list[dict[str, Any]]:
        """What lasts."""
        return [asdict(finding) for finding in self._lasting.values()]

    def restore(self, lasting: Sequence[dict[str, Any]], count: int) -> None:
        """Goes on from a `state`."""
        self._lasting = {entry["key"]: ShadowFinding(**entry) for entry in lasting}
        self.count = count
