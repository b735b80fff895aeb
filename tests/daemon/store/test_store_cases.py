"""Cases and what was learned from labels, in SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from daemon.records import Label, LabelKind
from daemon.store.cases import Likeness, cases_of, drop_case, has_verdict, labelled_cases, labelled_like, put_case, recent_cases
from daemon.store.rankings import VERSIONS_KEPT, load_ranking, newest_ranking, put_ranking, ranking_versions
from daemon.store.store import Store
from detectors.finding import Certainty, Severity
from detectors.reranking import Labelled, unused
from tests.daemon.ranking.labelling import HV, PUMP, S, case, incident_of, put

RULE = replace(case(1), probability=None, certainty=Certainty.SURE, severity=Severity.CRITICAL, condition="tripped")
LIKELY = replace(case(2, PUMP), probability=1.25e-300, duration_s=0.1, place="LAB/\u03b7 \u201c1\u201d")


def say(store: Store, *labels: Label) -> None:
    with store.transaction() as connection:
        for each in labels:
            assert store.put_label(connection, each)


def verdict(kind: LabelKind, of: str, at: int) -> Label:
    return Label(f"{of}/{kind}/{at}", of, kind, "Ada", at)


def test_cases_come_back_as_they_were(store: Store) -> None:
    put(store, [RULE, LIKELY])
    assert cases_of(store, ["i1", "i2", "i3"]) == {"i1": RULE, "i2": LIKELY}
    assert cases_of(store, [f"i{number}" for number in range(1200)]) == {"i1": RULE, "i2": LIKELY}
    changed = replace(RULE, detectors=4, place="LAB\0/x")
    with store.transaction() as connection:
        put_case(connection, "i1", changed)
    assert cases_of(store, ["i1"]) == {"i1": replace(changed, place="LAB/x")}


def test_the_newest_cases(store: Store) -> None:
    cases = [case(number) for number in range(30)]
    put(store, cases)
    assert recent_cases(store, 4) == cases[:-5:-1]


def test_the_last_word_counts_and_other_words_do_not(store: Store) -> None:
    put(store, [case(number) for number in range(4)])
    say(
        store,
        verdict(LabelKind.REAL, "i0", 10),
        verdict(LabelKind.NOT_A_PROBLEM, "i0", 30),
        verdict(LabelKind.NOT_A_PROBLEM, "i1", 20),
        verdict(LabelKind.ACKNOWLEDGE, "i1", 40),
        verdict(LabelKind.RESOLVE, "i2", 50),
        verdict(LabelKind.REAL, "i3", 25),
    )
    said = [Labelled(case(1), False, 20), Labelled(case(3), True, 25), Labelled(case(0), False, 30)]
    assert labelled_cases(store) == said
    assert labelled_cases(store, 2) == said[1:], "the newest ones"
    with store._engine.connect() as connection:
        assert [has_verdict(connection, f"i{number}") for number in range(4)] == [True, True, False, True]


def test_labels_on_others_like_it(store: Store) -> None:
    put(store, [case(0), case(1), case(2), case(3, PUMP), replace(case(4), condition="drift")])
    say(store, *(verdict(LabelKind.REAL, f"i{number}", number) for number in (0, 1, 3, 4)), verdict(LabelKind.NOT_A_PROBLEM, "i1", 9))
    assert labelled_like(store, "i2", case(2)) == Likeness(1, 2, 2, 3)
    assert labelled_like(store, "i0", case(0)) == Likeness(0, 1, 1, 2), "its own label does not count"


def test_what_became_part_of_another_incident_is_no_case_unless_it_was_labelled(store: Store) -> None:
    put(store, [case(0), case(1)])
    say(store, verdict(LabelKind.REAL, "i1", 5))
    with store.transaction() as connection:
        drop_case(connection, "i0")
        drop_case(connection, "i1")
    assert list(cases_of(store, ["i0", "i1"])) == ["i1"]


def test_versions_of_what_was_learned(store: Store) -> None:
    assert (newest_ranking(store), load_ranking(store), ranking_versions(store)) == (0, None, [])
    first = unused("not used: 3 labels, 1 of them real, are too few to prove it on", 3)
    assert put_ranking(store, first, 100) == 1
    assert put_ranking(store, first, 200) == 1, "the same again is no new version"
    assert put_ranking(store, replace(first, labels=4, weights=np.arange(9.0)), 300) == 2
    found = load_ranking(store)
    assert found is not None
    version, reranker = found
    assert (version, reranker.labels, reranker.used, reranker.why) == (2, 4, False, first.why)
    np.testing.assert_array_equal(reranker.weights, np.arange(9.0))
    assert [(one.version, one.trained_ns, one.labels, one.used) for one in ranking_versions(store)] == [
        (2, 300, 4, False),
        (1, 100, 3, False),
    ]
    for labels in range(5, 5 + VERSIONS_KEPT):
        put_ranking(store, replace(first, labels=labels), labels)
    assert len(ranking_versions(store)) == VERSIONS_KEPT
    assert newest_ranking(store) == 2 + VERSIONS_KEPT


def test_what_another_version_wrote_is_refused(store: Store) -> None:
    put_ranking(store, unused("not used"), 1)
    with store.transaction() as connection:
        connection.execute(text("UPDATE rankings SET state = :state"), {"state": b"rubbish"})
    with pytest.raises(ValueError, match="not a packed state"):
        load_ranking(store)


def test_a_database_without_cases_gets_them(url: str) -> None:
    old = Store(url)
    put(old, [case(0)])
    say(old, verdict(LabelKind.REAL, "i0", 5))
    old.close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE schema_version SET version = 3"))
        connection.execute(text("DROP TABLE cases"))
        connection.execute(text("DROP TABLE rankings"))
    engine.dispose()
    again = Store(url)
    assert again.incidents() == [incident_of(case(0))]
    assert (labelled_cases(again), cases_of(again, ["i0"]), newest_ranking(again)) == ([], {}, 0)
    put(again, [case(1, HV)])
    say(again, verdict(LabelKind.REAL, "i1", 60 * S))
    assert labelled_cases(again) == [Labelled(case(1), True, 60 * S)], "from then on labels are learned from"
    again.close()
