"""What detectors and models in shadow would have said, beside what was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from collectors.frame import is_within
from daemon.records import Incident, ShadowFinding
from daemon.store import schema
from daemon.store.store import NUL, Store

KEPT_DAYS = 90.0
DAY_NS = 86_400_000_000_000
SLACK_NS = 600_000_000_000
"""A finding and an incident that are this close in time are one matter."""
ENDLESS_NS = 2**62


@dataclass(frozen=True, slots=True)
class Silent:
    """What one detector or model in shadow has found, newest first, and how that compares with what was sent.

    also_sent: of its findings, those at a place and time of an incident; sent_only: incidents since its first finding, at places
    where it finds things, that it did not find.
    """

    stream: str
    detector: str
    version: int
    findings: tuple[ShadowFinding, ...]
    also_sent: int
    sent_only: int


def put_shadow_findings(connection: Connection, found: Sequence[ShadowFinding]) -> None:
    """Inserts or replaces findings, in the caller's transaction; what is older than KEPT_DAYS goes."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    table = schema.shadow_findings
    for finding in found:
        values = {name: value.replace(NUL, "") if isinstance(value, str) else value for name, value in asdict(finding).items()}
        changed = {"cleared_ns": finding.cleared_ns}
        connection.execute(dialect.insert(table).values(**values).on_conflict_do_update(index_elements=["key"], set_=changed))
    if found:
        oldest_ns = max(finding.raised_ns for finding in found) - int(KEPT_DAYS * DAY_NS)
        connection.execute(delete(table).where(table.c.raised_ns < oldest_ns, table.c.stream.in_({f.stream for f in found})))


def shadow_findings(store: Store, limit: int = 2000) -> list[ShadowFinding]:
    """The newest so many, the newest first."""
    table = schema.shadow_findings
    query = select(table).order_by(table.c.since_ns.desc(), table.c.key).limit(limit)
    with store._reading() as connection:  # this module is part of the store
        return [ShadowFinding(**row._mapping) for row in connection.execute(query)]


def beside_what_was_sent(store: Store, limit: int = 2000) -> list[Silent]:
    """What is and was in shadow, by stream, detector and version, beside the incidents of the same time."""
    found: dict[tuple[str, str, int], list[ShadowFinding]] = {}
    for finding in shadow_findings(store, limit):
        found.setdefault((finding.stream, finding.detector, finding.version), []).append(finding)
    incidents = store.incidents(limit=limit)
    return [_silent(name, findings, incidents) for name, findings in sorted(found.items())]


def _silent(name: tuple[str, str, int], findings: Sequence[ShadowFinding], incidents: Sequence[Incident]) -> Silent:
    first_ns = min(finding.since_ns for finding in findings)
    meant = [i for i in incidents if _end_ns(i) >= first_ns and any(_is_near(i, finding.place) for finding in findings)]
    met = [(finding, i) for finding in findings for i in meant if _is_near(i, finding.place) and _overlap(finding, i)]
    also = {finding.key for finding, _ in met}
    return Silent(*name, tuple(findings), len(also), len(meant) - len({incident.id for _, incident in met}))


def _is_near(incident: Incident, place: str) -> bool:
    places = [other for other in (*incident.places, incident.cause_place) if other]
    return any(is_within(place, other) or is_within(other, place) for other in places)


def _overlap(finding: ShadowFinding, incident: Incident) -> bool:
    cleared_ns = finding.cleared_ns if finding.cleared_ns is not None else ENDLESS_NS
    return finding.since_ns <= _end_ns(incident) + SLACK_NS and incident.started_ns <= cleared_ns + SLACK_NS


def _end_ns(incident: Incident) -> int:
    return incident.resolved_ns if incident.resolved_ns is not None else ENDLESS_NS
