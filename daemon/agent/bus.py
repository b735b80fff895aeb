"""The agent's bus: what it publishes goes to the broker by way of the spool, and what its own detect stage reads stays here too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daemon.agent.memory import Tidier
from daemon.agent.summaries import Summaries
from daemon.bus.bus import OnAssign, OnRevoke, Subscription
from daemon.bus.memory import MemoryBus, MemoryOptions
from daemon.bus.spool import SpoolBus
from daemon.bus.topics import standard_topics

LOCAL = MemoryOptions(max_records=2_000, max_bytes=8 * 1024 * 1024, when_full="drop_oldest")
"""A detect stage that hangs must not stop the collectors."""
READ_HERE = frozenset({"layouts", "conditions", "frames"})


class AgentBus:
    """See `bus.Bus`. Subscriptions read only what this process published: an agent knows its own sources and no others."""

    def __init__(self, spool: SpoolBus, *, judges: bool, summaries: Summaries | None = None) -> None:
        """`judges`: a detect stage runs in this process. `summaries` stand for what the broker gets late, or never."""
        self._spool = spool
        self._local = MemoryBus(LOCAL, standard_topics(frames_partitions=1))
        self._kept_here = READ_HERE if judges else frozenset()
        self._summaries = summaries
        self._tidier = Tidier()

    @property
    def problem(self) -> str:
        """Why the spool keeps what it has; empty where it delivers."""
        return self._spool.problem

    def publish(self, topic: str, key: str, value: bytes | None) -> None:
        """To the spool, and to the readers in this process."""
        self._spool.publish(topic, key, value)
        if topic in self._kept_here:
            self._local.publish(topic, key, value)
        if self._summaries is not None and value:
            for summary in self._summaries.take(topic, value, away=self._spool.away):
                self._spool.publish(*summary)

    def flush(self, timeout_s: float) -> None:
        """Returns when the disk has what was published."""
        self._spool.flush(timeout_s)
        self._tidier.tidy()  # stages flush every few seconds

    def subscribe(
        self, topics: Sequence[str], group: str | None, *, on_assign: OnAssign | None = None, on_revoke: OnRevoke | None = None
    ) -> Subscription:
        """Reads what this process publishes."""
        return self._local.subscribe(topics, group, on_assign=on_assign, on_revoke=on_revoke)

    def status(self) -> dict[str, Any]:
        """How the way to the broker is."""
        return self._spool.status()

    def close(self) -> None:
        """Delivers what it can, keeps the rest."""
        self._local.close()
        self._spool.close()
