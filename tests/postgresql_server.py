"""A private PostgreSQL cluster for the tests, one for the whole run, with a new database for each test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import OperationalError

INSTALL = "apt-get install postgresql"
PASSWORD = "correct@horse:battery/staple"
START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class PostgresqlServer:
    """A running server; every database belongs to the user `shiftwatch`, who has a password."""

    port: int

    def url(self, database: str, password: str = PASSWORD) -> str:
        """As it stands in the configuration."""
        return self._url(database, password).render_as_string(hide_password=False)

    def new_database(self) -> str:
        """URL of an empty database."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        engine = create_engine(self._url("postgres", PASSWORD), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url(name)

    def _url(self, database: str, password: str) -> URL:
        return URL.create("postgresql+psycopg", "shiftwatch", password, "127.0.0.1", self.port, database)


def programs() -> Path | None:
    """The folder with initdb and postgres, which Debian keeps out of the path."""
    found = shutil.which("initdb")
    folders = (
        [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    )
    return folders[-1] if folders and (folders[-1] / "postgres").exists() else None


def unprivileged_user() -> str | None:
    """Whom to run it as: PostgreSQL refuses to be run by root."""
    if os.geteuid() != 0:
        return None
    return "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A running server that trusts nobody without the password."""
    from tests.conftest import missing  # noqa: PLC0415 - conftest imports this module as a plugin

    folder = programs()
    if folder is None:
        missing(f"PostgreSQL: {INSTALL}")
        raise AssertionError
    user = unprivileged_user()
    with tempfile.TemporaryDirectory(prefix="shiftwatch-postgresql-") as home:
        if user is not None:
            shutil.chown(home, user)
        cluster = Path(home) / "cluster"
        password_file = Path(home) / "password"
        password_file.write_text(PASSWORD)
        password_file.chmod(0o444)
        initialise: list[str | Path] = [folder / "initdb", "--pgdata", cluster, "--username", "shiftwatch", "--pwfile", password_file]
        options = ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
        subprocess.run([*initialise, *options], user=user, cwd=home, check=True, capture_output=True)
        port = _free_port()
        settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": home, "fsync": "off", "max_connections": 50}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        with (Path(home) / "log").open("wb") as log:
            process = subprocess.Popen([folder / "postgres", "-D", cluster, *arguments], user=user, cwd=home, stdout=log, stderr=log)
        try:
            server = PostgresqlServer(port)
            _wait(server, process, Path(home) / "log")
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # ends connections that are still open
            process.wait(30)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _wait(server: PostgresqlServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    engine = create_engine(server.url("postgres"))
    while True:
        try:
            engine.connect().close()
            break
        except OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)
    engine.dispose()
