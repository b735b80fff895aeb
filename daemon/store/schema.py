"""Tables. SQLite by default, PostgreSQL where several replicas run; nothing here is special to either."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION = 4

UPGRADES: dict[int, tuple[str, ...]] = {1: ("ALTER TABLE labels ADD COLUMN until_ns BIGINT",), 2: (), 3: ()}
"""What makes a database of a schema one of the next; new tables are made in any case."""

metadata = MetaData()

schema = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

leases = Table(
    "leases",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("owner", String(200), nullable=False),
    comment="Who may write for a stage and partition: a later generation shuts out all earlier ones",
)

stage_state = Table(
    "stage_state",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("saved_ns", BigInteger, nullable=False),
    Column("offsets", Text, nullable=False),
    Column("state", LargeBinary, nullable=False),
    comment="A stage's state with the input offsets that it reflects: after a crash it is restored and reading goes on from there",
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("opened_ns", BigInteger, nullable=False, index=True),
    Column("record", Text, nullable=False),
)

labels = Table(
    "labels",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("incident", String(32), ForeignKey("incidents.id"), nullable=False, index=True),
    Column("kind", String(20), nullable=False),
    Column("who", String(200), nullable=False),
    Column("time_ns", BigInteger, nullable=False),
    Column("comment", Text, nullable=False),
    Column("until_ns", BigInteger),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("incident", String(32), primary_key=True),
    Column("receiver", String(100), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("delivered_ns", BigInteger, nullable=False),
    Column("reference", Text, nullable=False),
    comment="What each receiver was last told of each incident; reference: its name at the receiver",
)

figures = Table(
    "figures",
    metadata,
    Column("finding", String(64), primary_key=True),
    Column("incident", String(32), nullable=False, index=True),
    Column("made_ns", BigInteger, nullable=False),
    Column("figure", Text, nullable=False),
    comment="Pictures of evidence as detectors.figure encodes them",
)

plans = Table(
    "plans",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("state", String(16), nullable=False, index=True),
    Column("made_ns", BigInteger, nullable=False, index=True),
    Column("record", Text, nullable=False),
)

shadow_findings = Table(
    "shadow_findings",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("stream", String(500), nullable=False, index=True),
    Column("detector", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("since_ns", BigInteger, nullable=False, index=True),
    Column("raised_ns", BigInteger, nullable=False),
    Column("cleared_ns", BigInteger),
    Column("certainty", String(16), nullable=False),
    Column("unit", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("condition", String(100), nullable=False),
    Column("summary", Text, nullable=False),
    comment="What detectors and models in shadow would have said; version: of the model, 0 for one learned while watching",
)

cases = Table(
    "cases",
    metadata,
    Column("incident", String(32), ForeignKey("incidents.id"), primary_key=True),
    Column("finding", String(64), nullable=False),
    Column("raised_ns", BigInteger, nullable=False, index=True),
    Column("condition", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("certainty", String(16), nullable=False),
    Column("probability", Double),
    Column("detectors", Integer, nullable=False),
    Column("channels", Integer, nullable=False),
    Column("duration_s", Double, nullable=False),
    comment="The cause of each incident as it stood when it was new: what labels are learned from",
)

rankings = Table(
    "rankings",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=True),
    Column("trained_ns", BigInteger, nullable=False),
    Column("labels", Integer, nullable=False),
    Column("used", Boolean, nullable=False),
    Column("why", Text, nullable=False),
    Column("state", LargeBinary, nullable=False),
    sqlite_autoincrement=True,  # or a version that was deleted comes again
    comment="What was learned from labels about the order of incidents; the newest version is in use",
)

outbox = Table(
    "outbox",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("topic", String(100), nullable=False),
    Column("key", String(200), nullable=False),
    Column("dedup", String(200), nullable=False),
    Column("value", LargeBinary, nullable=False),
    UniqueConstraint("topic", "dedup"),
    sqlite_autoincrement=True,  # or the number of a deleted message is used again, and a sender that was slow deletes the new one
    comment="Messages written in the transaction that made them true; deleted once the bus has acknowledged them",
)
