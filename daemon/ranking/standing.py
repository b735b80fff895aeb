"""What was learned from labels, as it stands now: the newest version, and whether recent incidents are still like those labelled."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from daemon.store.cases import recent_cases
from daemon.store.engine import one_line
from daemon.store.rankings import load_ranking, newest_ranking
from daemon.store.store import Store
from detectors.reranking import Case, Reranker, unused

log = logging.getLogger(__name__)

RECENT_MOST = 100
"""Incidents that are compared with those labelled."""
REFRESH_S = 5.0
NOTHING_LEARNED = "not used: nothing was learned from labels yet"


@dataclass(frozen=True, slots=True)
class Standing:
    """A version (0: none) and what it says of itself now."""

    version: int
    reranker: Reranker

    @property
    def acts(self) -> bool:
        """Whether labels order incidents now."""
        return self.reranker.acts

    @property
    def why(self) -> str:
        """Whether it is used and why, in words."""
        return self.reranker.why


class Ranking:
    """Reads what was learned from a database and looks at it anew every few seconds. Safe for any number of threads."""

    def __init__(self, store: Store, refresh_s: float = REFRESH_S) -> None:
        self._store = store
        self._refresh_s = refresh_s
        self._lock = threading.Lock()
        self._learned = Standing(0, unused(NOTHING_LEARNED))
        self._recent: list[Case] = []
        self._last = self._learned
        self._due_s = 0.0

    @property
    def last(self) -> Standing:
        """How it stood when `now` was asked last; never waits for the database."""
        return self._last

    def now(self) -> Standing:
        """How it stands; of the last few seconds, or as it was known last where the database does not answer."""
        with self._lock:
            if time.monotonic() >= self._due_s:
                try:
                    self._look()
                except SQLAlchemyError as error:
                    log.warning("order by labels not read reason=%r", one_line(error))
                self._due_s = time.monotonic() + self._refresh_s
            return self._last

    def _look(self) -> None:
        version, recent = newest_ranking(self._store), recent_cases(self._store, RECENT_MOST)
        if version == self._learned.version and recent == self._recent:
            return
        if version != self._learned.version:
            self._learned = _loaded(self._store, version)
        before, self._recent = self._last, recent
        self._last = Standing(self._learned.version, self._learned.reranker.after(recent))
        if (before.version, before.acts) != (self._last.version, self._last.acts):
            log.info("order by labels version=%d acts=%s why=%r", self._last.version, self._last.acts, self._last.why)


def _loaded(store: Store, version: int) -> Standing:
    """The newest version; one that cannot be read orders nothing, and says so."""
    try:
        found = load_ranking(store)
    except (ValueError, LookupError, TypeError) as error:
        return Standing(version, unused(f"not used: version {version} cannot be read ({error}); train again"))
    return Standing(0, unused(NOTHING_LEARNED)) if found is None else Standing(*found)
