"""A Slack workspace in memory: channels with messages and threads, files, and the methods of the Web API that change them.

Pages of docs.slack.dev: "chat.postMessage method", "chat.update method", "conversations.history method",
"conversations.replies method", "files.getUploadURLExternal method", "files.completeUploadExternal method",
"auth.test method", "apps.connections.open method", "Rate limits" (posting: 1 message a second a channel, short bursts are
tolerated; HTTP 429 with Retry-After) and "Tokens" (xoxb of a bot, xapp of an app).
"""

from __future__ import annotations

import base64
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.slack_rules import RefusedError, check_blocks, check_metadata, check_text

BOT_TOKEN = "xoxb-1111-2222-bot-token-of-the-tests"
APP_TOKEN = "xapp-1-A111-3333-app-token-of-the-tests"
CHANNEL = "C0SHIFTCREW"
BOT_USER, APP_ID, TEAM = "U0BOT", "A0APP", "T0TEAM"
PAGE = 100


class RateLimitedError(Exception):
    """HTTP 429 with Retry-After."""


@dataclass(slots=True)
class File:
    """An uploaded file: completed once it may be used; `refusals` times it is still being processed."""

    name: str
    length: int
    content: bytes | None = None
    title: str = ""
    alt_text: str = ""
    completed: bool = False
    refusals: int = 0


@dataclass
class Workspace:
    """What the server keeps. `burst` messages may be posted to a channel at once, then one a second."""

    url: str = ""
    open_link: Callable[[], str] = str
    burst: int = 100
    channels: tuple[str, ...] = (CHANNEL,)
    processing_refusals: int = 0
    """How often a fresh file is refused in an image block: -1 always."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, File] = field(default_factory=dict)
    missing_scopes: set[str] = field(default_factory=set)
    """Methods for which the token lacks a scope."""
    _posted_s: dict[str, list[float]] = field(default_factory=dict)
    _last_us: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def call(self, method: str, token: str | None, args: Mapping[str, Any]) -> dict[str, Any]:
        """One request to the Web API. Raises RefusedError or RateLimitedError."""
        with self._lock:
            known = METHODS.get(method)
            if known is None:
                raise RefusedError("unknown_method")
            if not token:
                raise RefusedError("not_authed")
            if token not in {BOT_TOKEN, APP_TOKEN}:
                raise RefusedError("invalid_auth")
            if (token == APP_TOKEN) != (method == "apps.connections.open"):
                raise RefusedError("not_allowed_token_type")
            if method in self.missing_scopes:
                raise RefusedError("missing_scope")
            return {"ok": True, **known(self, args)}

    def auth_test(self, _args: Mapping[str, Any]) -> dict[str, Any]:
        """auth.test."""
        return {"url": self.url, "team": "Test", "user": "shiftwatch", "team_id": TEAM, "user_id": BOT_USER, "bot_id": "B0BOT"}

    def connections_open(self, _args: Mapping[str, Any]) -> dict[str, Any]:
        """apps.connections.open."""
        return {"url": self.open_link()}

    def post(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """chat.postMessage."""
        channel = self._channel(args)
        content, warnings = self._content(args, update=False)
        thread = args.get("thread_ts")
        if thread is not None and not any(m["ts"] == thread and "thread_ts" not in m for m in self._in(channel)):
            raise RefusedError("thread_not_found")
        self._take_turn(channel)
        message = {"type": "message", "channel": channel, "user": BOT_USER, "ts": self._next_ts(), **content}
        if thread is not None:
            message["thread_ts"] = thread
        self.messages.append(message)
        answer: dict[str, Any] = {"channel": channel, "ts": message["ts"], "message": _public(message)}
        if warnings:
            answer["response_metadata"] = {"warnings": warnings}
        return answer

    def update(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """chat.update: blocks stay where neither text nor blocks are given, metadata stay where none are."""
        channel = self._channel(args)
        found = [m for m in self._in(channel) if m["ts"] == args.get("ts")]
        if not found:
            raise RefusedError("message_not_found")
        content, _ = self._content(args, update=True)
        message = found[0]
        if "blocks" not in content:
            message.pop("blocks", None)
        message.update(content)
        message["edits"] = message.get("edits", 0) + 1
        return {"channel": channel, "ts": message["ts"], "text": message["text"], "message": _public(message)}

    def history(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """conversations.history: the newest first, without replies."""
        channel = self._channel(args)
        oldest, latest = float(args.get("oldest") or 0), float(args.get("latest") or "inf")
        chosen = [m for m in self._in(channel) if "thread_ts" not in m and oldest < float(m["ts"]) < latest]
        return _page(chosen[::-1], args)

    def replies(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """conversations.replies: the parent first."""
        channel = self._channel(args)
        chosen = [m for m in self._in(channel) if args.get("ts") in {m["ts"], m.get("thread_ts")}]
        if not chosen:
            raise RefusedError("thread_not_found")
        return _page(chosen, args)

    def upload_url(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """files.getUploadURLExternal."""
        name, length = str(args.get("filename") or ""), int(args.get("length") or 0)
        if not name or length <= 0:
            raise RefusedError("invalid_arguments")
        file_id = f"F{secrets.token_hex(5).upper()}"
        self.files[file_id] = File(name, length, alt_text=str(args.get("alt_txt") or ""), refusals=self.processing_refusals)
        return {"file_id": file_id, "upload_url": f"{self.url}upload/v1/{file_id}"}

    def upload(self, file_id: str, content: bytes) -> dict[str, Any]:
        """The bytes of a file: as many as were announced."""
        with self._lock:
            file = self.files.get(file_id)
            if file is None or len(content) != file.length:
                raise RefusedError("wrong_length")
            file.content = content
            return {"ok": True}

    def complete_upload(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """files.completeUploadExternal: shares files where a channel is named, else only the bot may use them."""
        wanted = args.get("files") or []
        for entry in wanted:
            file = self.files.get(entry.get("id", ""))
            if file is None or file.content is None:
                raise RefusedError("file_not_found")
            file.title, file.completed = entry.get("title") or file.name, True
        if args.get("channel_id"):
            shared = {"channel": args["channel_id"], "thread_ts": args.get("thread_ts"), "text": args.get("initial_comment") or "Shared."}
            self.post({key: value for key, value in shared.items() if value is not None})
            self.messages[-1]["files"] = [{"id": entry["id"]} for entry in wanted]
        return {"files": [{"id": entry["id"], "title": self.files[entry["id"]].title, "mimetype": ""} for entry in wanted]}

    def seen(self) -> dict[str, Any]:
        """Everything that was posted, as JSON: the files with their bytes in base64."""
        with self._lock:
            files = {
                key: {"name": f.name, "title": f.title, "completed": f.completed, "content": base64.b64encode(f.content or b"").decode()}
                for key, f in self.files.items()
            }
            return {"messages": [dict(message) for message in self.messages], "files": files}

    def _is_ready(self, file_id: str) -> bool:
        file = self.files.get(file_id)
        if file is None or not file.completed or file.refusals < 0:
            return False
        file.refusals, ready = max(file.refusals - 1, 0), file.refusals == 0
        return ready

    def _channel(self, args: Mapping[str, Any]) -> str:
        if args.get("channel") not in self.channels:
            raise RefusedError("channel_not_found")
        return str(args["channel"])

    def _in(self, channel: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["channel"] == channel]

    def _content(self, args: Mapping[str, Any], *, update: bool) -> tuple[dict[str, Any], list[str]]:
        text, warnings = check_text(str(args.get("text") or ""), update=update)
        if not text and not args.get("blocks"):
            raise RefusedError("no_text")
        content: dict[str, Any] = {"text": text}
        if args.get("blocks"):
            check_blocks(args["blocks"], self._is_ready)
            content["blocks"] = args["blocks"]
        check_metadata(args.get("metadata"))
        if args.get("metadata"):
            content["metadata"] = args["metadata"]
        return content, warnings

    def _take_turn(self, channel: str) -> None:
        now_s = time.monotonic()
        recent = [then_s for then_s in self._posted_s.get(channel, []) if now_s - then_s < self.burst]
        if len(recent) >= self.burst:
            raise RateLimitedError
        self._posted_s[channel] = [*recent, now_s]

    def _next_ts(self) -> str:
        self._last_us = max(self._last_us + 1, time.time_ns() // 1000)
        return f"{self._last_us // 1_000_000}.{self._last_us % 1_000_000:06d}"


def _public(message: Mapping[str, Any], *, metadata: bool = True) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != "edits" and (metadata or key != "metadata")}


def _page(messages: list[dict[str, Any]], args: Mapping[str, Any]) -> dict[str, Any]:
    start = int(args.get("cursor") or 0)
    end = start + min(int(args.get("limit") or PAGE), 999)
    with_metadata = str(args.get("include_all_metadata", "")).lower() in {"1", "true"}
    more = end < len(messages)
    shown = [_public(message, metadata=with_metadata) for message in messages[start:end]]
    return {"messages": shown, "has_more": more, "response_metadata": {"next_cursor": str(end) if more else ""}}


METHODS: dict[str, Callable[[Workspace, Mapping[str, Any]], dict[str, Any]]] = {
    "auth.test": Workspace.auth_test,
    "apps.connections.open": Workspace.connections_open,
    "chat.postMessage": Workspace.post,
    "chat.update": Workspace.update,
    "conversations.history": Workspace.history,
    "conversations.replies": Workspace.replies,
    "files.getUploadURLExternal": Workspace.upload_url,
    "files.completeUploadExternal": Workspace.complete_upload,
}
