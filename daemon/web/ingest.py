"""`POST /ingest`: the door for shell scripts and programs that have no client for the bus.

A token in the header is the proof, never a cookie: another page cannot make a browser send it, so this address takes requests
without an origin, as `curl` sends them.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from daemon.bus.bus import BusError
from daemon.ingest_message import IngestError
from daemon.web.pushing import FLUSH_S, BusyError, Intake, Receipt
from daemon.web.site import Site

log = logging.getLogger(__name__)

PATH = "/ingest"
JSON_TYPES = frozenset({"application/json", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
READ_S = 30.0
"""How long a sender may take for a body."""
HAND_OVER_S = FLUSH_S + 5.0
BUSY_AFTER_S, BUS_AFTER_S = 1, 5
"""When a sender should try again: after others were served, after the bus may be back."""


class RefusedError(Exception):
    """A request that is answered with an error: status, sentence, and headers."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = headers


def routes(site: Site) -> APIRouter:
    """The one route."""
    router = APIRouter(include_in_schema=False)

    @router.post(PATH)
    async def ingest(request: Request) -> Response:
        try:
            _check_token(request.headers, site.ingest_token)
            _check_form(request.headers)
            body = await _body(request, site.settings.web.ingest_max_bytes)
            return _answer(await _hand_over(site.intake, body))
        except RefusedError as error:
            return JSONResponse({"error": str(error)}, error.status, error.headers)

    return router


def _check_token(headers: Mapping[str, str], token: str) -> None:
    """Takes the same time whatever was sent."""
    if not token:
        raise RefusedError(404, "nothing can be pushed here: set web.ingest_token_file")
    scheme, _, shown = headers.get("authorization", "").partition(" ")
    if scheme.casefold() != "bearer" or not shown.strip():
        raise RefusedError(401, "a header is missing: Authorization: Bearer TOKEN", {"WWW-Authenticate": 'Bearer realm="shiftwatch"'})
    if not hmac.compare_digest(_digest(shown.strip().encode("latin-1")), _digest(token.encode())):  # headers are read as Latin-1
        log.warning("pushed with a wrong token")
        raise RefusedError(403, "this is not the token of web.ingest_token_file")


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _check_form(headers: Mapping[str, str]) -> None:
    media_type = headers.get("content-type", "application/json").partition(";")[0].strip().casefold()
    if media_type not in JSON_TYPES:
        hint = "-H 'Content-Type: application/json' --data-binary" if "form" in media_type else "application/json or application/x-ndjson"
        raise RefusedError(415, f"{media_type[:100]} is not read here; send {hint}")
    coding = headers.get("content-encoding", "identity").casefold()
    if coding != "identity":
        raise RefusedError(415, f"a body in {coding[:40]} is not read here; send it as it is", {"Accept-Encoding": "identity"})


async def _body(request: Request, max_bytes: int) -> bytes:
    """The body, of which never more than `max_bytes` are kept. A little more is read and dropped, so that the answer is read too."""
    parts: list[bytes] = []
    size = 0
    announced = request.headers.get("content-length", "")
    too_large = RefusedError(413, f"more than {max_bytes} bytes (web.ingest_max_bytes); send less at once", {"Connection": "close"})
    if announced.isdecimal() and int(announced[:18]) > 2 * max_bytes:
        raise too_large
    try:
        async with asyncio.timeout(READ_S):
            async for part in request.stream():
                size += len(part)
                if size <= max_bytes:
                    parts.append(part)
                elif size > 2 * max_bytes:
                    break
                else:
                    parts.clear()
    except TimeoutError:
        raise RefusedError(408, f"the body did not arrive within {READ_S:g} s", {"Connection": "close"}) from None
    except ClientDisconnect:
        raise RefusedError(400, "the body ended early") from None
    if size > max_bytes:
        raise too_large
    return b"".join(parts)


async def _hand_over(intake: Intake, body: bytes) -> Receipt:
    try:
        future = asyncio.wrap_future(intake.submit(body))
    except BusyError:
        raise RefusedError(429, "others are being served; try again", {"Retry-After": str(BUSY_AFTER_S)}) from None
    except RuntimeError:
        raise RefusedError(503, "the page is ending; try again", {"Retry-After": str(BUS_AFTER_S)}) from None
    try:
        return await asyncio.wait_for(asyncio.shield(future), HAND_OVER_S)
    except IngestError as error:
        raise RefusedError(400, str(error)) from None
    except (BusError, TimeoutError) as error:
        log.error("pushed messages not handed over reason=%r", str(error) or f"nothing within {HAND_OVER_S:g} s")
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # what it says later is not asked for any more
        sentence = "the bus does not take it just now; send all of it again, what was taken already is recognised by its time"
        raise RefusedError(503, sentence, {"Retry-After": str(BUS_AFTER_S)}) from None


def _answer(receipt: Receipt) -> Response:
    if not receipt.taken and not receipt.refused:
        return JSONResponse({"error": "an empty body", "taken": 0, "refused": []}, 400)
    if receipt.refused:
        refused = [{"message": refusal.message, "reason": refusal.reason} for refusal in receipt.refused]
        return JSONResponse({"taken": receipt.taken, "refused": refused}, 400)
    return JSONResponse({"taken": receipt.taken}, 202)
