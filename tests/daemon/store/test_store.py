"""The database: fenced transactions, state with offsets, incidents, labels, deliveries and the outbox. SQLite and PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, text

from daemon.records import IncidentState
from daemon.store.packing import pack, unpack
from daemon.store.store import Fenced, Lease, Store
from tests.daemon.store.samples import incident, label, put


def labels(connection: Connection) -> list[tuple[str, str, str]]:
    return [tuple(row) for row in connection.execute(text("SELECT key, who, comment FROM labels ORDER BY key"))]


# fencing


def test_generations_rise_with_every_owner(store: Store) -> None:
    leases = [store.acquire("correlate", owner) for owner in ("one", "two", "one")]
    assert [lease.generation for lease in leases] == [1, 2, 3]
    assert store.acquire("notify", "one").generation == 1


def test_an_old_lease_can_write_nothing(store: Store) -> None:
    old = store.acquire("correlate", "one")
    new = store.acquire("correlate", "two")
    with pytest.raises(Fenced, match=r"^correlate: generation 1 was replaced$"), store.transaction(old) as connection:
        store.put_incident(connection, incident())
    with pytest.raises(Fenced):
        store.sent([1], old)
    assert store.incidents() == []
    with store.transaction(new) as connection:
        store.put_incident(connection, incident())
    assert len(store.incidents()) == 1


def test_one_lost_lease_of_several_is_enough(store: Store) -> None:
    kept, lost = store.acquire("detect/0", "one"), store.acquire("detect/1", "one")
    with store.transaction(kept, lost) as connection:
        store.save_state(connection, kept.name, b"x", {}, 1)
    store.acquire("detect/1", "two")
    with pytest.raises(Fenced, match="detect/1"), store.transaction(kept, lost) as connection:
        store.save_state(connection, kept.name, b"y", {}, 2)
    saved = store.load_state("detect/0")
    assert saved is not None
    assert saved.state == b"x"


def test_a_lease_that_was_never_given_is_worth_nothing(store: Store) -> None:
    with pytest.raises(Fenced), store.transaction(Lease("correlate", 1)):
        pytest.fail("entered")
    store.acquire("correlate", "one")
    with pytest.raises(Fenced), store.transaction(Lease("correlate", 2)):
        pytest.fail("entered")


def test_leases_outlive_the_process(url: str) -> None:
    first = Store(url)
    old = first.acquire("correlate", "one")
    first.close()
    second = Store(url)
    assert second.acquire("correlate", "two").generation == 2
    with pytest.raises(Fenced), second.transaction(old):
        pytest.fail("entered")
    second.close()


# transactions


def test_nothing_of_a_transaction_that_fails_remains(store: Store) -> None:
    lease = store.acquire("correlate", "one")
    put(store, incident("a0"))

    def write_and_crash() -> None:
        with store.transaction(lease) as connection:
            store.put_incident(connection, incident())
            store.put_incident(connection, incident("a0", 2))
            store.put_label(connection, label(of="a0"))
            store.enqueue(connection, "incidents", "a1", "a1/1", b"x")
            store.record_delivery(connection, incident(), "slack", "ts", 1)
            store.save_state(connection, "correlate", b"state", {"findings/0": 7}, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_crash()
    assert [(i.id, i.revision) for i in store.incidents()] == [("a0", 1)]
    assert store.pending() == []
    assert store.delivered("a1", "slack") == (0, "")
    assert store.load_state("correlate") is None
    with store.transaction() as connection:
        assert labels(connection) == []


def test_state_and_offsets_are_replaced_together(store: Store) -> None:
    assert store.load_state("detect/0") is None
    for generation in (1, 2):
        state = pack({"generation": generation})
        with store.transaction() as connection:
            store.save_state(connection, "detect/0", state, {"frames/0": 2**60 + generation, "conditions/0": 0}, 2**62)
        saved = store.load_state("detect/0")
        assert saved is not None
        assert unpack(saved.state) == {"generation": generation}
        assert saved.offsets == {"frames/0": 2**60 + generation, "conditions/0": 0}
        assert saved.saved_ns == 2**62
    assert store.load_state("detect/1") is None


def test_large_state(store: Store) -> None:
    state = bytes(range(256)) * 40_000
    with store.transaction() as connection:
        store.save_state(connection, "detect/0", state, {}, 1)
    saved = store.load_state("detect/0")
    assert saved is not None
    assert saved.state == state


def test_what_is_being_written_can_be_read_beside_it(store: Store) -> None:
    """The stage that saves a label asks for its incident while its own transaction is open: it must not wait for itself."""
    put(store, incident())
    with store.transaction(store.acquire("correlate", "one")) as connection:
        store.put_incident(connection, incident(revision=2))
        before = store.incident("a1")
        assert before is not None
        assert before.revision == 1
        assert store.pending() == []
        assert store.load_state("correlate") is None
        assert store.delivered("a1", "slack") == (0, "")
        assert len(store.incidents()) == 1
    after = store.incident("a1")
    assert after is not None
    assert after.revision == 2


# incidents


def test_an_incident_comes_back_as_it_was_and_is_replaced(store: Store) -> None:
    first = incident(sentence="Größe \x00 ☹ 'quoted' \"twice\"; DROP TABLE incidents", resolved_ns=2**62)
    put(store, first)
    assert store.incident("a1") == first
    assert store.incident("a2") is None
    second = incident(revision=2, state=IncidentState.RESOLVED, opened_ns=5)
    put(store, second)
    assert store.incidents() == [second]
    assert store.incidents([IncidentState.OPEN]) == []


def test_incidents_in_order_of_opening_the_newest_of_them(store: Store) -> None:
    put(store, *(incident(f"a{i}", opened_ns=opened) for i, opened in enumerate([30, 10, 20, 20])))
    assert [i.id for i in store.incidents()] == ["a1", "a2", "a3", "a0"]
    assert [i.id for i in store.incidents(limit=2)] == ["a3", "a0"]
    assert store.incidents(limit=0) == []


def test_incidents_by_state(store: Store) -> None:
    put(store, *(incident(str(state), state=state, opened_ns=i) for i, state in enumerate(IncidentState)))
    assert [i.id for i in store.incidents([IncidentState.RESOLVED, IncidentState.OPEN])] == ["open", "resolved"]


def test_merged_incidents_take_no_place_of_others(store: Store) -> None:
    put(store, *(incident(f"a{i}", opened_ns=i, merged_into="a0" if i % 2 else "") for i in range(10)))
    assert [i.id for i in store.incidents(limit=3)] == ["a4", "a6", "a8"]
    assert [i.id for i in store.incidents(limit=3, merged=True)] == ["a7", "a8", "a9"]


def test_many_incidents(store: Store) -> None:
    put(store, *(incident(f"a{i:04}", opened_ns=i) for i in range(700)))
    assert [i.opened_ns for i in store.incidents()] == list(range(700))
    assert [i.opened_ns for i in store.incidents(limit=250)] == list(range(450, 700))


# labels


def test_a_label_is_kept_once(store: Store) -> None:
    put(store, incident())
    with store.transaction() as connection:
        assert store.put_label(connection, label(comment="calling"))
        assert not store.put_label(connection, label(comment="again"))
        assert store.put_label(connection, label("k2", who="Bob"))
    with store.transaction() as connection:
        assert not store.put_label(connection, label(comment="once more"))
        assert labels(connection) == [("k1", "Ann", "calling"), ("k2", "Bob", "")]


def test_a_label_may_come_with_its_incident_and_not_without(store: Store) -> None:
    with store.transaction() as connection:
        assert not store.put_label(connection, label())
        store.put_incident(connection, incident())
        assert store.put_label(connection, label())
        assert not store.put_label(connection, label("k2", of="never seen"))
    with store.transaction() as connection:
        assert [key for key, _, _ in labels(connection)] == ["k1"]


def test_labels_that_people_can_type_do_not_stop_the_stage(store: Store) -> None:
    """PostgreSQL has neither the character 0 nor room for more than the column was declared for."""
    put(store, incident())
    long = label("k" * 100, who="Ann" * 100, comment="a\x00b")
    with store.transaction() as connection:
        assert store.put_label(connection, long)
        assert not store.put_label(connection, long)
        assert labels(connection) == [("k" * 64, ("Ann" * 100)[:200], "ab")]


# deliveries


def test_deliveries_are_per_receiver_and_the_last_one_counts(store: Store) -> None:
    for revision, reference in ((1, "ts1"), (4, "ts1\n☹")):
        with store.transaction() as connection:
            store.record_delivery(connection, incident(revision=revision), "slack", reference, 5)
    assert store.delivered("a1", "slack") == (4, "ts1\n☹")
    assert store.delivered("a1", "mail") == (0, "")
    assert store.delivered("a2", "slack") == (0, "")


# the outbox


def enqueue(store: Store, *dedups: str, topic: str = "incidents") -> None:
    with store.transaction() as connection:
        for dedup in dedups:
            store.enqueue(connection, topic, f"key of {dedup}", dedup, dedup.encode())


def waiting(store: Store, limit: int = 500) -> list[str]:
    return [value.decode() for _, _, _, value in store.pending(limit)]


def test_messages_wait_in_order_until_they_are_sent(store: Store) -> None:
    enqueue(store, "a/1", "b/1")
    enqueue(store, "a/2")
    first, *rest = store.pending()
    assert first[1:] == ("incidents", "key of a/1", b"a/1")
    assert waiting(store) == ["a/1", "b/1", "a/2"]
    assert waiting(store, 2) == ["a/1", "b/1"]
    store.sent([rest[0][0], first[0]])
    assert waiting(store) == ["a/2"]
    store.sent([])
    store.sent([first[0], 10**9])
    assert waiting(store) == ["a/2"]


def test_the_same_message_waits_once(store: Store) -> None:
    enqueue(store, "a/1", "a/1", "b/1")
    enqueue(store, "a/1")
    enqueue(store, "a/1", topic="plans")
    assert waiting(store) == ["a/1", "b/1", "a/1"]


def test_a_sender_that_was_slow_does_not_delete_a_newer_message(store: Store) -> None:
    enqueue(store, "a/1")
    numbers = [number for number, *_ in store.pending()]
    store.sent(numbers)
    enqueue(store, "a/2")
    store.sent(numbers)
    assert waiting(store) == ["a/2"]


def test_only_the_holder_of_the_lease_sends(store: Store) -> None:
    old = store.acquire("correlate", "one")
    enqueue(store, "a/1")
    store.acquire("correlate", "two")
    with pytest.raises(Fenced):
        store.sent([number for number, *_ in store.pending()], old)
    assert waiting(store) == ["a/1"]


def test_what_no_person_types_finds_no_incident_and_does_not_stop_the_stage(store: Store) -> None:
    """Anybody who may write to the topic `feedback` may send such a label, again and again."""
    put(store, incident())
    assert store.incident("a1\x00") is None
    with store.transaction() as connection:
        assert not store.put_label(connection, label(of="a1\x00"))
        assert store.put_label(connection, label("k\x00"))
    assert (store.has_label("k\x00"), store.has_label("k"), store.has_label("other")) == (True, True, False)
