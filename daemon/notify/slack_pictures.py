"""The evidence as a picture within the message.

The file is uploaded without being shared, so that it appears in no other place, and an image block names it ("Image block", "Slack file
object", "files.completeUploadExternal method" on docs.slack.dev). Slack works on an upload for a moment after it is complete and
refuses the block meanwhile with `invalid_blocks` (slackapi/python-slack-sdk issue 1658); where it goes on refusing, the picture
goes into the thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from slack_sdk import WebClient

from collectors.frame import digest_of
from daemon.notify.receiver import Surroundings
from daemon.notify.slack_blocks import alt_text
from daemon.notify.slack_client import SlackError, call
from daemon.notify.slack_text import plain
from daemon.notify.slack_thread import Reference
from daemon.records import Incident, IncidentState

log = logging.getLogger(__name__)

WAITS_S = (0.0, 0.3, 0.6, 1.2)
"""Before each attempt to place a picture."""


class Pictures:
    """Uploads pictures and finds a place for them. Drawn anew when there is a newer one of the cause, and at the end."""

    def __init__(self, name: str, client: WebClient, surroundings: Surroundings, sleep: Callable[[float], None] = time.sleep) -> None:
        self._name = name
        self._client = client
        self._surroundings = surroundings
        self._sleep = sleep

    def upload(self, incident: Incident, reference: Reference) -> Reference:
        """The reference with a fresh picture, or as it is where none is needed or there is none. Raises SlackError."""
        drawn = _drawn(incident)
        if reference.file and (reference.drawn == drawn or reference.shared):
            return reference
        content = self._draw(incident)
        if not content:
            return reference
        answer = call(
            "files_upload_v2",
            lambda: self._client.files_upload_v2(
                content=content, filename=f"{digest_of(incident.id, drawn)}.png", title=_title(incident), alt_txt=alt_text(incident)
            ),
        )
        return replace(reference, file=str(answer["files"][0]["id"]), drawn=drawn)

    def place(self, edit: Callable[[], Any]) -> bool:
        """Edits the message so that it shows the picture; False where Slack will not have it there. Raises SlackError."""
        for wait_s in WAITS_S:
            self._sleep(wait_s)
            try:
                call("chat.update", edit)
            except SlackError as error:
                if error.code != "invalid_blocks":
                    raise
            else:
                return True
        return False

    def share(self, incident: Incident, reference: Reference) -> Reference:
        """Puts the picture into the thread instead. Raises SlackError."""
        call(
            "files.completeUploadExternal",
            lambda: self._client.files_completeUploadExternal(
                files=[{"id": reference.file, "title": _title(incident)}],
                channel_id=reference.channel,
                thread_ts=reference.ts,
            ),
        )
        log.info("picture in the thread receiver=%s incident=%s", self._name, incident.id)
        return replace(reference, shared=True)

    def _draw(self, incident: Incident) -> bytes | None:
        try:
            return self._surroundings.picture(incident)
        except Exception as error:  # noqa: BLE001 - a picture that cannot be drawn must not hold up the message
            log.warning("picture not drawn receiver=%s incident=%s reason=%r", self._name, incident.id, type(error).__name__)
            return None


def _title(incident: Incident) -> str:
    return plain(incident.sentence, 100) or "Evidence"


def _drawn(incident: Incident) -> str:
    """What is on a picture: of which cause, when it was taken, and whether it shows the end."""
    return digest_of(incident.cause_finding, incident.pictured_ns, incident.state is IncidentState.RESOLVED)
