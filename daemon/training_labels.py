"""The order of incidents, trained from labels in the same process as the models."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.ranking.learning import learn_from_labels
from daemon.settings import Settings
from daemon.store.store import Store
from daemon.train.outcome import RANKING, NothingToTrain, Outcome, Request


def with_labels(settings: Settings, request: Request, models: Iterator[Outcome]) -> Iterator[Outcome]:
    """What is learned from labels, and then the outcomes of `models`, where these are asked for. Raises StoreError.

    Where nothing is named, having no detector that learns is an error only if there are no labels, either.
    """
    learned = list(train_labels(settings, request))
    yield from learned
    if request.labels:
        return
    try:
        yield from models
    except NothingToTrain:
        if not learned:
            raise


def train_labels(settings: Settings, request: Request) -> Iterator[Outcome]:
    """One outcome where labels are asked for, or nothing is named and there are any. Raises StoreError."""
    if not request.labels and (request.source or request.detector):
        return
    store = Store(settings.store.resolve())
    try:
        learned = learn_from_labels(store)
    finally:
        store.close()
    if learned is not None:
        state = "in_use" if learned.reranker.acts else "kept_out"
        yield Outcome(*RANKING, state, learned.reranker.why, learned.version, learned.reranker.labels)
    elif request.labels:
        yield Outcome(*RANKING, "kept_out", "not used: nobody has called an incident real or not a problem yet")
