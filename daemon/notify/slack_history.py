"""What is in the channel already, found by the metadata of messages: for when nobody knows whether something was posted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from slack_sdk import WebClient

from daemon.notify.slack_client import SlackError, call
from daemon.notify.slack_thread import Reference
from daemon.records import Incident

log = logging.getLogger(__name__)

MAX_PAGES = 20
PAGE = 200
EARLIER_S = 300
"""Clocks differ: the search begins this much before the incident was opened."""
REPLAY_S = 3600
"""Event time that is further from wall time is that of a replay, and says nothing of when something was posted."""


class History:
    """Looks up incidents in a channel."""

    def __init__(self, name: str, client: WebClient, channel: str) -> None:
        self._name = name
        self._client = client
        self._channel = channel

    def recover(self, incident: Incident, reference: Reference, now_ns: int) -> Reference:
        """The reference as Slack knows it; without a message where there is none. Raises SlackError."""
        try:
            if not reference.ts:
                reference = self._message(incident, reference, _oldest_s(incident, now_ns))
            return self._thread(incident, reference) if reference.ts else reference
        except SlackError as error:
            if error.code not in {"missing_scope", "thread_not_found"}:
                raise
            # Told twice is better than never: without the scope nobody can look.
            log.warning("channel not searched receiver=%s incident=%s reason=%r", self._name, incident.id, str(error))
            return reference

    def _message(self, incident: Incident, reference: Reference, oldest_s: float) -> Reference:
        oldest = f"{oldest_s:.6f}" if oldest_s > 0 else None
        pages = self._pages(
            "conversations.history",
            lambda cursor: self._client.conversations_history(
                channel=self._channel, include_all_metadata=True, limit=PAGE, cursor=cursor, oldest=oldest
            ),
        )
        for message in pages:
            told = _told(message, "shiftwatch_incident", incident)
            if told is not None:
                files = [b["slack_file"].get("id", "") for b in message.get("blocks", []) if isinstance(b.get("slack_file"), dict)]
                file, drawn = (str(files[0]), str(told.get("drawn", ""))) if files else ("", "")
                return replace(reference, channel=self._channel, ts=str(message["ts"]), file=file, drawn=drawn)
        return reference

    def _thread(self, incident: Incident, reference: Reference) -> Reference:
        pages = self._pages(
            "conversations.replies",
            lambda cursor: self._client.conversations_replies(
                channel=reference.channel, ts=reference.ts, include_all_metadata=True, limit=PAGE, cursor=cursor
            ),
        )
        for message in pages:
            told = _told(message, "shiftwatch_thread", incident)
            if told is not None and int(told.get("replies", 0)) > reference.replies:
                last_ns = int(told.get("last_ns", 0))
                reference = replace(reference, last=str(told.get("last", "")), last_ns=last_ns, replies=int(told["replies"]))
        return reference

    def _pages(self, method: str, request: Callable[[str | None], Any]) -> Iterator[Mapping[str, Any]]:
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            answer = call(method, lambda cursor=cursor: request(cursor))  # type: ignore[misc]
            yield from answer.get("messages") or []
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or None
            if cursor is None:
                return


def _told(message: Mapping[str, Any], kind: str, incident: Incident) -> Mapping[str, Any] | None:
    """What a message says of the incident in its metadata."""
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    return payload if metadata.get("event_type") == kind and payload.get("incident") == incident.id else None


def _oldest_s(incident: Incident, now_ns: int) -> float:
    """Since when a message about it can be there (wall time), 0 where that is not known."""
    wall_s = time.time()
    if abs(wall_s - now_ns / 1e9) > REPLAY_S:
        return 0.0
    return min(incident.opened_ns / 1e9, wall_s) - EARLIER_S
