"""Looking through incidents that are over: by words, state, place and time, page by page; and what each receiver was told."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Select, and_, exists, or_, select

from daemon.records import Incident, IncidentState
from daemon.store import schema
from daemon.store.packing import read_incident
from daemon.store.store import Store

SCANNED_MOST = 20_000
"""Records that one question looks at: beyond that it ends, and says so by having no more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; what is empty does not matter.

    words: all of them must occur somewhere, in any case of letters. place: the cause or anything affected lies at it or below.
    from_ns, until_ns: when it was opened. before: (opened_ns, id) of the last one of the page before.
    """

    words: tuple[str, ...] = ()
    states: tuple[IncidentState, ...] = ()
    condition: str = ""
    place: str = ""
    from_ns: int | None = None
    until_ns: int | None = None
    before: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a receiver was last told of an incident, wall time; revision 0: it has still to be told."""

    receiver: str
    revision: int
    delivered_ns: int


def search_incidents(store: Store, wanted: Wanted, limit: int) -> list[Incident]:
    """The newest `limit` incidents that fit, the newest first; those that became part of others are left out."""
    with closing(_records(store, _query(wanted))) as found:
        return list(islice((incident for incident in found if _fits(incident, wanted)), limit))


def earlier_like(store: Store, incident: Incident, limit: int) -> list[Incident]:
    """Resolved incidents of the same condition that were opened before this one: first those with the same cause, then the newest."""
    wanted = Wanted(states=(IncidentState.RESOLVED,), condition=incident.condition, before=(incident.opened_ns, incident.id))
    alike = [other for other in search_incidents(store, wanted, 200) if other.id != incident.id]
    return sorted(alike, key=_closeness(incident))[:limit]


def deliveries(store: Store, incident_id: str) -> list[Delivery]:
    """What each receiver was last told of an incident."""
    table = schema.deliveries
    query = select(table.c.receiver, table.c.revision, table.c.delivered_ns).where(table.c.incident == incident_id)
    with store._reading() as connection:  # this module is part of the store
        rows = connection.execute(query.order_by(table.c.delivered_ns, table.c.receiver)).all()
    return [Delivery(row.receiver, row.revision, row.delivered_ns) for row in rows]


def untold(store: Store, receivers: Sequence[str]) -> list[Incident]:
    """Incidents that one of these receivers has still to be told of, or that have changed since it was told, in order of opening."""
    told, table = schema.deliveries.c, schema.incidents
    behind = exists().where(told.incident == table.c.id, told.receiver.in_(receivers), told.revision < table.c.revision)
    with closing(_records(store, select(table.c.record).where(behind).order_by(table.c.opened_ns, table.c.id))) as found:
        return list(found)


def figure_of(store: Store, finding: str) -> str | None:
    """The encoded picture of a finding, whichever incident it belongs to; None where there is none."""
    with store._reading() as connection:
        text: str | None = connection.scalar(select(schema.figures.c.figure).where(schema.figures.c.finding == finding))
    return text


def _closeness(incident: Incident) -> Callable[[Incident], tuple[bool, bool, int]]:
    def key(other: Incident) -> tuple[bool, bool, int]:
        same_place = other.cause_place == incident.cause_place
        return (not same_place, other.cause_channel != incident.cause_channel, -other.opened_ns)

    return key


def _records(store: Store, query: Select[tuple[str]]) -> Generator[Incident]:
    with store._reading() as connection, connection.execution_options(yield_per=100).execute(query) as result:
        for row in result:
            yield read_incident(row.record)


def _query(wanted: Wanted) -> Select[tuple[str]]:
    """What the database can decide: words only roughly, as the text of a record holds more than what a person wrote."""
    table = schema.incidents
    query = select(table.c.record).order_by(table.c.opened_ns.desc(), table.c.id.desc()).limit(SCANNED_MOST)
    if wanted.states:
        query = query.where(table.c.state.in_([str(state) for state in wanted.states]))
    if wanted.from_ns is not None:
        query = query.where(table.c.opened_ns >= wanted.from_ns)
    if wanted.until_ns is not None:
        query = query.where(table.c.opened_ns <= wanted.until_ns)
    if wanted.before is not None:
        opened_ns, incident_id = wanted.before
        query = query.where(or_(table.c.opened_ns < opened_ns, and_(table.c.opened_ns == opened_ns, table.c.id < incident_id)))
    if wanted.condition:
        query = query.where(table.c.record.contains(f'"condition":{json.dumps(wanted.condition, ensure_ascii=False)}', autoescape=True))
    for text in (*wanted.words, *([wanted.place.rstrip("/")] if wanted.place else [])):
        if text.isascii():  # SQLite knows only the case of ASCII letters
            query = query.where(table.c.record.icontains(json.dumps(text)[1:-1], autoescape=True))
    return query


def _fits(incident: Incident, wanted: Wanted) -> bool:
    if incident.merged_into or (wanted.condition and incident.condition != wanted.condition):
        return False
    if wanted.place and not any(_lies_in(place, wanted.place) for place in (incident.cause_place, *incident.places)):
        return False
    if not wanted.words:
        return True
    said = [entry.who + " " + entry.what for entry in incident.timeline]
    texts = (incident.id, incident.sentence, incident.why, incident.condition, incident.cause_place, incident.cause_channel, incident.owner)
    text = "\n".join([*texts, *incident.places, *said]).casefold()
    return all(word.casefold() in text for word in wanted.words)


def _lies_in(place: str, whole: str) -> bool:
    place, whole = place.casefold(), whole.casefold().rstrip("/")
    return place == whole or place.startswith(f"{whole}/")
