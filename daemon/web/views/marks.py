"""Status marks: a shape and a word that say the same as the colour does."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.records import Incident, IncidentState
from daemon.web.words import clean
from detectors.finding import Certainty, Severity


@dataclass(frozen=True, slots=True)
class Mark:
    """`shape` names a drawing of marks.svg and a class of page.css; `word` is what it means; `rank` orders from quiet to bad."""

    shape: str
    word: str
    rank: int


QUIET = Mark("quiet", "nothing wrong", 0)
AFFECTED = Mark("affected", "affected by an incident elsewhere", 1)
NO_DATA = Mark("unknown", "no data: not watched now", 2)
UNSURE = Mark("unsure", "unsure", 3)
WARNING = Mark("warning", "warning", 4)
CRITICAL = Mark("critical", "critical", 5)
RESOLVED = Mark("resolved", "resolved", 0)

LEGEND = (CRITICAL, WARNING, UNSURE, AFFECTED, NO_DATA, QUIET)
"""In the order in which they matter."""

CERTAINTY_WORDS = {
    Certainty.SURE: "Sure: a rule or a state says so.",
    Certainty.LIKELY: "Likely: further out than normal data ever were.",
    Certainty.UNSURE: "Unsure: seen too little to be sure.",
}
"""Defined once; the page shows them wherever the word stands alone."""


def mark_of(incident: Incident) -> Mark:
    """The mark of an incident."""
    if incident.state is IncidentState.RESOLVED:
        return RESOLVED
    return mark_for(incident.severity, incident.certainty)


def mark_for(severity: Severity, certainty: Certainty) -> Mark:
    """The mark of something that lasts: what is not sure never looks as if it was."""
    if certainty is Certainty.UNSURE:
        return UNSURE
    return CRITICAL if severity is Severity.CRITICAL else WARNING


def certainty_of(certainty: Certainty, reason: str) -> str:
    """The certainty in a sentence, with its reason where it is unsure."""
    if certainty is Certainty.UNSURE and reason:
        return f"Unsure because {clean(reason).rstrip('.')}."
    return CERTAINTY_WORDS[certainty]


def branch_of(place: str, root: str) -> str:
    """The part of the experiment that a place belongs to: "Tracker" of "CMS/Tracker/TIB/ch3"; the place itself where it is a root."""
    steps = clean(place).split("/")
    if steps[0] == root and len(steps) > 1:
        return steps[1]
    return steps[0]
