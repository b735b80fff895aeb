"""Versions of what was learned from labels about the order of incidents."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select

from daemon.store import schema
from daemon.store.packing import pack, unpack
from daemon.store.store import Store
from detectors.reranking import Reranker

VERSIONS_KEPT = 20


@dataclass(frozen=True, slots=True)
class RankingVersion:
    """A version: when it was trained (wall time), with how many labels, whether it was proved, and why or why not."""

    version: int
    trained_ns: int
    labels: int
    used: bool
    why: str


def put_ranking(store: Store, reranker: Reranker, now_ns: int) -> int:
    """Keeps what was learned as the newest version; its number. What is the same as the newest one is no version of its own."""
    table, state = schema.rankings, pack(reranker.state())
    values = {"trained_ns": now_ns, "labels": reranker.labels, "used": reranker.used, "why": reranker.why, "state": state}
    with store.transaction() as connection:
        newest = connection.execute(select(table.c.version, table.c.state).order_by(table.c.version.desc()).limit(1)).one_or_none()
        if newest is not None and newest.state == state:
            return int(newest.version)
        version: int = connection.execute(insert(table).values(**values).returning(table.c.version)).scalar_one()
        connection.execute(delete(table).where(table.c.version <= version - VERSIONS_KEPT))
    return version


def ranking_versions(store: Store) -> list[RankingVersion]:
    """All that are kept, the newest first."""
    table = schema.rankings
    query = select(table.c.version, table.c.trained_ns, table.c.labels, table.c.used, table.c.why).order_by(table.c.version.desc())
    with store._reading() as connection:  # this module is part of the store
        return [RankingVersion(*row) for row in connection.execute(query)]


def newest_ranking(store: Store) -> int:
    """The number of the newest version, 0 for none."""
    with store._reading() as connection:
        return connection.scalar(select(func.max(schema.rankings.c.version))) or 0


def load_ranking(store: Store) -> tuple[int, Reranker] | None:
    """The newest version and its number, None where nothing was trained. Raises ValueError where another version wrote it."""
    table = schema.rankings
    query = select(table.c.version, table.c.state).order_by(table.c.version.desc()).limit(1)
    with store._reading() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else (row.version, Reranker.of(unpack(row.state)))
