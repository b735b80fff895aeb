"""What truly happens in the simulated experiment, as JSON lines from its process to whoever judges the daemon.

Every line is an object with `event` and `time_ns` (data time):

- ready: `dqm`, `smart` (folders), `epics_port`, `http_port`; all can be read from now on
- injected: `id`, `kind`, `sentence`, `places`, `cause` (a place, or null)
- repaired: `id`
- run: `run`, the number of the run that begins
- progress: `done` and `total` lumisections of the schedule
- ended
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """A fault that was put in. places: where its effects are seen; cause: the one to blame where there are several.

    stop_ns is None as long as it lasts.
    """

    id: str
    kind: str
    sentence: str
    places: tuple[str, ...]
    cause: str | None
    start_ns: int
    stop_ns: int | None = None

    def as_event(self) -> dict[str, Any]:
        """The line that says it was put in."""
        said = {"id": self.id, "kind": self.kind, "sentence": self.sentence, "places": list(self.places), "cause": self.cause}
        return {"event": "injected", "time_ns": self.start_ns, **said}

    @classmethod
    def from_event(cls, event: dict[str, Any]) -> InjectedFault:
        """The fault of a line that says it was put in."""
        return cls(event["id"], event["kind"], event["sentence"], tuple(event["places"]), event["cause"], event["time_ns"])


def encode(event: dict[str, Any]) -> str:
    """One line, without its end."""
    return json.dumps(event, separators=(",", ":"))


def decode(line: str) -> dict[str, Any]:
    """The event of a line. Raises ValueError where it is not one."""
    event = json.loads(line)
    if not isinstance(event, dict) or not isinstance(event.get("event"), str) or not isinstance(event.get("time_ns"), int):
        raise ValueError(f"not an event of the simulated experiment: {line[:200]!r}")
    return event
