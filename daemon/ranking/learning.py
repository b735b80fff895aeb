"""Learns the order of incidents from labels: reads them, trains, and keeps what was learned as a new version."""

from __future__ import annotations

import time
from dataclasses import dataclass

from daemon.ranking.standing import RECENT_MOST
from daemon.store.cases import labelled_cases, recent_cases
from daemon.store.rankings import newest_ranking, put_ranking
from daemon.store.store import Store
from detectors.reranking import Reranker


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of it: the version that is in use now, and what it says of itself beside recent incidents."""

    version: int
    reranker: Reranker


def learn_from_labels(store: Store) -> Learned | None:
    """Trains on all labels; None where there has never been one."""
    labelled = labelled_cases(store)
    if not labelled and not newest_ranking(store):
        return None
    from detectors.reranker_training import train  # noqa: PLC0415 - slow to import, and only where there are labels

    recent = recent_cases(store, RECENT_MOST)
    trained = train(labelled, recent)
    return Learned(put_ranking(store, trained, time.time_ns()), trained.after(recent))
