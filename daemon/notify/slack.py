"""The Slack receiver: one message an incident, edited as it goes, with a thread, a picture and buttons.

Nothing is said twice. A message carries the incident's id as metadata: where it is not known whether it was posted (the answer was
lost, the daemon ended), the channel's history tells, and the thread tells which lines it holds. ("Message metadata",
"chat.postMessage method", "conversations.history method" on docs.slack.dev.)
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from slack_sdk.web import SlackResponse

from collectors.collector import Options
from daemon.notify.receiver import Surroundings, Told
from daemon.notify.slack_answers import Answers
from daemon.notify.slack_blocks import View, blocks, fallback
from daemon.notify.slack_client import SlackError, call, web_client
from daemon.notify.slack_history import History
from daemon.notify.slack_pictures import Pictures
from daemon.notify.slack_socket import SocketLink
from daemon.notify.slack_thread import Reference, can_wait, line_key, reply, untold
from daemon.records import Incident, IncidentState
from daemon.secret_files import read_secret

log = logging.getLogger(__name__)

GONE = {"message_not_found", "thread_not_found"}
LOCKED = {"edit_window_closed", "cant_update_message"}
REFUSED_BLOCKS = {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"}


class SlackOptions(Options):
    """`[receiver.slack]`. The app needs the bot scopes chat:write, files:write and channels:history; buttons need Socket Mode."""

    token_file: Path
    """File with the bot's token (xoxb-…)."""
    app_token_file: Path | None = None
    """File with the app's token (xapp-…, scope connections:write). Without it nobody can answer in Slack, and only "Open" is shown."""
    channel: Annotated[str, Field(pattern=r"^[CDG][A-Z0-9]{6,}$")]
    """The channel's ID (in Slack: the channel's details, at the bottom), not its name."""
    base_url: str = "https://slack.com/api/"
    """Address of the Web API; GovSlack: https://slack-gov.com/api/."""
    timeout_s: float = Field(default=10.0, ge=1, le=60)
    """How long one request may take."""
    pictures: bool = True
    """Whether the evidence is shown in the message."""

    @field_validator("base_url")
    @classmethod
    def _keeps_tokens_secret(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_this_host(parts.hostname or "")):
            raise ValueError("must begin with https://, or tokens travel in the open (http:// only for this host)")
        return value if value.endswith("/") else f"{value}/"


class SlackReceiver:
    """Tells a channel of incidents, and listens to what people answer.

    Example:
        [receiver.slack]
        token_file = "/etc/shiftwatch/slack-token"
        app_token_file = "/etc/shiftwatch/slack-app-token"
        channel = "C0123456789"

    """

    options_model: ClassVar[type[Options]] = SlackOptions
    details: ClassVar[bool] = True

    def __init__(self, name: str, options: SlackOptions, surroundings: Surroundings) -> None:
        """Raises SecretError where a token cannot be read."""
        self.name = name
        self._options = options
        self._surroundings = surroundings
        token = read_secret(options.token_file, f"receiver.{name}.token_file")
        self._client = web_client(token, options.base_url, options.timeout_s)
        self._history = History(name, self._client, options.channel)
        self._pictures = Pictures(name, self._client, surroundings) if options.pictures else None
        self._link: SocketLink | None = None
        if options.app_token_file is not None:
            app_token = read_secret(options.app_token_file, f"receiver.{name}.app_token_file")
            answers = Answers(name, surroundings, options.timeout_s)
            self._link = SocketLink(name, lambda: self._address(app_token), answers.take, options.timeout_s)

    def tell(self, incident: Incident, told: Told) -> str:
        """The message first, then the thread, then the picture: neither of these holds up the message. Raises SlackError."""
        reference = Reference.read(told.reference)
        if told.in_doubt or (told.reference and not reference.ts):
            reference = self._history.recover(incident, reference, self._surroundings.now_ns())
        if told.in_doubt and incident.merged_into and not reference.ts:
            return reference.text()  # nobody has heard of it
        reference = self._show(incident, reference)
        reference = self._continue_thread(incident, reference)
        return self._picture(incident, reference).text()

    def listen(self) -> None:
        """Begins to hear buttons."""
        if self._link is not None:
            self._link.start()

    def close(self) -> None:
        """Stops listening."""
        if self._link is not None:
            self._link.close()

    def _address(self, app_token: str) -> str:
        client = web_client(None, self._options.base_url, self._options.timeout_s)
        return str(call("apps.connections.open", lambda: client.apps_connections_open(app_token=app_token))["url"])

    def _view(self, reference: Reference) -> View:
        shown = "" if reference.shared else reference.file
        return View(self._surroundings, self._surroundings.now_ns(), time.time_ns(), self._link is not None, shown)

    def _show(self, incident: Incident, reference: Reference) -> Reference:
        """Posts the message, or edits it."""
        if not reference.ts:
            return self._post(incident, reference)
        try:
            return self._edit(incident, reference)
        except SlackError as error:
            if error.code in LOCKED:  # the workspace forbids edits: the thread tells the rest
                log.warning("message not edited receiver=%s incident=%s reason=%s", self.name, incident.id, error.code)
                return reference
            if error.code not in GONE:
                raise
            if incident.state is IncidentState.RESOLVED:  # somebody removed the message of what is over anyway
                return reference
            return self._post(incident, Reference(last=reference.last, last_ns=reference.last_ns))

    def _post(self, incident: Incident, reference: Reference) -> Reference:
        def post(content: dict[str, Any]) -> SlackResponse:
            return self._client.chat_postMessage(
                channel=self._options.channel, parse="none", unfurl_links=False, unfurl_media=False, **content
            )

        answer = self._send("chat.postMessage", post, incident, reference)
        if incident.timeline and not reference.last:
            first = incident.timeline[0]
            reference = replace(reference, last=line_key(first), last_ns=first.time_ns)
        return replace(reference, channel=self._options.channel, ts=str(answer["ts"]))

    def _edit(self, incident: Incident, reference: Reference) -> Reference:
        self._send("chat.update", lambda content: self._update(reference, content), incident, reference)
        return reference

    def _update(self, reference: Reference, content: dict[str, Any]) -> SlackResponse:
        return self._client.chat_update(channel=reference.channel, ts=reference.ts, parse="none", **content)

    def _content(self, incident: Incident, reference: Reference) -> dict[str, Any]:
        view = self._view(reference)
        return {"text": fallback(incident, view), "blocks": blocks(incident, view), "metadata": reference.message_metadata(incident)}

    def _send(
        self, method: str, request: Callable[[dict[str, Any]], SlackResponse], incident: Incident, reference: Reference
    ) -> SlackResponse:
        """With all that belongs to it; where Slack refuses its form, without the picture, and at last as bare text: it must arrive."""
        attempts = [self._content(incident, reference)]
        if reference.file:
            attempts.append(self._content(incident, replace(reference, file="")))
        bare = {key: value for key, value in attempts[0].items() if key != "blocks"}
        for content in attempts:
            try:
                return call(method, lambda content=content: request(content))  # type: ignore[misc]
            except SlackError as error:
                if error.code not in REFUSED_BLOCKS:
                    raise
                log.warning("message simplified receiver=%s incident=%s reason=%s", self.name, incident.id, error.code)
        return call(method, lambda: request(bare))

    def _continue_thread(self, incident: Incident, reference: Reference) -> Reference:
        """One reply for all that has happened since the last one."""
        entries = untold(incident.timeline, reference)
        if can_wait(entries, reference) or not reference.ts:
            return reference
        told = replace(reference, last=line_key(entries[-1]), last_ns=entries[-1].time_ns, replies=reference.replies + 1)
        try:
            call(
                "chat.postMessage",
                lambda: self._client.chat_postMessage(
                    channel=reference.channel,
                    thread_ts=reference.ts,
                    text=reply(entries, incident, self._view(reference)),
                    metadata=told.reply_metadata(incident),
                    parse="none",
                    unfurl_links=False,
                    unfurl_media=False,
                ),
            )
        except SlackError as error:
            if error.code not in GONE:
                raise
        return told

    def _picture(self, incident: Incident, reference: Reference) -> Reference:
        """Puts the evidence into the message. A picture that fails is left out, and tried again with the next change."""
        if self._pictures is None or incident.merged_into or not reference.ts:
            return reference
        try:
            fresh = self._pictures.upload(incident, reference)
            if fresh is reference:
                return reference
            if self._pictures.place(lambda: self._update(reference, self._content(incident, fresh))):
                return fresh
            return self._pictures.share(incident, fresh)
        except SlackError as error:
            log.warning("picture left out receiver=%s incident=%s reason=%r", self.name, incident.id, str(error))
            return reference


def _is_this_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
