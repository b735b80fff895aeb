"""Labels in a database become an order, where they are worth it; it steps back after a change, and comes back with new labels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from daemon.ranking.learning import learn_from_labels
from daemon.ranking.standing import NOTHING_LEARNED, RECENT_MOST, Ranking
from daemon.store.store import Store
from tests.daemon.ranking.labelling import label, labelled, pumps_and_voltages, put


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/s.db")
    yield opened
    opened.close()


def looked_at(store: Store) -> Ranking:
    return Ranking(store, refresh_s=0.0)


def test_nothing_is_learned_where_there_is_no_label(store: Store) -> None:
    put(store, pumps_and_voltages(50))
    assert learn_from_labels(store) is None
    standing = looked_at(store).now()
    assert (standing.version, standing.acts, standing.why) == (0, False, NOTHING_LEARNED)


def test_too_few_labels(store: Store) -> None:
    labelled(store, 12)
    learned = learn_from_labels(store)
    assert learned is not None
    assert not learned.reranker.acts
    assert learned.reranker.why.startswith("not used: 12 labels, ")
    assert looked_at(store).now().why == learned.reranker.why


def test_labels_that_say_no_more_than_the_scores(store: Store) -> None:
    labelled(store, 120, informative=False)
    learned = learn_from_labels(store)
    assert learned is not None
    assert not learned.reranker.acts
    assert learned.reranker.why.startswith("not used, no better than the tail probability: real ones before others in ")


def test_labels_that_are_worth_it_are_used_also_after_a_restart(tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    labelled(store, 120)
    ranking = looked_at(store)
    assert not ranking.now().acts
    learned = learn_from_labels(store)
    assert learned is not None
    assert learned.version == 1
    assert ranking.now().acts, "a running daemon takes it"
    assert "order by labels version=1 acts=True why='used: real ones before others in " in caplog.text
    again = Store(f"sqlite:///{tmp_path}/s.db")
    standing = looked_at(again).now()
    again.close()
    assert standing.why == learned.reranker.why
    assert standing.why.endswith("on 48 later labels")
    same = learn_from_labels(store)
    assert same is not None
    assert same.version == 1, "the same labels make no new version"


def test_it_steps_back_after_a_change_and_comes_back_with_new_labels(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    labelled(store, 200)
    learn_from_labels(store)
    ranking = looked_at(store)
    assert ranking.now().acts
    changed = pumps_and_voltages(RECENT_MOST, 200, duration_s=1e6)
    put(store, changed)
    standing = ranking.now()
    assert not standing.acts
    assert standing.why.startswith("not used now: recent findings differ in duration from those that were labelled (distance ")
    assert standing.why.endswith("; label recent incidents and train again")
    assert "order by labels version=1 acts=False why='not used now: recent findings differ in duration" in caplog.text
    learned = learn_from_labels(store)
    assert learned is not None
    assert not learned.reranker.acts, "the same labels help nobody"
    label(store, changed)
    learned = learn_from_labels(store)
    assert learned is not None
    assert learned.reranker.acts, learned.reranker.why
    assert learned.reranker.why.endswith("; of 300 labels only the last 75 count, those before are not like recent incidents")
    assert ranking.now().acts
    assert ranking.now().version == learned.version == 2


def test_what_cannot_be_read_is_said_and_orders_nothing(store: Store) -> None:
    labelled(store, 120)
    learn_from_labels(store)
    with store.transaction() as connection:
        connection.execute(text("UPDATE rankings SET state = :state"), {"state": b"rubbish"})
    standing = looked_at(store).now()
    assert not standing.acts
    assert standing.why.startswith("not used: version 1 cannot be read (not a packed state")
    assert standing.why.endswith("train again")


def test_a_database_that_does_not_answer_leaves_it_as_it_was(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    labelled(store, 120)
    learn_from_labels(store)
    ranking = looked_at(store)
    before = ranking.now()
    with store.transaction() as connection:
        connection.execute(text("ALTER TABLE rankings RENAME TO elsewhere"))
    assert ranking.now() is ranking.last is before
    assert "order by labels not read" in caplog.text
