"""How far all streams have been judged: reports up to there can be taken in the order of their time."""

from __future__ import annotations

from collections.abc import Mapping


class Watermark:
    """The progress of every stream, and the event time up to which nothing older can still come.

    A stream is waited for until it has been silent for `idle_after_ns` of wall time, and never longer than
    `max_wait_ns` of event time behind the fastest one, so that one that hangs delays no alarm of the others.
    """

    def __init__(self, *, max_wait_ns: int | None, idle_after_ns: int | None) -> None:
        self._max_wait_ns = max_wait_ns
        self._idle_after_ns = idle_after_ns
        self._progress_ns: dict[str, int] = {}
        self._heard_ns: dict[str, int] = {}

    def advance(self, stream: str, at_ns: int, wall_ns: int) -> None:
        """A stream has been judged up to a time; what goes back is ignored."""
        self._progress_ns[stream] = max(at_ns, self._progress_ns.get(stream, at_ns))
        self._heard_ns[stream] = wall_ns

    def is_repeat(self, stream: str, at_ns: int) -> bool:
        """Whether something of this time was reported before: a stage that restarts says again what it had said."""
        progress_ns = self._progress_ns.get(stream)
        return progress_ns is not None and at_ns <= progress_ns

    def now_ns(self, wall_ns: int) -> int | None:
        """Event time up to which all is known; None before the first progress."""
        if not self._progress_ns:
            return None
        fastest_ns = max(self._progress_ns.values())
        if self._max_wait_ns is None or self._idle_after_ns is None:
            return min(self._progress_ns.values())
        heard = [s for s in self._progress_ns if wall_ns - self._heard_ns[s] <= self._idle_after_ns]
        slowest_ns = min((self._progress_ns[s] for s in heard), default=fastest_ns)
        return max(slowest_ns, fastest_ns - self._max_wait_ns)

    def state(self) -> dict[str, int]:
        """Progress by stream."""
        return dict(self._progress_ns)

    def restore(self, state: Mapping[str, int], wall_ns: int) -> None:
        """Goes on from a state; every stream counts as just heard."""
        self._progress_ns = {stream: int(at_ns) for stream, at_ns in state.items()}
        self._heard_ns = dict.fromkeys(self._progress_ns, wall_ns)
