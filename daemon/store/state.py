"""What a stage needs to keep its state: leases that fence a former owner out, and state that is saved with its offsets.

`daemon.store.store` keeps it with all else in a database that processes share; `daemon.agent.state` in a file of the agent's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol


class StoreError(Exception):
    """The database cannot be used; the message names it without its password."""


class Fenced(StoreError):  # noqa: N818 - what happened to the writer
    """Another process has taken over; this one must not write any more."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write for a stage and partition, until somebody takes a later one."""

    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class SavedState:
    """A stage's state and the next offset to read of each "topic/partition" that it reflects."""

    state: bytes
    offsets: Mapping[str, int]
    saved_ns: int


class StateStore(Protocol):
    """Leases and state by name."""

    def acquire(self, name: str, owner: str) -> Lease:
        """Takes over: whoever held the lease before can write no more."""

    def transaction(self, *leases: Lease) -> AbstractContextManager[Any]:
        """A transaction in which the leases are still held. Raises Fenced, and then nothing of it is written."""

    def load_state(self, name: str) -> SavedState | None:
        """What was last saved for a stage and partition."""

    def save_state(self, connection: Any, name: str, state: bytes, offsets: Mapping[str, int], now_ns: int) -> None:  # noqa: ANN401
        """Replaces the state of a stage and partition, in the caller's transaction."""
