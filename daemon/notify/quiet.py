"""Who asked for quiet about what: by a label (buttons, the page, the command line), or elsewhere, such as in Alertmanager."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from collectors.frame import digest_of
from daemon.notify.receiver import Receiver, ReceiverError, Silence, Silencing
from daemon.records import Incident, IncidentState, Label, LabelKind

log = logging.getLogger(__name__)

ASK_EVERY_S = 10.0
"""Wall seconds between looks at the silences elsewhere."""


class Quiet:
    """Knows which incidents are silenced. Where it cannot be found out, nothing is: a broken silencer hides no alarm."""

    def __init__(
        self,
        receivers: Sequence[Receiver],
        now_ns: Callable[[], int],
        say: Callable[[Label], None],
        labels: Callable[[str], Sequence[Label]],
    ) -> None:
        """`labels` are those of an incident, the oldest first: what was passed on before a restart is among them."""
        self._places = [receiver for receiver in receivers if isinstance(receiver, Silencing)]
        self._now_ns = now_ns
        self._say = say
        self._labels = labels
        self._known: dict[str, Silence] = {}
        self._said: set[str] = set()
        self._looked_up: set[str] = set()
        self._due_s = 0.0

    def forget(self) -> None:
        """Another process goes on; whatever it passes on is to be looked up."""
        self._known.clear()
        self._said.clear()
        self._looked_up.clear()

    def look(self, incidents: Sequence[Incident], now_s: float, *, urgent: bool) -> None:
        """Asks for the silences of these incidents, where it is time to or somebody is about to be told of one for the first time."""
        if not self._places or not incidents or (now_s < self._due_s and not urgent):
            return
        self._due_s = now_s + ASK_EVERY_S
        for incident in incidents:
            self._look_up(incident)
        lasting = [incident for incident in incidents if incident.state is not IncidentState.RESOLVED]
        answers = [self._silences(place, lasting) for place in self._places]
        found: dict[str, Silence] = {}
        for answer in answers:
            for incident_id, silence in (answer or {}).items():
                found[incident_id] = max(silence, found.get(incident_id, silence), key=lambda one: one.until_ns)
        for incident_id, silence in found.items():
            self._known[incident_id] = silence
            self._pass_on(incident_id, silence)
        if None in answers:
            return  # it may be there
        for ended in {incident.id for incident in lasting} & self._known.keys() - found.keys():
            self._end(ended, self._known.pop(ended))

    def about(self, incident: Incident) -> bool:
        """Whether there is to be quiet about it now."""
        now_ns = self._now_ns()
        elsewhere = self._known.get(incident.id)
        return incident.silenced(now_ns) or (elsewhere is not None and now_ns < elsewhere.until_ns)

    def _look_up(self, incident: Incident) -> None:
        """The silence of an incident that was passed on before this process, or before it was active."""
        if incident.state is IncidentState.RESOLVED:
            self._known.pop(incident.id, None)
            self._looked_up.discard(incident.id)
            return
        if incident.id in self._looked_up:
            return
        self._looked_up.add(incident.id)
        said = [label for label in self._labels(incident.id) if label.kind is LabelKind.SILENCE]
        if not said or said[-1].until_ns is None or not incident.silenced(self._now_ns()):
            return
        label, silence = said[-1], Silence(said[-1].until_ns, said[-1].who, said[-1].comment)
        if label.key == _key(incident.id, silence):
            self._known[incident.id] = silence
            self._said.add(label.key)

    def _silences(self, place: Silencing, incidents: Sequence[Incident]) -> Mapping[str, Silence] | None:
        try:
            return place.silences(incidents)
        except ReceiverError as error:
            log.warning("silences unknown reason=%r", str(error))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong there must not stop the others
            log.warning("silences unknown reason=%r", type(error).__name__)
        return None

    def _end(self, incident: str, silence: Silence) -> None:
        """Somebody took it back before its time."""
        now_ns = self._now_ns()
        if now_ns < silence.until_ns:
            key = digest_of("silence", incident, silence.who, silence.until_ns, "ended")
            self._say(Label(key, incident, LabelKind.SILENCE, silence.who, now_ns, "silence taken back", now_ns))

    def _pass_on(self, incident: str, silence: Silence) -> None:
        """As a label, so that the incident's page shows it and everybody knows who asked for it; once each."""
        key = _key(incident, silence)
        if key not in self._said:
            self._said.add(key)
            now_ns = self._now_ns()
            self._say(Label(key, incident, LabelKind.SILENCE, silence.who, now_ns, silence.comment, silence.until_ns))


def _key(incident: str, silence: Silence) -> str:
    """Of the label that passes it on."""
    return digest_of("silence", incident, silence.who, silence.until_ns)
