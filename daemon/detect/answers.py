"""What people have said of findings, as the detect stage hears it: which ones are no problem."""

from __future__ import annotations

from collections.abc import Collection

from daemon import messages
from daemon.messages import Answer, MessageError

KEPT_MOST = 100_000
"""Findings; what was said first is forgotten first."""


class Answers:
    """The findings that were called no problem. `due`: something is new, or watches are, and they are to be told."""

    def __init__(self) -> None:
        self._findings: dict[str, None] = {}
        self.due = False

    @property
    def findings(self) -> Collection[str]:
        """Their keys."""
        return self._findings.keys()

    def take(self, value: bytes | None) -> None:
        """Takes in a record of the topic `feedback`; what is no answer, or cannot be read, concerns others."""
        try:
            message = messages.decode(value or b"")
        except MessageError:
            return  # the correlate stage reads all of this topic, and says so
        if not isinstance(message, Answer):
            return
        self._findings.update(dict.fromkeys(message.findings))
        for key in list(self._findings)[: max(0, len(self._findings) - KEPT_MOST)]:
            del self._findings[key]
        self.due = True
