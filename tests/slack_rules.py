"""What Slack's documentation says of messages, as checks: the server of the tests refuses what breaks them.

Pages of docs.slack.dev: "Blocks" (50 in a message) with "Section block", "Header block", "Context block", "Image block",
"Actions block" and "Divider block", "Button element", "Slack file object", "Confirmation dialog object", "Text object",
"chat.postMessage method", "chat.update method" and "Message metadata". The size of all blocks together is not documented;
13,200 characters were measured by others (slackapi/bolt-js issue 2509), and so is the size of metadata left open: the
number here is an assumption.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

MAX_BLOCKS = 50
MAX_BLOCKS_CHARACTERS = 13_200
MAX_POST_CHARACTERS = 40_000
MAX_UPDATE_CHARACTERS = 4_000
MAX_METADATA_CHARACTERS = 8_000
EVENT_TYPE = re.compile(r"^[A-Za-z0-9_]{1,255}$")

Fault = tuple[str, str]
"""What is wrong, and where: a JSON pointer."""
FileReady = Callable[[str], bool]


class RefusedError(Exception):
    """An answer with ok = false."""

    def __init__(self, error: str, *details: str) -> None:
        super().__init__(error)
        self.error = error
        self.details = details

    def answer(self) -> dict[str, Any]:
        """As the Web API words it."""
        answer: dict[str, Any] = {"ok": False, "error": self.error}
        if self.details:
            answer["errors"] = list(self.details)
            answer["response_metadata"] = {"messages": [f"[ERROR] {detail}" for detail in self.details]}
        return answer


def check_text(text: str, *, update: bool) -> tuple[str, list[str]]:
    """The text as it is kept, and warnings: a post that is too long is cut, an update is refused."""
    if update and len(text) > MAX_UPDATE_CHARACTERS:
        raise RefusedError("msg_too_long")
    if len(text) > MAX_POST_CHARACTERS:
        return text[:MAX_POST_CHARACTERS], ["message_truncated"]
    return text, []


def check_metadata(metadata: object) -> None:
    """Two keys: a name, and an object with what belongs to it."""
    if metadata is None:
        return
    if not isinstance(metadata, dict) or set(metadata) != {"event_type", "event_payload"}:
        raise RefusedError("invalid_metadata_format")
    kind, payload = metadata["event_type"], metadata["event_payload"]
    if not isinstance(kind, str) or not EVENT_TYPE.match(kind) or not isinstance(payload, dict):
        raise RefusedError("invalid_metadata_schema")
    if any(not isinstance(value, str | int | float | bool | list | dict) for value in payload.values()):
        raise RefusedError("invalid_metadata_schema")
    if len(json.dumps(payload)) > MAX_METADATA_CHARACTERS:
        raise RefusedError("metadata_too_large")


def check_blocks(blocks: object, is_ready: FileReady) -> None:
    """All blocks of a message."""
    if not isinstance(blocks, list) or any(not isinstance(block, dict) for block in blocks):
        raise RefusedError("invalid_blocks_format")
    if len(blocks) > MAX_BLOCKS:
        raise RefusedError("invalid_blocks", f"no more than {MAX_BLOCKS} items allowed [json-pointer:/blocks]")
    faults = [fault for number, block in enumerate(blocks) for fault in _block(block, f"/blocks/{number}", is_ready)]
    named = [block["block_id"] for block in blocks if block.get("block_id")]
    if len(named) != len(set(named)):
        faults.append(("block_id must be unique", "/blocks"))
    if faults:
        raise RefusedError("invalid_blocks", *(f"{what} [json-pointer:{where}]" for what, where in faults))
    if len(json.dumps(blocks, ensure_ascii=False)) > MAX_BLOCKS_CHARACTERS:
        raise RefusedError("msg_blocks_too_long")


def _block(block: Mapping[str, Any], at: str, is_ready: FileReady) -> Iterator[Fault]:
    check = BLOCKS.get(block.get("type", ""))
    if check is None:
        yield f"unsupported type: {block.get('type')}", f"{at}/type"
        return
    yield from _length(block.get("block_id", "x"), 255, f"{at}/block_id")
    yield from check(block, at, is_ready)


def _section(block: Mapping[str, Any], at: str, _: FileReady) -> Iterator[Fault]:
    if "text" not in block and "fields" not in block:
        yield "missing required field: text", at
    if "text" in block:
        yield from _text(block["text"], 3000, f"{at}/text")
    fields = block.get("fields", [])
    if len(fields) > 10:
        yield "no more than 10 items allowed", f"{at}/fields"
    for number, field in enumerate(fields):
        yield from _text(field, 2000, f"{at}/fields/{number}")


def _header(block: Mapping[str, Any], at: str, _: FileReady) -> Iterator[Fault]:
    yield from _text(block.get("text"), 150, f"{at}/text", plain=True)


def _context(block: Mapping[str, Any], at: str, is_ready: FileReady) -> Iterator[Fault]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= 10:
        yield "between 1 and 10 items allowed", f"{at}/elements"
        return
    for number, element in enumerate(elements):
        where = f"{at}/elements/{number}"
        yield from _picture(element, where, is_ready) if element.get("type") == "image" else _text(element, 3000, where)


def _image(block: Mapping[str, Any], at: str, is_ready: FileReady) -> Iterator[Fault]:
    yield from _picture(block, at, is_ready)
    if "title" in block:
        yield from _text(block["title"], 2000, f"{at}/title", plain=True)


def _picture(block: Mapping[str, Any], at: str, is_ready: FileReady) -> Iterator[Fault]:
    yield from _length(block.get("alt_text"), 2000, f"{at}/alt_text")
    if ("image_url" in block) == ("slack_file" in block):
        yield "either image_url or slack_file", at
    elif "image_url" in block:
        yield from _url(block["image_url"], f"{at}/image_url")
    else:
        file = block["slack_file"]
        known = isinstance(file, dict) and set(file) == {"id"} and is_ready(str(file["id"]))
        if not known:  # so too while it is being processed (slackapi/python-slack-sdk issue 1658)
            yield "invalid slack file", f"{at}/slack_file"


def _actions(block: Mapping[str, Any], at: str, _: FileReady) -> Iterator[Fault]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= 25:
        yield "between 1 and 25 items allowed", f"{at}/elements"
        return
    for number, element in enumerate(elements):
        yield from _button(element, f"{at}/elements/{number}")
    ids = [element.get("action_id") for element in elements if element.get("action_id")]
    if len(ids) != len(set(ids)):
        yield "action_id must be unique", f"{at}/elements"


def _button(element: Mapping[str, Any], at: str) -> Iterator[Fault]:
    if element.get("type") != "button":
        yield f"unsupported type: {element.get('type')}", f"{at}/type"
    yield from _text(element.get("text"), 75, f"{at}/text", plain=True)
    yield from _length(element.get("action_id", "x"), 255, f"{at}/action_id")
    yield from _length(element.get("value", "x"), 2000, f"{at}/value")
    if "url" in element:
        yield from _url(element["url"], f"{at}/url")
    if element.get("style", "primary") not in {"primary", "danger"}:
        yield "unsupported style", f"{at}/style"
    confirm = element.get("confirm")
    if confirm is not None:
        for name, limit in (("title", 100), ("confirm", 30), ("deny", 30)):
            yield from _text(confirm.get(name), limit, f"{at}/confirm/{name}", plain=True)
        yield from _text(confirm.get("text"), 300, f"{at}/confirm/text")


def _divider(_block: Mapping[str, Any], _at: str, _: FileReady) -> Iterator[Fault]:
    yield from ()


BLOCKS: dict[str, Callable[[Mapping[str, Any], str, FileReady], Iterator[Fault]]] = {
    "section": _section,
    "header": _header,
    "context": _context,
    "image": _image,
    "actions": _actions,
    "divider": _divider,
}


def _text(text: object, limit: int, at: str, *, plain: bool = False) -> Iterator[Fault]:
    if not isinstance(text, dict) or text.get("type") not in ({"plain_text"} if plain else {"plain_text", "mrkdwn"}):
        yield "not a text object of the right type", at
        return
    if not set(text) <= ({"type", "text", "emoji"} if text["type"] == "plain_text" else {"type", "text", "verbatim"}):
        yield "unknown field of a text object", at
    yield from _length(text.get("text"), limit, f"{at}/text")


def _length(text: object, limit: int, at: str) -> Iterator[Fault]:
    if not isinstance(text, str):
        yield "not a string", at
    elif not text:
        yield "must be more than 0 characters", at
    elif len(text) > limit:
        yield f"must be less than {limit + 1} characters", at


def _url(url: object, at: str) -> Iterator[Fault]:
    yield from _length(url, 3000, at)
    parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.netloc or re.search(r"[\s<>|]", str(url)):
        yield "invalid url", at
