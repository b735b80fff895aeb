"""Calls to Slack's Web API, with errors in one line and without secrets.

slack-sdk logs requests and bodies where its logger lets it, and an error of it holds the whole answer: here it has a logger
that says nothing, and of an error only Slack's code is passed on ("channel_not_found").
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from http.client import HTTPException
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.http_retry.request import HttpRequest
from slack_sdk.http_retry.response import HttpResponse
from slack_sdk.http_retry.state import RetryState
from slack_sdk.webhook import WebhookClient

from daemon.notify.receiver import ReceiverError

Answer = TypeVar("Answer")

PATIENCE_S = 2.0
"""A rate limit up to this long is sat out: one message a second is the rule for a channel, so it is met often. A longer one pauses
this receiver alone, and the others go on."""

CODE = re.compile(r"^[a-z0-9_]{1,60}$")
HINTS = {
    "invalid_auth": "the token is wrong or was revoked",
    "not_in_channel": "invite the app to the channel",
    "channel_not_found": "check `channel` (an ID such as C0123456789), and invite the app to it",
    "missing_scope": "the app needs chat:write, files:write, and channels:history (groups:history for a private channel)",
    "not_allowed_token_type": "token_file needs a bot's token (xoxb), app_token_file an app's (xapp)",
}


class SlackError(ReceiverError):
    """A call that failed. `code` is Slack's own word for it; "" where there was no answer."""

    def __init__(self, what: str, code: str, reason: str, retry_after_s: float | None = None) -> None:
        hint = f" ({HINTS[code]})" if code in HINTS else ""
        super().__init__(f"slack: {what}: {reason}{hint}", retry_after_s)
        self.code = code


class ShortRateLimits(RateLimitErrorRetryHandler):
    """Sits out a rate limit once where it is short."""

    def _can_retry(
        self, *, state: RetryState, request: HttpRequest, response: HttpResponse | None = None, error: Exception | None = None
    ) -> bool:
        if not super()._can_retry(state=state, request=request, response=response, error=error) or response is None:
            return False
        return _retry_after_s({name: values[0] for name, values in response.headers.items() if values}) <= PATIENCE_S


def silent_logger() -> logging.Logger:
    """A logger for slack-sdk: what it has to say may hold what nobody else should read."""
    logger = logging.Logger("slack_sdk, silenced", logging.CRITICAL + 1)
    logger.addHandler(logging.NullHandler())
    return logger


def web_client(token: str | None, base_url: str, timeout_s: float) -> WebClient:
    """A client that obeys the environment's proxies, and its exceptions from them (which slack-sdk overlooks)."""
    client = WebClient(
        token,
        base_url=base_url,
        timeout=max(1, round(timeout_s)),
        logger=silent_logger(),
        retry_handlers=[ShortRateLimits(max_retry_count=2)],
    )
    if proxy_bypass(urlsplit(base_url).hostname or ""):
        client.proxy = None
    return client


def webhook_client(url: str, timeout_s: float) -> WebhookClient:
    """A client for a response_url; the address is a secret of its own."""
    client = WebhookClient(url, timeout=max(1, round(timeout_s)), logger=silent_logger())
    if proxy_bypass(urlsplit(url).hostname or ""):
        client.proxy = None
    return client


def call(what: str, request: Callable[[], Answer]) -> Answer:
    """Does a request. Raises SlackError, which names `what` was tried."""
    try:
        return request()
    except SlackApiError as error:
        raise _refusal(what, error) from None
    except (SlackClientError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)  # urllib wraps what went wrong
        raise SlackError(what, "", getattr(reason, "strerror", None) or type(reason).__name__) from None


def _refusal(what: str, error: SlackApiError) -> SlackError:
    response = error.response
    status = getattr(response, "status_code", 200)
    if status == 429:
        headers = {str(name): str(value) for name, value in response.headers.items()}
        return SlackError(what, "ratelimited", "rate limited", _retry_after_s(headers))
    code = response.get("error") if hasattr(response, "get") else None
    if isinstance(code, str) and CODE.match(code):
        return SlackError(what, code, code)
    return SlackError(what, "", f"HTTP {status}" if status != 200 else "unexpected answer")


def _retry_after_s(headers: dict[str, str]) -> float:
    asked = next((value for name, value in headers.items() if name.lower() == "retry-after"), "1")
    return float(asked) if asked.isdigit() else 1.0
