"""Access to the database: transactions that are fenced, stage state with offsets, incidents, labels, deliveries, the outbox."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from types import ModuleType

from sqlalchemy import Connection, Table, delete, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError

from daemon.records import Incident, IncidentState, Label, LabelKind, Plan, PlanState
from daemon.store import schema
from daemon.store.engine import READING, one_line, open_engine, parsed_url, without_password
from daemon.store.packing import read_incident, read_plan, write_incident, write_plan
from daemon.store.state import Fenced, Lease, SavedState, StoreError

__all__ = ["Fenced", "Lease", "SavedState", "Store", "StoreError"]

MAX_WHO_CHARACTERS = 200
MAX_LABEL_KEY_CHARACTERS = 64
MAX_FIGURES = 24
"""Pictures that are kept of an incident."""
NUL = "\0"
"""The one character that PostgreSQL has not."""
_TABLES_LOCK = 0x73776174
"""Any number that nothing else in the database locks."""


class Store:
    """One database. Safe for use by several threads; every method is one transaction unless it takes a connection."""

    def __init__(self, url: str) -> None:
        parsed = parsed_url(url)
        self.name = without_password(parsed)
        try:
            self._engine = open_engine(parsed)
            self._prepare_tables()
        except ArgumentError as error:
            raise StoreError(f"store.url {self.name}: {one_line(error)}") from None
        except (SQLAlchemyError, ImportError, TypeError) as error:  # TypeError: a parameter that the driver does not have
            raise StoreError(f"database {self.name}: {one_line(error)}") from None

    def _prepare_tables(self) -> None:
        try:
            with self._engine.begin() as connection:
                if connection.dialect.name == "postgresql":  # replicas that start together would create them twice
                    connection.execute(select(func.pg_advisory_xact_lock(_TABLES_LOCK)))
                schema.schema.create(connection, checkfirst=True)
                version = connection.scalar(select(func.max(schema.schema.c.version)))
                if version is not None and version > schema.SCHEMA_VERSION:
                    raise StoreError(f"database {self.name} has schema {version}, this version needs {schema.SCHEMA_VERSION}")
                for older in range(version or schema.SCHEMA_VERSION, schema.SCHEMA_VERSION):
                    for statement in schema.UPGRADES[older]:
                        connection.execute(text(statement))
                schema.metadata.create_all(connection)
                if version != schema.SCHEMA_VERSION:
                    connection.execute(insert(schema.schema).values(version=schema.SCHEMA_VERSION))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    @contextmanager
    def transaction(self, *leases: Lease) -> Iterator[Connection]:
        """A transaction in which the leases are still held. Raises Fenced, and then nothing of it is written."""
        with self._engine.begin() as connection:
            for lease in leases:
                held = select(schema.leases.c.generation).where(schema.leases.c.name == lease.name).with_for_update()
                if connection.scalar(held) != lease.generation:
                    raise Fenced(f"{lease.name}: generation {lease.generation} was replaced")
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(**READING) as connection:
            yield connection

    def acquire(self, name: str, owner: str) -> Lease:
        """Takes over: whoever held the lease before can write no more."""
        with self._engine.begin() as connection:
            taken = _raise_generation(connection, name, owner)
            if taken is None:
                try:
                    with connection.begin_nested():
                        connection.execute(insert(schema.leases).values(name=name, generation=1, owner=owner))
                        taken = 1
                except IntegrityError:  # somebody else was first
                    taken = _raise_generation(connection, name, owner)
        if taken is None:
            raise StoreError(f"database {self.name}: lease {name} could not be taken")
        return Lease(name, taken)

    def load_state(self, name: str) -> SavedState | None:
        """What was last saved for a stage and partition."""
        with self._reading() as connection:
            row = connection.execute(select(schema.stage_state).where(schema.stage_state.c.name == name)).one_or_none()
        return None if row is None else SavedState(row.state, json.loads(row.offsets), row.saved_ns)

    def save_state(self, connection: Connection, name: str, state: bytes, offsets: Mapping[str, int], now_ns: int) -> None:
        """Replaces the state of a stage and partition, in the caller's transaction."""
        values = {"saved_ns": now_ns, "offsets": json.dumps(dict(offsets)), "state": state}
        self._upsert(connection, schema.stage_state, {"name": name}, values)

    def put_incident(self, connection: Connection, incident: Incident) -> None:
        """Inserts or replaces an incident, in the caller's transaction."""
        values = {
            "revision": incident.revision,
            "state": str(incident.state),
            "opened_ns": incident.opened_ns,
            "record": write_incident(incident),
        }
        self._upsert(connection, schema.incidents, {"id": incident.id}, values)

    def incidents(self, states: Sequence[IncidentState] = (), *, limit: int = 1000, merged: bool = False) -> list[Incident]:
        """Incidents in order of opening, the newest `limit` of them; those that were merged into others on request."""
        query = select(schema.incidents.c.record).order_by(schema.incidents.c.opened_ns.desc(), schema.incidents.c.id.desc())
        if states:
            query = query.where(schema.incidents.c.state.in_([str(state) for state in states]))
        with self._reading() as connection, connection.execution_options(yield_per=200).execute(query) as result:
            found = map(read_incident, result.scalars())
            newest = list(islice((incident for incident in found if merged or not incident.merged_into), limit))
        return newest[::-1]

    def incident(self, incident_id: str) -> Incident | None:
        """One incident, None where there is none."""
        if NUL in incident_id:
            return None
        with self._reading() as connection:
            record = connection.scalar(select(schema.incidents.c.record).where(schema.incidents.c.id == incident_id))
        return None if record is None else read_incident(record)

    def put_label(self, connection: Connection, label: Label) -> bool:
        """Keeps a label; False where it is there already, or its incident is not."""
        incident = select(schema.incidents.c.id).where(schema.incidents.c.id == label.incident)
        if NUL in label.incident or connection.scalar(incident) is None:
            return False
        who, comment = (said.replace(NUL, "") for said in (label.who, label.comment))
        values = {
            "key": _label_key(label.key),
            "incident": label.incident,
            "kind": str(label.kind),
            "who": who[:MAX_WHO_CHARACTERS],
            "time_ns": label.time_ns,
            "comment": comment,
            "until_ns": label.until_ns,
        }
        return self._insert_once(connection, schema.labels, values)

    def has_label(self, key: str) -> bool:
        """Whether a label with this key is there."""
        query = select(schema.labels.c.key).where(schema.labels.c.key == _label_key(key))
        with self._reading() as connection:
            return connection.scalar(query) is not None

    def labels(self, incident_id: str) -> list[Label]:
        """What people said of an incident, the oldest first."""
        table = schema.labels
        query = select(table).where(table.c.incident == incident_id).order_by(table.c.time_ns, table.c.key)
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [Label(r.key, r.incident, LabelKind(r.kind), r.who, r.time_ns, r.comment, r.until_ns) for r in rows]

    def put_figure(
        self, connection: Connection, incident_id: str, finding: str, figure: str, now_ns: int, *, is_cause: bool = False
    ) -> None:
        """Keeps the picture of a finding's evidence, in the caller's transaction.

        An incident has MAX_FIGURES at most: the first ones, and that of its cause.
        """
        table = schema.figures
        known = connection.scalars(select(table.c.finding).where(table.c.incident == incident_id).order_by(table.c.made_ns)).all()
        if len(known) >= MAX_FIGURES and finding not in known:
            if not is_cause:
                return
            connection.execute(delete(table).where(table.c.finding == known[-1]))
        self._upsert(connection, table, {"finding": finding}, {"incident": incident_id, "made_ns": now_ns, "figure": figure})

    def figures(self, incident_id: str) -> list[tuple[str, str]]:
        """Key of the finding and encoded figure, that of the cause first, then in order of time."""
        table = schema.figures
        query = select(table.c.finding, table.c.figure).where(table.c.incident == incident_id).order_by(table.c.made_ns, table.c.finding)
        with self._reading() as connection:
            found = [(row.finding, row.figure) for row in connection.execute(query)]
        incident = self.incident(incident_id) if found else None
        cause = incident.cause_finding if incident is not None else ""
        return sorted(found, key=lambda entry: entry[0] != cause)

    def move_figures(self, connection: Connection, incident_id: str, into: str, cause: str) -> None:
        """The pictures of an incident that has become part of another one go there, in the caller's transaction, as far as there is room.

        `cause` is the finding that is the cause of the other one now.
        """
        table = schema.figures
        of_both = table.c.incident.in_((incident_id, into))
        known = connection.scalars(select(table.c.finding).where(of_both).order_by(table.c.made_ns, table.c.finding)).all()
        kept = sorted(known, key=lambda finding: finding != cause)[:MAX_FIGURES]
        connection.execute(delete(table).where(of_both, table.c.finding.not_in(kept)))
        connection.execute(update(table).where(table.c.incident == incident_id).values(incident=into))

    def put_plan(self, connection: Connection, plan: Plan) -> None:
        """Inserts or replaces a plan, in the caller's transaction."""
        values = {"state": str(plan.state), "made_ns": plan.made_ns, "record": write_plan(plan)}
        self._upsert(connection, schema.plans, {"key": plan.key}, values)

    def plans(self, states: Sequence[PlanState] = (), *, limit: int = 1000) -> list[Plan]:
        """Plans in the order in which they were made, the newest `limit` of them."""
        query = select(schema.plans.c.record).order_by(schema.plans.c.made_ns.desc(), schema.plans.c.key.desc()).limit(limit)
        if states:
            query = query.where(schema.plans.c.state.in_([str(state) for state in states]))
        with self._reading() as connection:
            return [read_plan(record) for record in connection.scalars(query)][::-1]

    def enqueue(self, connection: Connection, topic: str, key: str, dedup: str, value: bytes) -> None:
        """Puts a message into the outbox, in the transaction that makes it true; the same `dedup` again changes nothing."""
        self._insert_once(connection, schema.outbox, {"topic": topic, "key": key, "dedup": dedup, "value": value})

    def pending(self, limit: int = 500) -> list[tuple[int, str, str, bytes]]:
        """Messages of the outbox in order: number, topic, key, value."""
        box = schema.outbox
        with self._reading() as connection:
            rows = connection.execute(select(box.c.number, box.c.topic, box.c.key, box.c.value).order_by(box.c.number).limit(limit))
            return [(row.number, row.topic, row.key, row.value) for row in rows]

    def sent(self, numbers: Sequence[int], *leases: Lease) -> None:
        """Forgets messages that the bus has acknowledged."""
        if numbers:
            with self.transaction(*leases) as connection:
                connection.execute(delete(schema.outbox).where(schema.outbox.c.number.in_(numbers)))

    def delivered(self, incident_id: str, receiver: str) -> tuple[int, str]:
        """The revision that a receiver was last told of (0: none) and its reference there."""
        table = schema.deliveries
        query = select(table.c.revision, table.c.reference).where(table.c.incident == incident_id, table.c.receiver == receiver)
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
        return (0, "") if row is None else (row.revision, row.reference)

    def record_delivery(self, connection: Connection, incident: Incident, receiver: str, reference: str, now_ns: int) -> None:
        """Notes what a receiver was told, in the caller's transaction."""
        values = {"revision": incident.revision, "delivered_ns": now_ns, "reference": reference}
        self._upsert(connection, schema.deliveries, {"incident": incident.id, "receiver": receiver}, values)

    def _upsert(self, connection: Connection, table: Table, key: Mapping[str, object], values: Mapping[str, object]) -> None:
        statement = _dialect(connection).insert(table).values(**key, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=dict(values)))

    def _insert_once(self, connection: Connection, table: Table, values: Mapping[str, object]) -> bool:
        statement = _dialect(connection).insert(table).values(**values).on_conflict_do_nothing()
        return connection.execute(statement.returning(*table.primary_key)).first() is not None


def _label_key(key: str) -> str:
    return key.replace(NUL, "")[:MAX_LABEL_KEY_CHARACTERS]


def _dialect(connection: Connection) -> ModuleType:
    return postgresql if connection.dialect.name == "postgresql" else sqlite


def _raise_generation(connection: Connection, name: str, owner: str) -> int | None:
    raised = (
        update(schema.leases)
        .where(schema.leases.c.name == name)
        .values(generation=schema.leases.c.generation + 1, owner=owner)
        .returning(schema.leases.c.generation)
    )
    generation: int | None = connection.scalar(raised)
    return generation
