"""How a database is reached: its URL, without a password where people see it, and what SQLite needs to be used by several processes."""

from __future__ import annotations

import sqlite3
import time

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from daemon.store.state import StoreError

__all__ = ["BUSY_TIMEOUT_S", "READING", "StoreError", "one_line", "open_engine", "parsed_url", "without_password"]

BUSY_TIMEOUT_S = 20
"""How long a writer waits for another one (SQLite)."""
READING = {"shiftwatch_reading": True}
"""Execution options of a connection that only reads."""


def parsed_url(url: str) -> URL:
    """The URL of a configuration. Raises StoreError for what is none, or names a database that cannot be used."""
    example = "store.url is not a database URL such as sqlite:///shiftwatch.db"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # its text may hold the password
        raise StoreError(example) from None
    if parsed.get_backend_name() == "postgresql" and "@" in f"{parsed.host}{parsed.database}":
        raise StoreError(f"{example}: '@' in a password is written as %40")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(f"store.url names {parsed.get_backend_name()}; SQLite and PostgreSQL can be used")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StoreError("store.url names a database in memory, which every thread would have for itself; name a file")
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed


def without_password(url: URL) -> str:
    """The URL for people, without its parameters: PostgreSQL takes a password as one too."""
    return url.set(query={}).render_as_string(hide_password=True)


def open_engine(url: URL) -> Engine:
    """Connections to a database: with SQLite writers wait for one another, and readers for nobody."""
    engine = create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite")
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def set_pragmas(connection: object, _record: object) -> None:
            assert isinstance(connection, sqlite3.Connection)
            for pragma in (f"busy_timeout = {BUSY_TIMEOUT_S * 1000}", "synchronous = NORMAL", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}")
            _write_ahead(connection)
            connection.isolation_level = None  # begin is emitted below

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            reads = connection.get_execution_options().get(*READING) is not None
            connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")  # a reader that turns writer would fail, not wait

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Readers and a writer side by side. Processes that switch a new file over together do not wait for one another, so we do."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def one_line(error: BaseException) -> str:
    """What a driver says, in one line."""
    return " ".join(str(error).split("\n")[0].split())[:300]
