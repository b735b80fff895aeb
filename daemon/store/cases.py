"""Cases: the causes of incidents as labels are learned from, and what people called them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Row, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from daemon.records import LabelKind
from daemon.store import schema
from daemon.store.store import NUL, Store
from detectors.finding import Certainty, Severity
from detectors.reranking import Case, Labelled

VERDICTS = (str(LabelKind.REAL), str(LabelKind.NOT_A_PROBLEM))
"""Labels that say what an incident was."""
LABELLED_MOST = 5000
_AT_ONCE = 500
"""Incidents named in one question: databases limit how many there may be."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Labels on other incidents of the same condition: at the same place, and anywhere."""

    real_here: int
    labelled_here: int
    real: int
    labelled: int


def put_case(connection: Connection, incident: str, case: Case) -> None:
    """Inserts or replaces the case of an incident, in the caller's transaction."""
    values = {name: value.replace(NUL, "") if isinstance(value, str) else value for name, value in asdict(case).items()}
    values |= {"finding": values.pop("key"), "severity": str(case.severity), "certainty": str(case.certainty)}
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(schema.cases).values(incident=incident, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["incident"], set_=values))


def drop_case(connection: Connection, incident: str) -> None:
    """Forgets the case of an incident that became part of another one, unless somebody has said what it was."""
    table = schema.cases
    if not has_verdict(connection, incident):
        connection.execute(delete(table).where(table.c.incident == incident))


def has_verdict(connection: Connection, incident: str) -> bool:
    """Whether somebody has said what an incident was."""
    labels = schema.labels.c
    return connection.scalar(select(labels.key).where(labels.incident == incident, labels.kind.in_(VERDICTS)).limit(1)) is not None


def cases_of(store: Store, incidents: Sequence[str]) -> dict[str, Case]:
    """The cases of incidents by their id, of those that have one."""
    table = schema.cases
    found: dict[str, Case] = {}
    with store._reading() as connection:  # this module is part of the store
        for first in range(0, len(incidents), _AT_ONCE):
            query = select(table).where(table.c.incident.in_(incidents[first : first + _AT_ONCE]))
            found |= {row.incident: _case(row) for row in connection.execute(query)}
    return found


def labelled_cases(store: Store, limit: int = LABELLED_MOST) -> list[Labelled]:
    """The newest so many cases that somebody called real or not a problem, oldest label first; the last word counts."""
    labels = schema.labels
    query = (
        select(schema.cases, labels.c.kind, labels.c.time_ns)
        .join(labels, labels.c.incident == schema.cases.c.incident)
        .where(labels.c.kind.in_(VERDICTS))
        .order_by(labels.c.time_ns.desc(), labels.c.key.desc())
        .limit(2 * limit)
    )
    last: dict[str, Labelled] = {}
    with store._reading() as connection:
        for row in connection.execute(query):
            if row.incident not in last and len(last) < limit:
                last[row.incident] = Labelled(_case(row), row.kind == VERDICTS[0], row.time_ns)
    return list(last.values())[::-1]


def recent_cases(store: Store, limit: int) -> list[Case]:
    """The newest cases, labelled or not."""
    table = schema.cases
    query = select(table).order_by(table.c.raised_ns.desc(), table.c.incident.desc()).limit(limit)
    with store._reading() as connection:
        return [_case(row) for row in connection.execute(query)]


def labelled_like(store: Store, incident: str, case: Case) -> Likeness:
    """What people said of other incidents of the condition of a case."""
    labels, table = schema.labels, schema.cases
    query = (
        select(table.c.incident, table.c.place, labels.c.kind)
        .join(labels, labels.c.incident == table.c.incident)
        .where(labels.c.kind.in_(VERDICTS), table.c.condition == case.condition, table.c.incident != incident)
        .order_by(labels.c.time_ns, labels.c.key)
        .limit(2 * LABELLED_MOST)
    )
    with store._reading() as connection:
        said = {row.incident: (row.place == case.place, row.kind == VERDICTS[0]) for row in connection.execute(query)}
    here = [is_real for is_here, is_real in said.values() if is_here]
    return Likeness(sum(here), len(here), sum(is_real for _, is_real in said.values()), len(said))


def _case(row: Row[tuple[object, ...]]) -> Case:
    severity, certainty = Severity(row.severity), Certainty(row.certainty)
    return Case(
        row.finding, row.raised_ns, row.condition, row.place, severity, certainty, row.probability, row.detectors, row.channels,
        row.duration_s,
    )  # fmt: skip
