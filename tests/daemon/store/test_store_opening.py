"""Opening a database: what is refused, without ever naming a password, and many that open and write at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import create_engine, inspect, text

from daemon.records import Label, LabelKind
from daemon.store.engine import StoreError
from daemon.store.store import Fenced, Store
from tests.daemon.store.samples import incident, put
from tests.postgresql_server import PASSWORD, PostgresqlServer


def refused(url: str) -> str:
    with pytest.raises(StoreError) as raised:
        Store(url)
    message = str(raised.value)
    assert "\n" not in message
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None  # nor in a traceback
    return message


@pytest.mark.parametrize(
    "url",
    [
        "s3cret nonsense",
        "postgresql://ann:s3cret@db:port/shiftwatch",
        "postgresql://ann@db:s3cret/shiftwatch",
        "postgresql://ann:half@s3cret@db/shiftwatch",
        "postgresql://ann:half@s3/cret@db/shiftwatch",
        "postgres://ann:s3cret@db/shiftwatch",
        "mysql://ann:s3cret@db/shiftwatch",
        "postgresql://ann:s3cret@127.0.0.1:1/shiftwatch?connect_timeout=2",
        "postgresql://127.0.0.1:1/shiftwatch?user=ann&password=s3cret&connect_timeout=2",
        "postgresql://127.0.0.1:1/shiftwatch?user=ann&sslpassword=s3cret&connect_timeout=2",
        "postgresql://127.0.0.1:1/shiftwatch?pasword=s3cret",
        "postgresql+nodriver://ann:s3cret@db/shiftwatch",
    ],
)
def test_no_password_in_an_error(url: str) -> None:
    message = refused(url)
    assert "s3" not in message
    assert "cret" not in message


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    assert refused("shiftwatch.db") == "store.url is not a database URL such as sqlite:///shiftwatch.db"
    assert refused("postgresql://ann:a@b@db/x").endswith("'@' in a password is written as %40")
    assert refused("mysql://db/x") == "store.url names mysql; SQLite and PostgreSQL can be used"
    assert "unable to open database file" in refused(f"sqlite:///{tmp_path}/no/such/folder.db")
    for memory in ("sqlite://", "sqlite:///:memory:"):
        assert refused(memory).endswith("name a file")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("These are the notes of the last shift. " * 100)
    message = refused(f"sqlite:///{tmp_path}/notes.txt")
    assert message.startswith(f"database sqlite:///{tmp_path}/notes.txt: ")
    assert "file is not a database" in message


@pytest.mark.postgresql
def test_the_name_of_a_database_has_no_password(postgresql: PostgresqlServer) -> None:
    url = postgresql.new_database()
    assert "%40" in url
    for given in (url, url.replace("postgresql+psycopg://", "postgresql://"), f"{url}?application_name=shiftwatch"):
        store = Store(given)
        assert store.name.startswith("postgresql+psycopg://shiftwatch:***@127.0.0.1:")
        store.close()
    without = url.replace("shiftwatch:" + url.split("shiftwatch:")[1].split("@")[0] + "@", "")
    in_query = Store(f"{without}?user=shiftwatch&password={url.split('shiftwatch:')[1].split('@')[0]}")
    assert in_query.name == without
    in_query.close()


@pytest.mark.postgresql
def test_a_wrong_password_and_a_database_that_does_not_exist(postgresql: PostgresqlServer) -> None:
    message = refused(postgresql.url("postgres", "guessed"))
    assert "password authentication failed" in message
    assert "guessed" not in message
    message = refused(postgresql.url("nowhere"))
    assert 'database "nowhere" does not exist' in message
    assert PASSWORD not in message
    assert "horse" not in message


def test_the_version_of_the_schema(url: str) -> None:
    Store(url).close()
    Store(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT version FROM schema_version")).all() == [(4,)]
        connection.execute(text("UPDATE schema_version SET version = 7"))
        connection.execute(text("DROP TABLE outbox"))
    message = refused(url)
    assert message.endswith(" has schema 7, this version needs 4")
    assert message.startswith("database ")
    assert "outbox" not in inspect(engine).get_table_names(), "a database of another version was changed"
    engine.dispose()


def test_a_database_of_an_earlier_version_is_brought_up_to_date(url: str) -> None:
    old = Store(url)
    put(old, incident())
    old.close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE schema_version SET version = 1"))
        connection.execute(text("ALTER TABLE labels DROP COLUMN until_ns"))
        connection.execute(text("DROP TABLE figures"))
        connection.execute(text("DROP TABLE plans"))
    engine.dispose()
    Store(url).close()
    again = Store(url)
    quiet = Label("k", incident().id, LabelKind.SILENCE, "Ada", 5, "", 9)
    with again.transaction() as connection:
        assert again.put_label(connection, quiet)
    assert (again.incidents(), again.labels(incident().id), again.plans()) == ([incident()], [quiet], [])
    again.close()


def test_what_was_written_is_there_after_opening_again(url: str) -> None:
    store = Store(url)
    put(store, incident())
    store.close()
    store.close()
    again = Store(url)
    assert again.incidents() == [incident()]
    again.close()


def test_many_threads_that_open_an_empty_database_together(url: str) -> None:
    together = Barrier(6)

    def open_it() -> int:
        together.wait()
        store = Store(url)
        generation = store.acquire("correlate", "me").generation
        store.close()
        return generation

    with ThreadPoolExecutor(6) as pool:
        generations = [future.result() for future in [pool.submit(open_it) for _ in range(6)]]
    assert sorted(generations) == [1, 2, 3, 4, 5, 6]


def in_threads(work: Callable[[int], None], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(work, number) for number in range(threads)]:
            future.result()


def test_many_threads_that_write_and_read_together(store: Store) -> None:
    def work(number: int) -> None:
        for i in range(25):
            with store.transaction() as connection:
                store.put_incident(connection, incident(f"{number}-{i}"))
                store.put_incident(connection, incident("shared", 1 + i))
                store.enqueue(connection, "incidents", "k", f"{number}-{i}", b"x")
                store.enqueue(connection, "incidents", "k", f"shared-{i}", b"x")
                store.save_state(connection, "shared", b"x", {"n": i}, 1)
            store.pending()
            store.incidents(limit=5)

    in_threads(work, 4)
    assert len(store.incidents()) == 4 * 25 + 1
    assert len(store.pending()) == 4 * 25 + 25


def test_threads_that_take_over_from_one_another_write_one_after_the_other(store: Store) -> None:
    """Each write adds one to what was saved: with two holders at once an addition would be lost."""
    written = []

    def work(number: int) -> None:
        for _ in range(20):
            lease = store.acquire("detect/0", f"thread {number}")
            saved = store.load_state("detect/0")
            count = 0 if saved is None else saved.offsets["n"]
            try:
                with store.transaction(lease) as connection:
                    store.save_state(connection, "detect/0", b"", {"n": count + 1}, 1)
                    written.append(number)
            except Fenced:
                continue

    in_threads(work, 3)
    saved = store.load_state("detect/0")
    assert saved is not None
    assert saved.offsets["n"] == len(written) > 0


PROCESS = """
import sys
from daemon.store.store import Store
from daemon.records import Label, LabelKind
from tests.daemon.store.samples import incident, put
store = Store(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
for i in range(25):
    put(store, incident(f"{sys.argv[2]}-{i}"), incident("shared", 1 + i))
    store.incidents(limit=3)
store.close()
"""


def test_many_processes_that_open_and_write_together(url: str) -> None:
    command = [sys.executable, "-c", PROCESS, url]
    started = [
        subprocess.Popen([*command, str(i)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for i in range(3)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    ends = [process.communicate() for process in started]
    assert [(process.returncode, end[1]) for process, end in zip(started, ends, strict=True)] == [(0, "")] * 3
    store = Store(url)
    assert len(store.incidents()) == 3 * 25 + 1
    store.close()


def test_a_process_that_was_killed_leaves_nothing_half_written(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shiftwatch.db"
    code = PROCESS.replace(
        "for i in range(25):",
        "with store.transaction() as connection:\n    store.put_incident(connection, incident())\n    import os; os._exit(9)",
    )
    code = code.split("    put(store")[0]
    killed = subprocess.run([sys.executable, "-c", code, url], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    assert killed.returncode == 9
    store = Store(url)
    assert store.incidents() == []
    put(store, incident("a2"))
    assert [i.id for i in store.incidents()] == ["a2"]
    store.close()
    raw = sqlite3.connect(tmp_path / "shiftwatch.db")
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()
