"""HTTP as receivers use it: bounded in size and time, no redirect followed, and never telling a secret."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import urllib3
from pydantic import Field, model_validator
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import make_headers

from collectors.collector import Options
from collectors.fetched.http_text import is_loopback, shown
from daemon.notify.receiver import ReceiverError
from daemon.notify.wording import one_line
from daemon.secret_files import SecretError, read_secret

MAX_ANSWER_BYTES = 4_000_000
LONGEST_RETRY_AFTER_S = 3600.0
SHOWN_CHARACTERS = 200
"""Of what the other side says of an error."""
_PIECE_BYTES = 65536


class Access(Options):
    """How to log in somewhere: with a token, with user and password, or not at all."""

    username: str = ""
    password_file: Path | None = None
    """Read anew each time, so that it may be replaced; `$CREDENTIALS_DIRECTORY` in the path is expanded."""
    bearer_token_file: Path | None = None
    """Instead of user and password. Read anew each time."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's. Certificates are always verified."""
    timeout_s: float = Field(default=10.0, gt=0, le=120)
    """For the connection, and for the whole answer."""

    @model_validator(mode="after")
    def _check_log_in(self) -> Self:
        if bool(self.username) != (self.password_file is not None):
            raise ValueError("username and password_file belong together")
        if self.username and self.bearer_token_file is not None:
            raise ValueError("give either username with password_file, or bearer_token_file")
        return self

    @property
    def is_secret(self) -> bool:
        """Whether a secret is sent along."""
        return self.password_file is not None or self.bearer_token_file is not None


def checked_address(url: str, *, with_secret: bool) -> str:
    """The address without a slash at its end. Raises ValueError where it is none, or would carry a secret in the open."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an address: http://HOST:PORT or https://…")
    if parts.username or parts.password:
        raise ValueError("a password must not be part of the address; give the file it is in")
    if with_secret and parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("a secret must not go over http:// to another machine; use https://")
    return url.rstrip("/")


class Answer(NamedTuple):
    """What the other side said. Names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body, with what is no UTF-8 replaced."""
        return self.body.decode("utf-8", "replace")


class HttpService:
    """Requests to one service. `key` is where its options stand in the configuration ("receiver.webhook")."""

    def __init__(self, key: str, access: Access) -> None:
        self._key = key
        self._access = access
        self._secrets: set[str] = set()
        self._pool = urllib3.PoolManager(
            num_pools=8,
            maxsize=1,
            timeout=urllib3.Timeout(connect=access.timeout_s, read=access.timeout_s),
            retries=False,
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(access.ca_file) if access.ca_file else None,
        )

    def close(self) -> None:
        """Ends all connections."""
        self._pool.clear()

    def secret(self, path: Path, option: str) -> str:
        """The secret in a file. Raises ReceiverError."""
        try:
            secret = read_secret(path, f"{self._key}.{option}")
        except SecretError as error:
            raise ReceiverError(str(error)) from None
        self._secrets.add(secret)
        return secret

    def hide(self, secret: str) -> str:
        """The same, and from now on never shown in an error."""
        self._secrets.add(secret)
        return secret

    def shown(self, text: str) -> str:
        """What the other side says as it may be shown: short, in one line, without a secret of ours that it repeats."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return one_line(text, SHOWN_CHARACTERS)

    def check(self, answer: Answer, name: str, reason: str = "") -> None:
        """Raises ReceiverError unless the status is one of success: with the reason, and when to try again where that is said."""
        if 200 <= answer.status < 300:
            return
        said = f": {self.shown(reason)}" if reason.strip() else ""
        retry_after_s = retry_after(answer.headers.get("retry-after", ""))
        raise ReceiverError(f"{name}: HTTP status {answer.status}{said}", retry_after_s)

    def request(self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, name: str = "") -> Answer:
        """The whole answer, whatever its status. Raises ReceiverError that names the address as `name`, or without its query."""
        name = name or shown(url)
        deadline = time.monotonic() + self._access.timeout_s
        try:
            response = self._pool.request(
                method, url, body=body or None, headers={**self._log_in(), **(headers or {})}, redirect=False, preload_content=False
            )
            with response:
                lower = {key.lower(): value for key, value in response.headers.items()}
                return Answer(response.status, lower, self._body(response, deadline))
        except _TooMuchError as error:
            raise ReceiverError(f"{name}: {error}") from None
        except (HTTPError, OSError) as error:
            raise ReceiverError(f"{name}: {self._reason(error)}") from None

    def _log_in(self) -> dict[str, str]:
        access = self._access
        if access.bearer_token_file:
            return {"authorization": f"Bearer {self.secret(access.bearer_token_file, 'bearer_token_file')}"}
        if access.password_file:
            password = self.secret(access.password_file, "password_file")
            headers = dict(make_headers(basic_auth=f"{access.username}:{password}"))
            self.hide(headers["authorization"].removeprefix("Basic "))
            return headers
        return {}

    def _body(self, response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        body = bytearray()
        for piece in response.stream(_PIECE_BYTES, decode_content=True):
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                raise _TooMuchError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise _TooMuchError(f"the answer took longer than {self._access.timeout_s:g} s")
        return bytes(body)

    def _reason(self, error: Exception) -> str:
        """What went wrong in words of our own: urllib3's messages hold the whole address."""
        if isinstance(error, MaxRetryError) and error.reason is not None:
            error = error.reason
        cause = error.__cause__ or error.__context__
        reasons: list[tuple[type[Exception], str]] = [
            (NameResolutionError, "its name is not known"),
            (NewConnectionError, f"no connection: {getattr(cause, 'strerror', None) or 'refused'}"),
            (ConnectTimeoutError, f"no connection within {self._access.timeout_s:g} s"),
            (ReadTimeoutError, f"no answer within {self._access.timeout_s:g} s"),
            (SSLError, f"TLS: {getattr(cause, 'verify_message', None) or getattr(cause, 'reason', None) or 'failed'}"),
            (ProtocolError, "the connection was cut"),
        ]
        return next((text for kind, text in reasons if isinstance(error, kind)), type(error).__name__)


class _TooMuchError(Exception):
    """An answer that is too long or takes too long."""


def retry_after(value: str) -> float | None:
    """Seconds in a Retry-After header, which has seconds or a date (RFC 9110, 10.2.3); None where it says nothing."""
    if value.strip().isdigit():
        return min(float(value), LONGEST_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return min(max(moment.timestamp() - time.time(), 0.0), LONGEST_RETRY_AFTER_S)
