"""The agent's own state: what its detectors have learned, in a SQLite file.

It speaks SQLite directly: SQLAlchemy alone would be a sixth of what an agent may use of the node's memory.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from daemon.store.state import Fenced, Lease, SavedState, StoreError

BUSY_TIMEOUT_S = 20.0
_TABLES = """
CREATE TABLE IF NOT EXISTS leases (name TEXT PRIMARY KEY, generation INTEGER NOT NULL, owner TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS stage_state (name TEXT PRIMARY KEY, saved_ns INTEGER NOT NULL, offsets TEXT NOT NULL, state BLOB NOT NULL);
"""


class AgentState:
    """See `daemon.store.state.StateStore`. Safe for use by several threads."""

    def __init__(self, path: Path) -> None:
        """Opens the file, new or as it was left. Raises StoreError."""
        self.name = str(path)
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False, isolation_level=None)
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -256", "journal_size_limit = 4194304"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.executescript(_TABLES)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"state of the agent {path}: {error}") from None

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    def acquire(self, name: str, owner: str) -> Lease:
        """Takes over: whoever held the lease before can write no more."""
        raised = """
            INSERT INTO leases VALUES (?, 1, ?)
            ON CONFLICT (name) DO UPDATE SET generation = generation + 1, owner = excluded.owner RETURNING generation
        """
        with self.transaction() as connection:
            return Lease(name, int(connection.execute(raised, (name, owner)).fetchone()[0]))

    @contextmanager
    def transaction(self, *leases: Lease) -> Iterator[sqlite3.Connection]:
        """A transaction in which the leases are still held. Raises Fenced, StoreError, and then nothing of it is written."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                with self._connection:  # commits, or rolls back
                    for lease in leases:
                        held = self._connection.execute("SELECT generation FROM leases WHERE name = ?", (lease.name,)).fetchone()
                        if held != (lease.generation,):
                            raise Fenced(f"{lease.name}: generation {lease.generation} was replaced")
                    yield self._connection
            except sqlite3.Error as error:
                raise StoreError(f"state of the agent {self.name}: {error}") from None

    def load_state(self, name: str) -> SavedState | None:
        """What was last saved for a stage and partition."""
        with self.transaction() as connection:
            row = connection.execute("SELECT state, offsets, saved_ns FROM stage_state WHERE name = ?", (name,)).fetchone()
        return None if row is None else SavedState(row[0], json.loads(row[1]), row[2])

    def save_state(self, connection: sqlite3.Connection, name: str, state: bytes, offsets: Mapping[str, int], now_ns: int) -> None:
        """Replaces the state of a stage and partition, in the caller's transaction."""
        connection.execute("INSERT OR REPLACE INTO stage_state VALUES (?, ?, ?, ?)", (name, now_ns, json.dumps(dict(offsets)), state))
