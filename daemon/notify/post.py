"""What one receiver was told and has still to be told, with its pauses after failures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from daemon.notify.receiver import Receiver
from daemon.notify.wording import one_line
from daemon.records import Incident

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""How long a receiver that failed is left alone; twice as long after each further failure, up to the second."""
DETAIL_PAUSE_S = 15.0
"""How long a receiver that wants details waits after each time it was told of an incident, unless something that matters changed."""


def essence(incident: Incident) -> str:
    """What a reader must hear of: another state, severity, cause or owner, or a silence. All else is detail on the incident's page."""
    silenced = incident.silenced_until_ns or ""
    text = f"{incident.state}|{incident.severity}|{incident.condition}|{incident.cause_place}|{incident.owner}|{silenced}"
    return one_line(text, len(text) + 1)  # whatever a source or a person calls itself


@dataclass(frozen=True, slots=True)
class Note:
    """What the database says of an incident and a receiver, as text: essence, newline, the receiver's reference.

    An empty essence: it is owed the incident but was never told. `in_doubt`: it was just being told. `left_out`: it was over before
    the silence was, so that it was not told.
    """

    revision: int = 0
    essence: str = ""
    reference: str = ""
    in_doubt: bool = False
    left_out: bool = False

    @property
    def heard(self) -> bool:
        """Whether the receiver has heard of the incident, as far as anybody knows."""
        return (bool(self.essence) and not self.left_out) or self.in_doubt

    @classmethod
    def read(cls, revision: int, text: str) -> Self:
        """The note in a text."""
        first, _, reference = text.partition("\n")
        return cls(revision, first.lstrip("?-"), reference, "?" in first[:1], "-" in first[:2])

    def text(self) -> str:
        """As it is kept."""
        return f"{'?' if self.in_doubt else ''}{'-' if self.left_out else ''}{self.essence}\n{self.reference}"


@dataclass(slots=True)
class Post:
    """One receiver with the incidents that it has still to be told of, by id, the oldest first."""

    receiver: Receiver
    owed: dict[str, Incident] = field(default_factory=dict)
    noted: set[str] = field(default_factory=set)  # of these the database knows that they are owed
    told_s: dict[str, float] = field(default_factory=dict)  # when it was last told of each
    pause_s: float = 0.0
    due_s: float = 0.0
    alive_due_s: float = 0.0

    def is_news(self, incident: Incident, note: Note) -> bool:
        """Whether the receiver wants to hear of the incident as it is now."""
        if incident.revision <= note.revision and not note.in_doubt:
            return False
        if incident.merged_into and not note.heard:
            return False
        return note.in_doubt or self.receiver.details or essence(incident) != note.essence

    def can_wait(self, incident: Incident, note: Note, now_s: float) -> bool:
        """Whether it is a detail, and it is too early for the next one."""
        is_detail = not note.in_doubt and essence(incident) == note.essence
        return is_detail and now_s < self.told_s.get(incident.id, -DETAIL_PAUSE_S) + DETAIL_PAUSE_S

    def settled(self, incident_id: str) -> None:
        """There is nothing left to tell of it."""
        self.owed.pop(incident_id, None)
        self.noted.discard(incident_id)

    def failed(self, now_s: float, retry_after_s: float | None) -> None:
        """It is left alone for a while."""
        self.pause_s = min(max(2 * self.pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self.due_s = now_s + (self.pause_s if retry_after_s is None else max(retry_after_s, FIRST_PAUSE_S))

    def worked(self, incident: Incident, now_s: float) -> None:
        """What it was before is forgotten."""
        self.pause_s, self.due_s = 0.0, 0.0
        self.noted.discard(incident.id)
        self.told_s[incident.id] = now_s
        if incident.resolved_ns is not None:
            del self.told_s[incident.id]

    def forget(self) -> None:
        """Nothing is owed any more: another process tells."""
        self.owed.clear()
        self.noted.clear()
        self.told_s.clear()
