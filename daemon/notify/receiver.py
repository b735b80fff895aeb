"""The contract of a receiver: somebody who is told of incidents. Entry points `shiftwatch.receivers`.

A receiver is thin: it knows a protocol and its limits, and how an incident looks there. When it is told, what was not
delivered and must be told again, pauses after failures, silences and the record of what was said belong to the notify stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from collectors.collector import Options
from daemon.records import Incident, Label


class ReceiverError(Exception):
    """A receiver could not be told; the message says why, in one line and without a secret.

    `retry_after_s` is what the other side asked for (a rate limit), None where it said nothing.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a receiver may use of the daemon. All of it may be called from any thread.

    page_url: address of the page without a slash at its end, "" where there is none. picture: PNG of an incident's evidence, None
    where it has none. say: passes on what a person said of an incident; returns when it is safe. incident: by its id.
    """

    experiment: str
    zone: ZoneInfo
    now_ns: Callable[[], int]
    page_url: str
    picture: Callable[[Incident], bytes | None]
    say: Callable[[Label], None]
    incident: Callable[[str], Incident | None]

    def incident_url(self, incident: Incident) -> str:
        """The incident's own page, "" where there is none."""
        return f"{self.page_url}/incidents/{incident.id}" if self.page_url else ""

    def runbook_url(self, incident: Incident) -> str:
        """The runbook as the page serves it, "" where there is no page."""
        return f"{self.page_url}/runbooks/{incident.runbook}" if self.page_url and incident.runbook else ""


@dataclass(frozen=True, slots=True)
class Told:
    """What the receiver returned when it was told of an incident before: "" the first time.

    `in_doubt`: it was being told when the daemon ended or the connection broke, so that nobody knows whether it was; it looks
    before it posts again. Of an incident that was merged into another one meanwhile, and of which it finds nothing, it posts nothing.
    """

    reference: str = ""
    in_doubt: bool = False


class Receiver(Protocol):
    """Somebody who is told of incidents. Built as `Class(name, options, surroundings)`; nothing is sent while it is built."""

    options_model: ClassVar[type[Options]]
    details: ClassVar[bool]
    """Whether it is told of every change (what joins, a new reading), a few at a time, or only of state, severity, cause and owner."""
    name: str

    def tell(self, incident: Incident, told: Told) -> str:
        """Tells of a change; returns its own reference for the incident (at most 2,000 characters, no secret).

        The same incident again with the same reference must not appear twice. Raises ReceiverError.
        """

    def close(self) -> None:
        """Lets go of connections and threads. May be called twice."""


@runtime_checkable
class KeepsAlive(Protocol):
    """A receiver that has to hear of what lasts over and over, or it takes it for resolved."""

    keep_alive_s: float

    def keep_alive(self, lasting: Sequence[Incident]) -> None:
        """Told every `keep_alive_s` of all incidents that are not resolved. Raises ReceiverError."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Somebody asked, elsewhere, for quiet until a time (event time is wall time there)."""

    until_ns: int
    who: str
    comment: str


@runtime_checkable
class Silencing(Protocol):
    """A receiver where people silence what they do not want to hear of: then the others do not tell of it either."""

    def silences(self, incidents: Sequence[Incident]) -> Mapping[str, Silence]:
        """Which of these incidents are silenced there, by id. Raises ReceiverError; then nothing counts as silenced."""


@runtime_checkable
class Listening(Protocol):
    """A receiver through which people answer (buttons); it calls `surroundings.say` from threads of its own."""

    def listen(self) -> None:
        """Begins to listen; called once, when the notify stage becomes active. Connection errors are its own to mend."""
