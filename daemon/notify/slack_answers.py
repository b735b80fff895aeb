"""Buttons as labels: what somebody clicked in Slack is passed on once, and who clicked hears when that was not possible."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from collectors.frame import digest_of
from daemon.notify.receiver import ReceiverError, Surroundings
from daemon.notify.slack_blocks import ACTIONS
from daemon.notify.slack_client import call, webhook_client
from daemon.records import Incident, Label, LabelKind

log = logging.getLogger(__name__)

SILENCE_NS = 3600 * 1_000_000_000
MAX_MERGES = 10


class Answers:
    """Takes interactions (a `block_actions` payload) and says what they mean."""

    def __init__(self, name: str, surroundings: Surroundings, timeout_s: float) -> None:
        self._name = name
        self._surroundings = surroundings
        self._timeout_s = timeout_s

    def take(self, payload: Mapping[str, Any]) -> None:
        """One interaction; raises nothing. Buttons that only open a page arrive too, and mean nothing."""
        if payload.get("type") != "block_actions" or not isinstance(payload.get("actions"), list):
            return
        for action in payload["actions"]:
            kind = ACTIONS.get(action.get("action_id", "")) if isinstance(action, dict) else None
            if kind is not None:
                complaint = self._pass_on(kind, action, _user(payload))
                if complaint:
                    self._tell(payload, complaint)

    def _pass_on(self, kind: LabelKind, action: Mapping[str, Any], user: Mapping[str, Any]) -> str:
        """Says it; "" where that is done, else what to tell the one who clicked."""
        who = next((str(user[key]) for key in ("username", "name", "id") if user.get(key)), "somebody in Slack")
        try:
            incident = self._living(str(action.get("value", "")))
            if incident is None:
                return "shiftwatch does not know this incident any more: nothing was noted."
            now_ns = self._surroundings.now_ns()
            key = digest_of("slack", user.get("id"), action.get("action_id"), action.get("action_ts"), incident.id)
            until_ns = now_ns + SILENCE_NS if kind is LabelKind.SILENCE else None
            self._surroundings.say(Label(key, incident.id, kind, who, now_ns, until_ns=until_ns))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the one who clicked must hear that it was not noted
            log.error("answer lost receiver=%s kind=%s who=%s reason=%r", self._name, kind, who, type(error).__name__)
            return "shiftwatch could not note this. Please click again in a minute, or use the incident's page."
        log.info("answer receiver=%s kind=%s who=%s incident=%s", self._name, kind, who, incident.id)
        return ""

    def _living(self, incident_id: str) -> Incident | None:
        """The incident, or the one that has taken it over meanwhile."""
        incident = self._surroundings.incident(incident_id)
        for _ in range(MAX_MERGES):
            if incident is None or not incident.merged_into:
                break
            incident = self._surroundings.incident(incident.merged_into) or incident
        return incident

    def _tell(self, payload: Mapping[str, Any], text: str) -> None:
        """A message that only the one who clicked sees."""
        url = payload.get("response_url")
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            return
        client = webhook_client(url, self._timeout_s)
        try:
            call("response", lambda: client.send(text=text, response_type="ephemeral", replace_original=False))
        except ReceiverError as error:
            log.warning("answer unanswered receiver=%s reason=%r", self._name, str(error))


def _user(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    user = payload.get("user")
    return user if isinstance(user, dict) else {}
