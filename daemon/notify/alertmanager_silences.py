"""Silences as Alertmanager's API v2 has them: which alerts they match, and which of them were made here."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from daemon.notify.wording import one_line
from daemon.records import Incident, iso

OURS = " (shiftwatch)"
"""At the end of `createdBy` of what a button here made."""
TOLERANCE_NS = 2_000_000_000
"""Ends that are closer together are the same."""


class Matcher(NamedTuple):
    """A condition on one label. A label that an alert has not is empty, as in Alertmanager."""

    name: str
    value: str
    is_regex: bool
    is_equal: bool

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels meet it. A pattern is anchored; one that Python does not understand matches nothing."""
        value = labels.get(self.name, "")
        if not self.is_regex:
            return (value == self.value) is self.is_equal
        try:
            return (re.fullmatch(self.value, value) is not None) is self.is_equal
        except re.error:
            return False


@dataclass(frozen=True, slots=True)
class PostedSilence:
    """A silence that is in force there. `ends_at` is its end as it stands there, `ends_ns` the same in wall time."""

    id: str
    matchers: tuple[Matcher, ...]
    ends_at: str
    ends_ns: int
    who: str
    comment: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether it silences an alert with these labels: all matchers must match."""
        return all(matcher.matches(labels) for matcher in self.matchers)

    def is_ours(self, incident_id: str) -> bool:
        """Whether it was made by `request` for this incident."""
        return self.who.endswith(OURS) and self.matchers == (Matcher("incident", incident_id, False, True),)


def active(listed: Sequence[Mapping[str, Any]]) -> list[PostedSilence]:
    """Those of a list of `GET /api/v2/silences` that are in force. Raises KeyError, ValueError or TypeError for what is no such list."""
    return [_silence(item) for item in listed if item["status"]["state"] == "active"]


def _silence(item: Mapping[str, Any]) -> PostedSilence:
    matchers = (
        Matcher(str(m["name"]), str(m["value"]), bool(m.get("isRegex", False)), bool(m.get("isEqual", True))) for m in item["matchers"]
    )
    ends = datetime.fromisoformat(item["endsAt"])
    ends_ns = int(ends.timestamp()) * 1_000_000_000 + ends.microsecond * 1000
    return PostedSilence(item["id"], tuple(matchers), item["endsAt"], ends_ns, item["createdBy"], item["comment"])


def request(incident: Incident, ends_ns: int, silence_id: str = "") -> dict[str, Any]:
    """The body of `POST /api/v2/silences`: a new one, or another end for the one with this id."""
    who, comment = _asked_by(incident)
    body: dict[str, Any] = {
        "matchers": [{"name": "incident", "value": incident.id, "isRegex": False, "isEqual": True}],
        "startsAt": iso(time.time_ns()),
        "endsAt": iso(ends_ns),
        "createdBy": f"{who}{OURS}",
        "comment": comment,
    }
    return {**body, "id": silence_id} if silence_id else body


def _asked_by(incident: Incident) -> tuple[str, str]:
    """Who asked for quiet last and what was written of it in the timeline."""
    for entry in reversed(incident.timeline):
        if "silence" in entry.what.lower():
            return one_line(entry.who, 100), one_line(entry.what, 500)
    return one_line(incident.owner, 100) or "somebody", one_line(f"silenced: {incident.sentence}", 500)
