"""Labels from the page: who says what of which incident, with proof of the right to do so, handed over to the bus."""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote

from collectors.frame import digest_of
from daemon import messages
from daemon.bus.bus import Bus
from daemon.records import Incident, Label, LabelKind
from daemon.web.words import clean

log = logging.getLogger(__name__)

NAME_COOKIE, TOKEN_COOKIE = "shiftwatch_name", "shiftwatch_token"
COOKIE_AGE_S = 365 * 86_400
MAX_NAME_CHARACTERS, MAX_COMMENT_CHARACTERS = 100, 2000
MAX_SILENCE_HOURS = 24.0 * 7
AGAIN_S = 3.0
"""The same said again within this time is a double click."""
FLUSH_S = 10.0
HOUR_NS = 3_600_000_000_000


def label_of(incident: Incident, kind: LabelKind, who: str, comment: str, hours: float, now_ns: int) -> Label:
    """The label; `hours` is the length of a silence, 0 ends one. Event time."""
    until_ns = now_ns + int(hours * HOUR_NS) if kind is LabelKind.SILENCE else None
    return Label(digest_of(incident.id, kind, who, now_ns), incident.id, kind, who, now_ns, comment, until_ns)


def tidy(text: str, limit: int) -> str:
    """What a person typed, in one line, without what no page should hold."""
    return " ".join(clean(text).split())[:limit]


class Desk:
    """Takes labels from request threads to the bus. Safe for any number of threads."""

    def __init__(self, bus: Bus, now_ns: Callable[[], int]) -> None:
        self._bus = bus
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._lately: dict[tuple[object, ...], float] = {}

    def say(self, incident: Incident, kind: LabelKind, who: str, comment: str, hours: float) -> bool:
        """Returns when the bus has it; False where the same was said a moment ago. Raises BusError."""
        if not self._is_new((incident.id, kind, who, comment, hours)):
            return False
        label = label_of(incident, kind, who, comment, hours, self._now_ns())
        try:
            self._bus.publish("feedback", label.incident, messages.encode(label))
            self._bus.flush(FLUSH_S)
        except BaseException:
            with self._lock:
                self._lately.pop((incident.id, kind, who, comment, hours), None)  # it may be said again at once
            raise
        log.info("label incident=%s kind=%s who=%r", incident.id, kind, who)
        return True

    def _is_new(self, said: tuple[object, ...]) -> bool:
        now_s = time.monotonic()
        with self._lock:
            self._lately = {known: at_s for known, at_s in self._lately.items() if now_s - at_s < AGAIN_S}
            if said in self._lately:
                return False
            self._lately[said] = now_s
            return True


class Admission:
    """Who may say something, and who it is: a token where one is configured, a name from the proxy, the form or a cookie."""

    def __init__(self, token: str, user_header: str) -> None:
        self._token = token
        self._header = user_header
        self.needs_token = bool(token)
        self.names_come_from_proxy = bool(user_header)

    def name(self, headers: Mapping[str, str], cookies: Mapping[str, str], typed: str = "") -> str:
        """Who it is; "" where nobody said so. A proxy that logs people in has the only word."""
        if self._header:
            return tidy(headers.get(self._header.lower(), ""), MAX_NAME_CHARACTERS)
        return tidy(typed, MAX_NAME_CHARACTERS) or tidy(unquote(cookies.get(NAME_COOKIE, "")), MAX_NAME_CHARACTERS)

    def may_write(self, cookies: Mapping[str, str], typed: str = "") -> bool:
        """Whether the token was shown, now or before. Takes the same time whatever was typed."""
        if not self._token:
            return True
        shown = hmac.compare_digest(typed.strip().encode(errors="replace"), self._token.encode())
        return shown or hmac.compare_digest(cookies.get(TOKEN_COOKIE, "").encode(errors="replace"), self.proof().encode())

    def proof(self) -> str:
        """What a browser keeps in place of the token, and what cannot be turned back into it."""
        return hmac.new(self._token.encode(), b"shiftwatch page", hashlib.sha256).hexdigest()


def name_cookie(name: str) -> str:
    """A name as a cookie can hold it."""
    return quote(name, safe="")
