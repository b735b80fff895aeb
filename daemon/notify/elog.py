"""The protocol of ELOG, as its own client `elog` and PSI's `py_elog` speak it: forms to write, `mode=Raw` to read.

Sources: elog.psi.ch (administrator's and user's guide), src/elog.c and src/elogd.c of ELOG 3.1, py_elog. elogd answers to an
entry that it took with a redirect to it, to others with a page that has the reason in a cell of the class `errormsg`, and to a
wrong password with its log-in form.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from urllib3.filepost import encode_multipart_formdata

from daemon.notify.http_service import Access, Answer, HttpService
from daemon.notify.receiver import ReceiverError
from daemon.notify.sha256_crypt import sha256_crypt
from daemon.notify.wording import clean, one_line

SEARCHED_DAYS = 31
_ERROR = re.compile(r'<td[^>]*class="errormsg"[^>]*>(.*?)</td>', re.DOTALL)
_LOG_IN = re.compile(r'type="?password')
_TAG = re.compile(r"<[^>]*>")
_ENTRY = re.compile(r"^\$@MID@\$: (\d+)\r?$", re.MULTILINE)
_REPLY = re.compile(r"^In reply to: (\d+)", re.MULTILINE)
_RULE = "=" * 40
_SIMPLER = str.maketrans({"…": "...", "–": "-", "—": "-", "→": "->", "≥": ">=", "≤": "<=", "’": "'", "“": '"', "”": '"', "−": "-"})


class Written(NamedTuple):
    """An entry as it stands in the logbook; `reply_to` is 0 where it is no reply."""

    number: int
    reply_to: int
    text: str


@dataclass(slots=True)
class Page:
    """The text of an entry, line by line, to be rendered in one of ELOG's encodings."""

    lines: list[tuple[str, str, bool]] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)

    def add(self, label: str, text: str, *, strong: bool = False) -> None:
        """A line or paragraph; nothing where there is no text."""
        if text:
            self.lines.append((label, clean(text, len(text) + 1), strong))

    def link(self, label: str, url: str) -> None:
        """A link; nothing where there is no address."""
        if url:
            self.links.append((label, url))

    def render(self, encoding: str, charset: str) -> bytes:
        """HTML in ASCII, whatever the logbook's charset is; or plain text in that charset, as well as it can say it."""
        *head, (_, mark, _) = self.lines
        if encoding == "HTML":
            parts = [_paragraph(*line) for line in head]
            parts += [f'<p><a href="{html.escape(url)}">{html.escape(label)}</a></p>' for label, url in self.links]
            return "\n".join([*parts, f"<p>{html.escape(mark)}</p>"]).encode("ascii", "xmlcharrefreplace")
        plain = [f"{label}: {text}" if label else text for label, text, _ in head]
        plain += [f"{label}: {url}" for label, url in self.links]
        return encoded("\n\n".join([*plain, mark]), charset)


def _paragraph(label: str, text: str, strong: bool) -> str:
    body = html.escape(text).replace("\n", "<br>")
    body = f"<b>{body}</b>" if strong else body
    return f"<p>{html.escape(label)}: {body}</p>" if label else f"<p>{body}</p>"


def encoded(text: str, charset: str) -> bytes:
    """In a charset, with what it has not put in a simpler way."""
    try:
        return text.encode(charset)
    except UnicodeEncodeError:
        return text.translate(_SIMPLER).encode(charset, "replace")


class ElogClient:
    """One logbook. All methods raise ReceiverError."""

    def __init__(self, key: str, access: Access, url: str, logbook: str) -> None:
        self._access = access
        self._logbook = logbook
        self._url = f"{url}/{quote(logbook)}/"
        self._http = HttpService(key, access.model_copy(update={"username": "", "password_file": None}))

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()

    def submit(
        self,
        attributes: Mapping[str, str],
        text: bytes,
        encoding: str,
        *,
        charset: str,
        reply_to: int = 0,
        picture: tuple[str, bytes] | None = None,
        quiet: bool = False,
    ) -> int | None:
        """Writes an entry; its number, None where the answer does not tell."""
        user, password = self._log_in()
        # elogd reads the parts in their order and needs to know who it is before it takes an attachment
        head = {"cmd": "Submit", "unm": user, "upwd": password, "exp": self._logbook, "encoding": encoding}
        head |= {"reply_to": str(reply_to) if reply_to else "", "suppress": "1" if quiet else ""}
        parts: list[tuple[str, bytes | tuple[str, bytes, str]]] = [(name, value.encode()) for name, value in head.items() if value]
        for name, value in attributes.items():
            parts.append((re.sub(r"[^0-9A-Za-z]", "_", name), encoded(_harmless(value), charset)))
        parts.append(("Text", text))
        if picture:
            parts.append(("attfile1", (picture[0], picture[1], "image/png")))
        body, content_type = encode_multipart_formdata(parts)
        answer = self._http.request("POST", self._url, body, {"content-type": content_type}, name=self._url)
        if answer.status not in (200, 302):
            self._refuse(answer)
        self._check_page(answer)
        location = urlsplit(answer.headers.get("location", ""))
        if "fail" in location.query:
            raise ReceiverError(f"{self._url}: user or password not accepted")
        last = location.path.rpartition("/")[2]
        return int(last) if last.isdigit() else None

    def sure(self, number: int | None) -> int:
        """The number. Raises ReceiverError for None: nobody knows whether it was written."""
        if number is None:
            raise ReceiverError(f"{self._url}: it did not say that the entry was written")
        return number

    def exists(self, number: int) -> bool:
        """Whether there is an entry with this number: people may delete one. Where `cmd=Download` is asked for it, elogd cuts the line."""
        answer = self._get(str(number))
        return answer.status == 200 and not _ERROR.search(answer.text)

    def search(self, words: str) -> list[Written]:
        """Entries of the last month with these words in their text, in the order in which they were written."""
        pattern = re.sub(r"[^A-Za-z0-9 ]", ".", words)  # elogd takes a POSIX regular expression
        answer = self._get("?" + urlencode({"mode": "Raw", "last": SEARCHED_DAYS, "subtext": pattern}))
        return sorted(_entries(answer.text))

    def _get(self, path: str) -> Answer:
        user, password = self._log_in()
        cookie = "; ".join(f"{name}={value}" for name, value in (("unm", user), ("upwd", password)) if value)
        answer = self._http.request("GET", self._url + path, headers={"cookie": cookie} if cookie else None)
        if answer.status not in (200, 404) or (answer.status == 404 and not _ERROR.search(answer.text)):
            self._refuse(answer)
        if _LOG_IN.search(answer.text) and not _ENTRY.search(answer.text):
            raise ReceiverError(f"{self._url}: user or password not accepted")
        return answer

    def _log_in(self) -> tuple[str, str]:
        """User, and password as ELOG wants it: hashed without a salt. The hash is as good as the password, so it is a secret too."""
        if self._access.password_file is None:
            return "", ""
        hashed = sha256_crypt(self._http.secret(self._access.password_file, "password_file"))
        return self._access.username, self._http.hide(hashed)

    def _check_page(self, answer: Answer) -> None:
        if _LOG_IN.search(answer.text):
            raise ReceiverError(f"{self._url}: user or password not accepted")
        if _ERROR.search(answer.text):
            self._refuse(answer)

    def _refuse(self, answer: Answer) -> None:
        """Raises ReceiverError with the reason on elogd's page, if it is one of its own."""
        found = _ERROR.search(answer.text)
        reason = one_line(html.unescape(_TAG.sub("", found[1])), 200) if found else ""
        if found:
            raise ReceiverError(f"{self._url}: refused: {self._http.shown(reason)}")
        self._http.check(answer, self._url)
        raise ReceiverError(f"{self._url}: HTTP status {answer.status}")


def _harmless(value: str) -> str:
    """An attribute's value that no logbook shows as HTML."""
    return re.sub(r"<(?=\S)", "< ", value).replace("&#", "& #")


def _entries(text: str) -> list[Written]:
    """What `cmd=Download` and `mode=Raw` show: head lines, a rule, the text."""
    pieces = _ENTRY.split(text)
    found = []
    for number, body in zip(pieces[1::2], pieces[2::2], strict=True):
        head, _, content = body.partition(_RULE)
        reply = _REPLY.search(head)
        found.append(Written(int(number), int(reply[1]) if reply else 0, content.strip()))
    return found
