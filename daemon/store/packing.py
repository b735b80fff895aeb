"""State and incidents as the database keeps them."""

from __future__ import annotations

from daemon import messages
from daemon.records import Incident, Plan
from detectors.state_codec import pack, unpack

__all__ = ["pack", "read_incident", "read_plan", "unpack", "write_incident", "write_plan"]


def write_incident(incident: Incident) -> str:
    """The incident as text for a column."""
    return messages.encode(incident).decode()


def read_incident(record: str) -> Incident:
    """The incident of such a text."""
    incident = messages.decode(record.encode())
    if not isinstance(incident, Incident):
        raise messages.MessageError("record of an incident is something else")
    return incident


def write_plan(plan: Plan) -> str:
    """The plan as text for a column."""
    return messages.encode(plan).decode()


def read_plan(record: str) -> Plan:
    """The plan of such a text."""
    plan = messages.decode(record.encode())
    if not isinstance(plan, Plan):
        raise messages.MessageError("record of a plan is something else")
    return plan
