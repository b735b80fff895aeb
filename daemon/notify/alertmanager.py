"""Incidents as alerts of Prometheus' Alertmanager, and people's silences between both (API v2).

An alert is its labels: one that changes makes another alert. So what may change in an incident's life is remembered in the
reference, and the old alert ends in the same request in which the new one begins. Alertmanager runs on wall time and event
time may be another one (a replay, the demonstration): an alert never starts in the future, and what is left of a silence
is the same number of seconds in both.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from collectors.collector import Options
from collectors.fetched.http_text import shown
from daemon.notify import alertmanager_silences as silencing
from daemon.notify.alertmanager_silences import PostedSilence
from daemon.notify.http_service import Access, Answer, HttpService, checked_address
from daemon.notify.receiver import ReceiverError, Silence, Surroundings, Told
from daemon.notify.wording import clean, is_over, one_line, outcome
from daemon.records import Incident, iso

log = logging.getLogger(__name__)

JSON = {"content-type": "application/json"}
BATCH = 200
"""Alerts in one request."""


class AlertmanagerOptions(Access):
    """Where the Alertmanagers are and how the alerts look there."""

    urls: tuple[str, ...] = Field(min_length=1)
    """The members of one cluster, each as http://HOST:PORT with the path prefix if there is one. Alerts go to all of them."""
    alertname: str = Field(default="ShiftwatchIncident", min_length=1)
    labels: dict[str, str] = Field(default_factory=dict)
    """More labels of every alert, for routing: { team = "hcal" }."""
    keep_alive_s: float = Field(default=60.0, gt=0, le=60)
    """How often what lasts is posted again."""
    expires_after_s: float = 300.0
    """An alert that is not posted again ends after this: those of a monitor that died do not stay for ever."""

    @field_validator("urls")
    @classmethod
    def _check_urls(cls, urls: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        secret = any(info.data.get(name) is not None for name in ("password_file", "bearer_token_file"))
        return tuple(checked_address(url, with_secret=secret) for url in urls)

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.expires_after_s < 2 * self.keep_alive_s:
            raise ValueError("expires_after_s must be at least twice keep_alive_s, or one lost request resolves everything")
        return self


class Changing(NamedTuple):
    """The labels that may change while an incident lasts."""

    severity: str
    condition: str
    place: str
    certainty: str

    @classmethod
    def of(cls, incident: Incident) -> Self:
        """As the incident is now; cut, so that a reference has room for them."""
        return cls(str(incident.severity), one_line(incident.condition, 200), one_line(incident.cause_place, 500), str(incident.certainty))


class Reference(NamedTuple):
    """What is kept of an incident: the labels of its alert and the id of the silence that was made for it."""

    labels: Changing | None
    silence: str

    @classmethod
    def read(cls, text: str) -> Self:
        """From what `tell` returned before."""
        if not text:
            return cls(None, "")
        kept = json.loads(text)
        return cls(Changing(*kept["labels"]), kept["silence"])

    def text(self) -> str:
        """As it is kept."""
        return json.dumps({"labels": self.labels, "silence": self.silence}, ensure_ascii=False)


class AlertmanagerReceiver:
    """Posts incidents as alerts, keeps them alive, resolves them; silences go both ways.

    Example:
        [receiver.alertmanager]
        urls = ["http://localhost:9093"]
        labels = { team = "shift" }

    """

    options_model: ClassVar[type[Options]] = AlertmanagerOptions
    details: ClassVar[bool] = False

    def __init__(self, name: str, options: AlertmanagerOptions, surroundings: Surroundings) -> None:
        self.name = name
        self.keep_alive_s = options.keep_alive_s
        self._options = options
        self._surroundings = surroundings
        self._http = HttpService(f"receiver.{name}", options)
        self._told: dict[str, Changing] = {}  # of what lasts
        self._quieted: set[str] = set()  # incidents with a silence of ours
        self._until_ns: dict[tuple[str, str], int] = {}  # event time at which a silence there ends, by its id and end there

    def tell(self, incident: Incident, told: Told) -> str:
        """One request with the alert as it is now and the end of the one it was before; then the silence, if there is one."""
        before = Reference.read(told.reference)
        now = Changing.of(incident)
        alerts = [self._alert(incident, now, ended=is_over(incident))]
        if before.labels is not None and before.labels != now:
            alerts.append(self._alert(incident, before.labels, ended=True))
        self._post(alerts)
        if is_over(incident):
            self._told.pop(incident.id, None)
        else:
            self._told[incident.id] = now
        silence = ""
        if before.silence or told.in_doubt or incident.id in self._quieted or self._is_quiet(incident):
            silence = self._reconcile(incident, self._silences())
        return Reference(now, silence).text()

    def keep_alive(self, lasting: Sequence[Incident]) -> None:
        """All alerts again, and the silences of ours that an Alertmanager without a memory has lost."""
        alerts = [self._alert(incident, self._told.get(incident.id) or Changing.of(incident)) for incident in lasting]
        for start in range(0, len(alerts), BATCH):
            self._post(alerts[start : start + BATCH])
        quiet = [incident for incident in lasting if incident.id in self._quieted]
        if quiet:
            posted = self._silences()
            for incident in quiet:
                self._reconcile(incident, posted)

    def silences(self, incidents: Sequence[Incident]) -> Mapping[str, Silence]:
        """What people silenced there, without the silences that were made for a button here; the longest of each incident."""
        found: dict[str, Silence] = {}
        posted = self._silences()
        for incident in incidents:
            foreign = self._foreign(incident, posted)
            if foreign is not None:
                found[incident.id] = Silence(self._event_ns(foreign), foreign.who, foreign.comment)
        current = {(silence.id, silence.ends_at) for silence in posted}
        self._until_ns = {key: until_ns for key, until_ns in self._until_ns.items() if key in current}
        return found

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()

    def _labels(self, incident: Incident, changing: Changing) -> dict[str, str]:
        labels = {
            **self._options.labels,
            "alertname": self._options.alertname,
            "incident": incident.id,
            "experiment": one_line(self._surroundings.experiment, 200),
            **changing._asdict(),
        }
        return {name: value for name, value in labels.items() if value}

    def _alert(self, incident: Incident, changing: Changing, *, ended: bool = False) -> dict[str, Any]:
        """As the API takes it. Its end lies in the future as long as it lasts."""
        now_ns = time.time_ns()
        starts_ns = min(incident.started_ns, now_ns)
        ends_ns = now_ns if ended else now_ns + int(self._options.expires_after_s * 1e9)
        annotations = {
            "summary": one_line(incident.sentence, 1000),
            "description": clean(outcome(incident) if is_over(incident) else incident.why, 10_000),
            "decision": clean(incident.decision, 2000),
            "owner": one_line(incident.owner, 200),
            "runbook_url": self._surroundings.runbook_url(incident),
            "dashboard_url": self._surroundings.incident_url(incident),
        }
        alert: dict[str, Any] = {
            "labels": self._labels(incident, changing),
            "annotations": {name: text for name, text in annotations.items() if text},
            "startsAt": iso(starts_ns),
            "endsAt": iso(max(ends_ns, starts_ns)),
        }
        if url := self._surroundings.incident_url(incident):
            alert["generatorURL"] = url
        return alert

    def _post(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """To all members; one must take it."""
        body = json.dumps(alerts).encode()
        refused: list[ReceiverError] = []
        for url in self._options.urls:
            try:
                self._ask(url, "POST", "/alerts", body)
            except ReceiverError as error:
                refused.append(error)
        if len(refused) == len(self._options.urls):
            raise refused[0]
        for problem in refused:
            log.warning("alertmanager left out reason=%r", str(problem))

    def _any(self, method: str, path: str, body: bytes = b"") -> Answer:
        """From the first member that answers: they share silences."""
        *first, last = self._options.urls
        for url in first:
            try:
                return self._ask(url, method, path, body)
            except ReceiverError as error:
                log.warning("alertmanager left out reason=%r", str(error))
        return self._ask(last, method, path, body)

    def _ask(self, url: str, method: str, path: str, body: bytes = b"") -> Answer:
        answer = self._http.request(method, f"{url}/api/v2{path}", body, JSON if body else None)
        self._http.check(answer, shown(f"{url}/api/v2{path}"), answer.text)
        return answer

    def _silences(self) -> list[PostedSilence]:
        answer = self._any("GET", "/silences")
        try:
            return silencing.active(json.loads(answer.body))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ReceiverError(f"{shown(self._options.urls[0])}: its list of silences cannot be read") from None

    def _foreign(self, incident: Incident, posted: Sequence[PostedSilence]) -> PostedSilence | None:
        labels = self._labels(incident, self._told.get(incident.id) or Changing.of(incident))
        theirs = [silence for silence in posted if not silence.is_ours(incident.id) and silence.matches(labels)]
        return max(theirs, key=lambda silence: silence.ends_ns, default=None)

    def _event_ns(self, silence: PostedSilence) -> int:
        """When it ends in event time: the same for as long as the silence stays as it is and event time has not overtaken it."""
        now_ns, wall_ns = self._surroundings.now_ns(), time.time_ns()
        key = (silence.id, silence.ends_at)
        if self._until_ns.get(key, 0) <= now_ns:
            is_wall_time = abs(now_ns - wall_ns) < 1_000_000_000
            self._until_ns[key] = silence.ends_ns if is_wall_time else now_ns + silence.ends_ns - wall_ns
        return self._until_ns[key]

    def _is_quiet(self, incident: Incident) -> bool:
        return not is_over(incident) and incident.silenced(self._surroundings.now_ns())

    def _reconcile(self, incident: Incident, posted: Sequence[PostedSilence]) -> str:
        """Makes, changes or ends the silence of ours, unless one of theirs lasts as long; its id, "" where there is none."""
        ours = [silence for silence in posted if silence.is_ours(incident.id)]
        foreign = self._foreign(incident, posted)
        if self._is_quiet(incident) and incident.silenced_until_ns is not None:
            ends_ns = time.time_ns() + incident.silenced_until_ns - self._surroundings.now_ns()
            if foreign is None or foreign.ends_ns < ends_ns - silencing.TOLERANCE_NS:
                self._quieted.add(incident.id)
                return self._make_silence(incident, ours, ends_ns)
        self._quieted.discard(incident.id)
        for silence in ours:
            self._any("DELETE", f"/silence/{silence.id}")
        return ""

    def _make_silence(self, incident: Incident, ours: Sequence[PostedSilence], ends_ns: int) -> str:
        if ours and abs(ours[0].ends_ns - ends_ns) <= silencing.TOLERANCE_NS:
            return ours[0].id
        body = silencing.request(incident, ends_ns, ours[0].id if ours else "")
        answer = self._any("POST", "/silences", json.dumps(body).encode())
        try:
            return str(json.loads(answer.body)["silenceID"])
        except (ValueError, KeyError, TypeError):
            raise ReceiverError(f"{shown(self._options.urls[0])}: no id of the silence in its answer") from None
