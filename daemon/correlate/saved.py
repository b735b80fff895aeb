"""What the correlate stage saves of its correlator, and how it goes on from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daemon import messages
from daemon.correlate.correlator import Correlator
from daemon.messages import FindingReport, MessageError
from daemon.records import Incident
from detectors.finding import Finding


def state_of(correlator: Correlator) -> dict[str, Any]:
    """Incidents with their findings, as plain values."""
    known = {
        key: [messages.encode(o.incident).decode(), [text_of(FindingReport("", 0, finding)) for finding in o.findings.values()]]
        for key, o in correlator.known.items()
    }
    return {"known": known, "dismissed": list(correlator.dismissed)}


def restore(correlator: Correlator, state: Mapping[str, Any]) -> None:
    """Goes on from a `state_of`, also from one of an earlier version. Raises MessageError."""
    known = [_as_known(incident, findings) for incident, findings in state["known"].values()]
    correlator.restore(known, state.get("dismissed", ()))


def text_of(report: FindingReport) -> str:
    """A report as text."""
    return messages.encode(report).decode()


def as_report(text: str) -> FindingReport:
    """The report in a text. Raises MessageError."""
    message = messages.decode(text.encode())
    if not isinstance(message, FindingReport):
        raise MessageError("state of the correlate stage holds something else than findings")
    return message


def _as_known(incident: str, findings: list[str]) -> tuple[Incident, list[Finding]]:
    decoded = messages.decode(incident.encode())
    if not isinstance(decoded, Incident):
        raise MessageError("state of the correlate stage holds something else than incidents")
    return decoded, [as_report(text).finding for text in findings]
