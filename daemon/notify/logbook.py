"""Incidents in an ELOG electronic logbook (Paul Scherrer Institute): an entry when one opens, replies to it as it goes on.

A logbook is a history: nothing in it is rewritten. A reply says that the incident became worse or has another cause, and how
it ended: after how long, who was on it, what was decided. Each text ends with a mark, by which the receiver finds what it
wrote when an answer was lost.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from collectors.collector import Options
from daemon.notify.elog import ElogClient, Page, Written
from daemon.notify.http_service import Access, checked_address
from daemon.notify.receiver import Surroundings, Told
from daemon.notify.wording import clean, clock, is_over, one_line, outcome
from daemon.records import Incident

WHY_CHARACTERS = 20_000
"""elogd refuses texts of more than 250,000 bytes."""
VALUE_CHARACTERS = 250
PEOPLE_SHOWN = 10
FIELDS = ("author", "sentence", "severity", "certainty", "condition", "place", "state", "incident", "owner", "experiment")
_FIELD = re.compile(r"\{(\w*)\}")


class LogbookOptions(Access):
    """Which logbook, and what an entry's attributes are."""

    url: str
    """Of the ELOG server: https://HOST:PORT, with a subdirectory if there is one, without the logbook."""
    logbook: str = Field(min_length=1)
    author: str = "shiftwatch"
    attributes: dict[str, str] = Field(
        default_factory=lambda: {"Author": "{author}", "Type": "Other", "Category": "General", "Subject": "{sentence}"}
    )
    """Attributes as the logbook has them, and their values. {author}, {sentence}, {severity}, {certainty}, {condition}, {place},
    {state}, {incident}, {owner} and {experiment} stand for those of the incident."""
    resolved_attributes: dict[str, str] = Field(default_factory=dict)
    """Of these, which are different in the reply that ends it: { Type = "Problem Fixed" }."""
    encoding: Literal["HTML", "plain"] = "HTML"
    charset: str = "iso-8859-1"
    """`charset` of elogd.cfg; without one it is ISO-8859-1. Only attributes and plain texts depend on it."""
    picture: bool = True
    """Attach the evidence to the entry."""
    suppress_email: bool = False
    """Write without the e-mails that the logbook sends."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str, info: ValidationInfo) -> str:
        return checked_address(url, with_secret=info.data.get("password_file") is not None)

    @field_validator("attributes", "resolved_attributes")
    @classmethod
    def _check_templates(cls, templates: dict[str, str]) -> dict[str, str]:
        for name, template in templates.items():
            for unknown in set(_FIELD.findall(template)) - set(FIELDS):
                raise ValueError(f"{name}: no field {{{unknown}}}; there are {', '.join(FIELDS)}")
        return templates

    @field_validator("charset")
    @classmethod
    def _check_charset(cls, charset: str) -> str:
        try:
            "".encode(charset)
        except LookupError:
            raise ValueError(f"unknown charset {charset!r}") from None
        return charset

    @model_validator(mode="after")
    def _check_elog_log_in(self) -> Self:
        if self.bearer_token_file is not None:
            raise ValueError("ELOG knows user and password only: give username and password_file")
        return self


class Reference(NamedTuple):
    """What is kept of an incident: the number of its entry, 0 for none, and what was said last."""

    entry: int = 0
    said: str = ""

    @classmethod
    def read(cls, text: str) -> Self:
        """From what `tell` returned before."""
        return cls(**json.loads(text)) if text else cls()


class LogbookReceiver:
    """One entry an incident, with replies.

    Example:
        [receiver.logbook]
        url = "https://elog.example.org"
        logbook = "Shift"
        username = "shiftwatch"
        password_file = "/etc/shiftwatch/elog-password"
        attributes = { Author = "{author}", Type = "Problem", Category = "{place}", Subject = "{severity}: {sentence}" }

    """

    options_model: ClassVar[type[Options]] = LogbookOptions
    details: ClassVar[bool] = False

    def __init__(self, name: str, options: LogbookOptions, surroundings: Surroundings) -> None:
        self.name = name
        self._options = options
        self._surroundings = surroundings
        self._elog = ElogClient(f"receiver.{name}", options, options.url, options.logbook)

    def tell(self, incident: Incident, told: Told) -> str:
        """Writes what has not been written; a change of owner alone is written with the end."""
        known, statement = Reference.read(told.reference), _statement(incident)
        if told.in_doubt:
            known = self._written(incident) or known
        if known.said != statement and (known.entry or not incident.merged_into):
            is_reply = bool(known.entry) and self._elog.exists(known.entry)
            number = self._write(incident, statement, known.entry if is_reply else 0)
            known = Reference(known.entry if is_reply else number, statement)
        return json.dumps(known._asdict())

    def close(self) -> None:
        """Ends the connections."""
        self._elog.close()

    def _written(self, incident: Incident) -> Reference | None:
        """What stands in the logbook about the incident, None for nothing."""
        mark = re.compile(re.escape(f"[shiftwatch {incident.id} ") + r"(\w+)\]")
        said = [(entry, found[-1]) for entry in self._elog.search(f"shiftwatch {incident.id}") if (found := mark.findall(entry.text))]
        return Reference(_head(said[-1][0]), said[-1][1]) if said else None

    def _write(self, incident: Incident, statement: str, reply_to: int) -> int:
        """One entry or reply; its number."""
        options, is_end = self._options, is_over(incident)
        templates = {**options.attributes, **(options.resolved_attributes if is_end else {})}
        fields = self._fields(incident)
        attributes = {
            name: one_line(_FIELD.sub(lambda m: fields[m[1]], template), VALUE_CHARACTERS) for name, template in templates.items()
        }
        page = self._page(incident, f"[shiftwatch {incident.id} {statement}]", is_reply=bool(reply_to))
        picture = self._surroundings.picture(incident) if options.picture and not reply_to else None
        number = self._elog.submit(
            attributes,
            page.render(options.encoding, options.charset),
            options.encoding,
            charset=options.charset,
            reply_to=reply_to,
            picture=(f"{re.sub(r'[^A-Za-z0-9]', '_', incident.id)}.png", picture) if picture else None,
            quiet=options.suppress_email,
        )
        if number is None:  # some logbooks show a page of their own after an entry
            written = self._written(incident)
            number = written.entry if written and written.said == statement else None
        return self._elog.sure(number)

    def _fields(self, incident: Incident) -> dict[str, str]:
        return {
            "author": self._options.author,
            "sentence": incident.sentence,
            "severity": str(incident.severity),
            "certainty": str(incident.certainty),
            "condition": incident.condition,
            "place": incident.cause_place,
            "state": str(incident.state),
            "incident": incident.id,
            "owner": incident.owner,
            "experiment": self._surroundings.experiment,
        }

    def _page(self, incident: Incident, mark: str, *, is_reply: bool) -> Page:
        page = Page()
        zone = self._surroundings.zone
        if is_over(incident):
            page.add("", outcome(incident), strong=True)
            page.add("", incident.sentence)
            page.add("On it", incident.owner or "nobody")
            people = [entry for entry in incident.timeline if entry.who != "shiftwatch"][-PEOPLE_SHOWN:]
            for entry in people:
                page.add(clock(entry.time_ns, zone), f"{entry.who}: {clean(entry.what, 1000)}")
            page.add("Decision", incident.decision)
        else:
            page.add("", f"Now {incident.severity}: {incident.sentence}" if is_reply else incident.sentence, strong=True)
            page.add("", f"{incident.severity} · {incident.certainty} · {incident.cause_place} · since {clock(incident.started_ns, zone)}")
            page.add("Why", clean(incident.why, WHY_CHARACTERS))
            page.add("Do", incident.decision)
        page.link("Incident", self._surroundings.incident_url(incident))
        page.link("Runbook", self._surroundings.runbook_url(incident))
        page.add("", mark)
        return page


def _statement(incident: Incident) -> str:
    """What there is to say, as one word: another one has to be written down."""
    if is_over(incident):
        return "resolved"
    essence = f"{incident.severity}|{incident.condition}|{incident.cause_place}"
    return f"{incident.severity}_{hashlib.sha256(essence.encode('utf-8', 'replace')).hexdigest()[:8]}"


def _head(entry: Written) -> int:
    """The entry that a reply belongs to."""
    return entry.reply_to or entry.number
