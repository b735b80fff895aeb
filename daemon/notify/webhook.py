"""Incidents as JSON to any address: for chat systems, pagers and scripts that have no receiver of their own.

One POST a change. The body has `event` (opened, changed, resolved), `revision`, the experiment, the incident as
`shiftwatch incidents --json` prints it, and the addresses of its page and runbook. The header Idempotency-Key is
ID/REVISION: what is sent again because an answer was lost has the same key, and a listener takes it once. With a secret,
the header X-Shiftwatch-Signature is `t=SECONDS,v1=HEX`: HMAC-SHA256 of `SECONDS.BODY`, so that a listener knows who
sent it and refuses what is old.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import model_validator

from collectors.collector import Options
from daemon.notify.http_service import Access, HttpService, checked_address
from daemon.notify.receiver import ReceiverError, Surroundings, Told
from daemon.notify.wording import clean, is_over
from daemon.records import Incident

TEXT_CHARACTERS = 20_000
"""Of any text in the body."""


class WebhookOptions(Access):
    """Where to post, and how the listener can tell that it was us."""

    url: str = ""
    url_file: Path | None = None
    """Instead of url, where the address itself is the secret."""
    secret_file: Path | None = None
    """Secret of the signature. Read anew each time."""

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        if bool(self.url) == (self.url_file is not None):
            raise ValueError("give either url or url_file")
        if self.url:
            checked_address(self.url, with_secret=self.is_secret)
        return self


class WebhookReceiver:
    """Posts every change that matters to one address.

    Example:
        [receiver.webhook]
        url = "http://localhost:8080/incidents"
        secret_file = "/etc/shiftwatch/webhook-secret"

    """

    options_model: ClassVar[type[Options]] = WebhookOptions
    details: ClassVar[bool] = False

    def __init__(self, name: str, options: WebhookOptions, surroundings: Surroundings) -> None:
        self.name = name
        self._options = options
        self._surroundings = surroundings
        self._http = HttpService(f"receiver.{name}", options)

    def tell(self, incident: Incident, told: Told) -> str:
        """One POST; the reference is the revision that the listener has."""
        if told.reference == str(incident.revision) and not told.in_doubt:
            return told.reference
        url = self._url()
        event = "resolved" if is_over(incident) else "changed" if told.reference else "opened"
        body = json.dumps(self._body(incident, event), ensure_ascii=False).encode("utf-8", "replace")
        headers = {"content-type": "application/json", "idempotency-key": f"{incident.id}/{incident.revision}", **self._signature(body)}
        parts = urlsplit(url)
        name = f"{parts.scheme}://{parts.netloc}"  # a path may be as secret as a password
        answer = self._http.request("POST", url, body, headers, name=name)
        self._http.check(answer, name)
        return str(incident.revision)

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()

    def _url(self) -> str:
        if self._options.url_file is None:
            return self._options.url
        url = self._http.secret(self._options.url_file, "url_file")
        try:
            return checked_address(url, with_secret=True)
        except ValueError as error:
            raise ReceiverError(f"receiver.{self.name}.url_file: {error}") from None

    def _body(self, incident: Incident, event: str) -> dict[str, Any]:
        record = _cleaned(incident.as_json())
        return {
            "event": event,
            "revision": incident.revision,
            "experiment": self._surroundings.experiment,
            "incident": record,
            "merged_into": incident.merged_into,
            "url": self._surroundings.incident_url(incident),
            "runbook_url": self._surroundings.runbook_url(incident),
        }

    def _signature(self, body: bytes) -> dict[str, str]:
        if self._options.secret_file is None:
            return {}
        secret = self._http.secret(self._options.secret_file, "secret_file")
        moment = str(time.time_ns() // 1_000_000_000)
        digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
        return {"x-shiftwatch-signature": f"t={moment},v1={digest}"}


def _cleaned(value: Any) -> Any:  # noqa: ANN401 - decoded JSON
    """The same without control characters and with long texts cut."""
    if isinstance(value, str):
        return clean(value, TEXT_CHARACTERS)
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, list) else value
