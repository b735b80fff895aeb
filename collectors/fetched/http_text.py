"""Fetches one text from an address: bounded in size and time, whole or not at all, and never telling a secret."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    IncompleteRead,
    InvalidChunkLength,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from collectors.collector import CollectError

_MAX_REDIRECTS = 3
_PIECE_BYTES = 65536


class Answer(NamedTuple):
    """A whole text, what kind it is, and whether its length was known, so that nothing can be missing at its end."""

    body: bytes
    content_type: str
    is_whole: bool


def shown(url: str) -> str:
    """The address as it may be shown: without user, query and fragment, which may hold secrets."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def port_of(parts: SplitResult) -> int | None:
    """The port of an address, None where it names none. Raises ValueError."""
    try:
        return parts.port
    except ValueError:
        raise ValueError(f"{parts.netloc.rpartition(':')[2]!r} is not a port") from None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or number."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def file_path(url: str) -> Path:
    """The path of a file: URL."""
    return Path(unquote(urlsplit(url).path))


class HttpText:
    """Texts from one server."""

    def __init__(
        self, *, timeout_s: float, max_bytes: int, ca_file: str | None, certificate_file: str | None, key_file: str | None
    ) -> None:
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=1,
            timeout=urllib3.Timeout(connect=timeout_s, read=timeout_s),
            retries=False,
            cert_reqs="CERT_REQUIRED",
            ca_certs=ca_file,
            cert_file=certificate_file,
            key_file=key_file,
        )

    def close(self) -> None:
        """Ends all connections."""
        self._pool.clear()

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """The whole answer to a GET. Raises CollectError that names the address without its secrets."""
        return self._ask("GET", url, headers, None)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The whole answer to a POST, which is not sent on to where a redirect leads. Raises CollectError."""
        return self._ask("POST", url, headers, body)

    def _ask(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        deadline = time.monotonic() + self._timeout_s
        origin = urlsplit(url)[:2]
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                response = self._pool.request(method, url, body=content, headers=headers, redirect=False, preload_content=False)
                with response:
                    if content is None and (location := response.get_redirect_location()):
                        url = _redirected(url, location, origin)
                        continue
                    if response.status != 200:
                        raise CollectError(f"{shown(url)}: HTTP status {response.status}")
                    body = self._body(response, deadline, url)
                    is_whole = "Content-Length" in response.headers or bool(getattr(response, "chunked", False))
                    return Answer(body, response.headers.get("Content-Type", ""), is_whole)
        except (HTTPError, OSError) as error:
            raise CollectError(f"{shown(url)}: {self._reason(error)}") from None
        raise CollectError(f"{shown(url)}: more than {_MAX_REDIRECTS} redirects")

    def _body(self, response: urllib3.BaseHTTPResponse, deadline: float, url: str) -> bytes:
        body = bytearray()
        for piece in response.stream(_PIECE_BYTES, decode_content=True):
            body += piece
            if len(body) > self._max_bytes:
                raise CollectError(f"{shown(url)}: an answer of more than {self._max_bytes} bytes")
            if time.monotonic() > deadline:
                raise CollectError(f"{shown(url)}: the answer took longer than {self._timeout_s:g} s")
        return bytes(body)

    def _reason(self, error: Exception) -> str:
        """What went wrong in words of our own: urllib3's messages hold the whole address."""
        if isinstance(error, MaxRetryError) and error.reason is not None:
            error = error.reason
        cause = error.__cause__ or error.__context__
        reasons: list[tuple[type[Exception], str]] = [
            (NameResolutionError, "its name is not known"),
            (NewConnectionError, f"no connection: {getattr(cause, 'strerror', None) or 'refused'}"),
            (ConnectTimeoutError, f"no connection within {self._timeout_s:g} s"),
            (ReadTimeoutError, f"no answer within {self._timeout_s:g} s"),
            (SSLError, f"TLS: {getattr(cause, 'verify_message', None) or getattr(cause, 'reason', None) or 'failed'}"),
            (IncompleteRead, "the answer ended early"),
            (InvalidChunkLength, "the answer ended early"),
            (DecodeError, "the answer's compression is damaged"),
            (ProtocolError, "the connection was cut"),
        ]
        return next((text for kind, text in reasons if isinstance(error, kind)), type(error).__name__)


def _redirected(url: str, location: str, origin: tuple[str, ...]) -> str:
    """Where an answer sends us on to on the same server, whose scheme, name and port are `origin`. Raises CollectError."""
    try:
        target = urljoin(url, location)
        where, is_same = shown(target), urlsplit(target)[:2] == origin
    except ValueError:
        raise CollectError(f"{shown(url)}: a redirect to what is no address") from None
    if not is_same:
        raise CollectError(f"{shown(url)}: a redirect to another server is not followed ({where})")
    return target
