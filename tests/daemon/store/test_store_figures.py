"""The pictures that are kept of an incident: a bounded number, with that of its cause."""

from __future__ import annotations

from daemon.store.store import MAX_FIGURES, Store
from tests.daemon.store.samples import incident, put


def pictures(store: Store, of: str = "a1") -> list[str]:
    return [finding for finding, _ in store.figures(of)]


def fill(store: Store, of: str, *findings: str) -> None:
    with store.transaction() as connection:
        for number, finding in enumerate(findings):
            store.put_figure(connection, of, finding, f"figure of {finding}", number)


MANY = [f"f{number:02d}" for number in range(MAX_FIGURES)]


def test_the_picture_of_the_cause_finds_room_however_many_there_are(store: Store) -> None:
    put(store, incident(cause_finding="cause"))
    fill(store, "a1", *MANY)
    with store.transaction() as connection:
        store.put_figure(connection, "a1", "later", "figure", 100)
        store.put_figure(connection, "a1", "cause", "figure", 100, is_cause=True)
        store.put_figure(connection, "a1", MANY[3], "drawn again", 101)
    assert pictures(store) == ["cause", *(f for f in MANY[:-1] if f != MANY[3]), MANY[3]]
    assert dict(store.figures("a1"))[MANY[3]] == "drawn again"


def test_an_incident_that_takes_others_over_keeps_no_more_pictures_than_another(store: Store) -> None:
    put(store, incident(cause_finding="cause"), incident("b2"), incident("c3"))
    fill(store, "a1", *MANY)
    fill(store, "b2", *(f"b{number:02d}" for number in range(MAX_FIGURES - 1)), "cause")
    with store.transaction() as connection:
        store.move_figures(connection, "b2", "a1", "cause")
        store.move_figures(connection, "c3", "a1", "cause")
    assert len(pictures(store)) == MAX_FIGURES
    assert pictures(store)[0] == "cause"
    assert pictures(store, "b2") == []
