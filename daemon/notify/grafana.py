"""Incidents as annotations in Grafana: a line in every panel while one lasts, a region from its start to its end afterwards."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaException, GrafanaTimeoutError
from niquests.exceptions import RequestException, Timeout
from pydantic import Field, ValidationInfo, field_validator

from collectors.collector import Options
from daemon.notify.http_service import checked_address
from daemon.notify.receiver import ReceiverError, Surroundings, Told
from daemon.notify.wording import clean, ended_ns, is_over, one_line, outcome
from daemon.records import Incident
from daemon.secret_files import SecretError, read_secret

TAG_CHARACTERS = 100
"""Grafana keeps tags as key:value in a table of its own; its columns end here."""
TEXT_CHARACTERS = 4000
MS_NS = 1_000_000
NOT_FOUND = 404


class GrafanaOptions(Options):
    """Where Grafana is, who writes there, and what the annotations belong to."""

    token_file: Path | None = None
    """Token of a service account with the role Editor. Read anew each time."""
    url: str
    """http://HOST:PORT, with the path prefix if there is one."""
    folder: str = "Shiftwatch"
    """Folder of the dashboards that `shiftwatch grafana push` writes."""
    dashboard_uid: str = ""
    """The dashboard that the annotations belong to; by default to the organisation, so that any dashboard may show them by their tags."""
    timeout_s: float = Field(default=10.0, gt=0, le=120)
    ca_file: Path | None = None
    """Certificates to trust instead of the system's. Certificates are always verified."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str, info: ValidationInfo) -> str:
        return checked_address(url, with_secret=info.data.get("token_file") is not None)


def connect(options: GrafanaOptions, key: str) -> GrafanaApi:
    """The client; nothing is sent yet. `key` is where the options stand in the configuration. Raises SecretError."""
    token = read_secret(options.token_file, f"{key}.token_file") if options.token_file else None
    api: GrafanaApi = GrafanaApi.from_url(f"{options.url}/", credential=token, timeout=options.timeout_s)
    api.client.verify = str(options.ca_file) if options.ca_file else True
    return api


class GrafanaReceiver:
    """One annotation an incident, found by its tags.

    Example:
        [receiver.grafana]
        url = "http://localhost:3000"
        token_file = "/etc/shiftwatch/grafana-token"

    """

    options_model: ClassVar[type[Options]] = GrafanaOptions
    details: ClassVar[bool] = False

    def __init__(self, name: str, options: GrafanaOptions, surroundings: Surroundings) -> None:
        self.name = name
        self._options = options
        self._surroundings = surroundings

    def tell(self, incident: Incident, told: Told) -> str:
        """Adds the annotation, or changes the one that was added. One that somebody deleted meanwhile is added again."""
        try:
            api = connect(self._options, f"receiver.{self.name}")
        except SecretError as error:
            raise ReceiverError(str(error)) from None
        try:
            known = told.reference or (self._find(api, incident) if told.in_doubt else "")
            changed = self._change(api, incident, known)
            return changed if changed or incident.merged_into else self._add(api, incident)
        finally:
            api.client.s.close()

    def close(self) -> None:
        """Nothing is kept open."""

    def _find(self, api: GrafanaApi, incident: Incident) -> str:
        tags = [quote(tag, safe="") for tag in self._tags(incident)[:2]]
        annotations: Any = api.annotations  # the client is not typed
        found = self._ask(lambda: annotations.find_annotations(ann_type="annotation", tags=tags, limit=1))
        return str(found[0]["id"]) if isinstance(found, list) and found else ""

    def _add(self, api: GrafanaApi, incident: Incident) -> str:
        start_ms, end_ms = _times_ms(incident)
        annotations: Any = api.annotations
        answer = self._ask(
            lambda: annotations.add_annotation(
                dashboard_uid=self._options.dashboard_uid or None,
                time_from=start_ms,
                time_to=end_ms,
                tags=self._tags(incident),
                text=self._text(incident),
            )
        )
        if not isinstance(answer, dict) or "id" not in answer:
            raise ReceiverError(f"{self._options.url}: no id of the annotation in its answer")
        return str(answer["id"])

    def _change(self, api: GrafanaApi, incident: Incident, known: str) -> str:
        """Its id, "" where there is none any more."""
        if not known:
            return ""
        start_ms, end_ms = _times_ms(incident)
        annotations: Any = api.annotations
        answer = self._ask(
            lambda: annotations.partial_update_annotation(
                known, time_from=start_ms, time_to=end_ms, tags=self._tags(incident), text=self._text(incident)
            )
        )
        return "" if answer is None else known

    def _ask(self, request: Callable[[], Any]) -> Any:  # noqa: ANN401 - decoded JSON
        """What Grafana answers, None where it does not know the annotation. Raises ReceiverError in words of our own."""
        url, seconds = self._options.url, self._options.timeout_s
        try:
            return request()
        except (GrafanaTimeoutError, Timeout):
            raise ReceiverError(f"{url}: no answer within {seconds:g} s") from None
        except GrafanaException as error:
            if error.status_code == NOT_FOUND:
                return None
            raise ReceiverError(f"{url}: HTTP status {error.status_code}{_reason(error.response)}") from None
        except RequestException as error:
            raise ReceiverError(f"{url}: no connection ({type(error).__name__})") from None
        except json.JSONDecodeError:
            raise ReceiverError(f"{url}: its answer is not JSON") from None

    def _tags(self, incident: Incident) -> list[str]:
        tags = ["shiftwatch", f"incident:{incident.id}", str(incident.severity), incident.condition]
        return [one_line(tag, TAG_CHARACTERS) for tag in tags if tag]

    def _text(self, incident: Incident) -> str:
        """Grafana shows HTML: what a source or a person wrote is escaped."""
        lines = [html.escape(one_line(incident.sentence, 1000)) or "incident"]
        if is_over(incident):
            lines.append(html.escape(outcome(incident)))
        elif incident.owner:
            lines.append(f"On it: {html.escape(one_line(incident.owner, 200))}")
        if incident.why and not is_over(incident):
            lines.append(html.escape(clean(incident.why, TEXT_CHARACTERS // 4)))
        if url := self._surroundings.incident_url(incident):
            lines.append(f'<a href="{html.escape(url)}" target="_blank">Open</a>')
        return "\n".join(lines)


def _times_ms(incident: Incident) -> tuple[int, int]:
    """Start and end; both the same while it lasts, which Grafana shows as a line."""
    start_ms = incident.started_ns // MS_NS
    return start_ms, max(ended_ns(incident) // MS_NS, start_ms) if is_over(incident) else start_ms


def _reason(response: object) -> str:
    """The message of an error as Grafana gives it: {"message": "…"}; nothing of other answers, such as a proxy's page."""
    message = response.get("message") if isinstance(response, dict) else None
    return f": {one_line(message, 200)}" if isinstance(message, str) else ""
