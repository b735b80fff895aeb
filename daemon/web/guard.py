"""What keeps strangers out: the Host header, where a form came from, sizes, and the headers of every answer.

The page has no log-in of its own; it listens on the loopback interface, and a proxy with the experiment's log-in stands before
it where others must reach it. What a browser can be talked into by another page is refused here: a name that was made
to point at the loopback address (DNS rebinding), a form that another site sends, a frame around the page.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64_000
BODY_S = 15.0
"""How long a form may take to arrive."""
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
"""Of SVG pictures, which carry their own style and no script."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser would send no origin with a form either
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(authority: str) -> str:
    """The host in a Host header or the authority of an address: without port and brackets, in small letters; "" where it is none."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").casefold()
    except ValueError:
        return ""


def refusal(
    method: str, headers: Mapping[str, str], hosts: frozenset[str] | None, public: str, *, by_token: bool = False
) -> tuple[int, str] | None:
    """Why a request is not answered: status and sentence; None where it is.

    hosts: names under which it may be asked for, None for any. public: "host:port" of the address that people use, "" for none.
    by_token: the address asks for a token in a header, which no other page can make a browser send, so that the origin does not matter.
    """
    asked = headers.get("host", "")
    if hosts is not None and host_of(asked) not in hosts:
        return 421, f"this page is not served under the name {host_of(asked)[:100]!r}; set web.public_url if it should be"
    if method in SAFE_METHODS or by_token:
        return None
    if not _same_origin(headers, asked, public):
        return 403, "a form is taken only from this page itself: the request has no origin, or another one"
    return None


def _same_origin(headers: Mapping[str, str], asked: str, public: str) -> bool:
    """Browsers say where a form comes from: Sec-Fetch-Site where they know it, Origin with every POST."""
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = headers.get("origin")
    if origin is None:
        return site == "same-origin"
    try:
        authority = urlsplit(origin).netloc.casefold()
    except ValueError:
        return False
    return bool(authority) and authority in (asked.casefold(), public.casefold())


class Guard:
    """ASGI middleware: refuses what `refusal` says and bodies that are too large, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str] | None, public: str, by_token: frozenset[str] = frozenset()) -> None:
        """`by_token`: paths that ask for a token in a header and bound their bodies themselves."""
        self._app = app
        self._by_token = by_token
        self._hosts = hosts
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        sender = _with_headers(send)
        headers = Headers(scope=scope)
        by_token = scope["path"] in self._by_token
        refused = refusal(scope["method"], headers, self._hosts, self._public, by_token=by_token)
        if refused is None and not by_token and int(_digits(headers.get("content-length", "0"))) > MAX_BODY_BYTES:
            refused = 413, f"more than {MAX_BODY_BYTES} bytes"
        if refused is not None:
            status, sentence = refused
            log.warning("request refused method=%s status=%d reason=%r", scope["method"], status, sentence)
            await PlainTextResponse(f"{sentence}\n", status)(scope, receive, sender)
            return
        await self._app(scope, receive if by_token else _bounded(receive), sender)


def _digits(text: str) -> str:
    return text[:12] if text.isdecimal() else "0"


def _bounded(receive: Receive) -> Receive:
    """A body that does not say its size is cut off where it is too large, and any where it is too slow: then it is no form any more."""
    taken = 0
    is_whole = False
    deadline_s = asyncio.get_running_loop().time() + BODY_S

    async def bounded() -> Message:
        nonlocal taken, is_whole
        if is_whole:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline_s):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        taken += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        return message if taken <= MAX_BODY_BYTES else {"type": "http.disconnect"}

    return bounded


def _with_headers(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sender


def allowed_hosts(bound: str, public_url: str) -> frozenset[str] | None:
    """Names under which a page bound to this address may be asked for; None (any) where it is not on the loopback interface."""
    if not is_loopback(bound):
        return None
    known: Iterable[str] = ("localhost", "127.0.0.1", "::1", host_of(bound) or bound, host_of(urlsplit(public_url).netloc))
    return frozenset(name for name in known if name)
