"""The JSON-RPC of MIDAS (https://daq00.triumf.ca/MidasWiki/index.php/Mjsonrpc): requests, answers, and values of the ODB in them.

Two things differ from plain JSON: NaN and infinite numbers are texts, and 16-bit and 32-bit words without sign (TID_WORD, TID_DWORD)
are texts such as "0x0000001f". The encoding is that of `json_write_data` in MIDAS' odb.cxx.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from collectors.collector import CollectError
from collectors.fetched.http_options import HttpSource
from collectors.fetched.json_values import load

DB_SUCCESS = 1
DB_NO_KEY = 312
CM_SUCCESS = 1
STATUS_NAMES = {
    303: "no memory",
    309: "invalid parameter",
    312: "no such key",
    314: "cut off",
    315: "another type",
    318: "no access",
    321: "index out of range",
    322: "invalid link",
    323: "the database is corrupted",
    325: "timed out",
}
"""Of midas.h; those that reading can meet."""
_WORD = re.compile(r"0x([0-9a-f]{4}|[0-9a-f]{8}|[0-9a-f]{16})")
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")


class Request(NamedTuple):
    """One call of a batch."""

    method: str
    params: dict[str, Any]


class Failure(NamedTuple):
    """A call that was refused."""

    reason: str


Answer = dict[str, Any] | Failure
"""What a call came to: its result, an object for every method that is used here."""


class OdbValue(NamedTuple):
    """One key of the ODB: its path with the letters as they were given, its value or values, and when it was last written (0: unknown)."""

    path: str
    content: Any
    written_s: int


def call(http: HttpSource, requests: Sequence[Request]) -> list[Answer]:
    """The results of one batch, in its order. Raises CollectError where the answer as a whole is none."""
    batch = [{"jsonrpc": "2.0", "id": number, "method": method, "params": params} for number, (method, params) in enumerate(requests, 1)]
    answer = http.post(json.dumps(batch).encode())
    address = http.address
    if "html" in answer.content_type:
        raise CollectError(f"{address}: answers with a page ({answer.content_type}), not as the JSON-RPC of MIDAS")
    try:
        answers = load(answer.body.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise CollectError(f"{address}: not JSON: {str(error).partition(':')[0]}") from None
    if isinstance(answers, dict) and "error" in answers:
        raise CollectError(f"{address}: {_refusal(answers['error'])}")
    if not isinstance(answers, list) or len(answers) != len(batch):
        raise CollectError(f"{address}: no answer to a batch of {len(batch)} calls")
    return [_result(address, request, each) for request, each in zip(batch, answers, strict=True)]


def _result(address: str, request: dict[str, Any], answer: object) -> Answer:
    if not isinstance(answer, dict) or answer.get("jsonrpc") != "2.0" or answer.get("id") != request["id"]:
        raise CollectError(f"{address}: {request['method']}: an answer that is not to this call")
    if "error" in answer:
        return Failure(_refusal(answer["error"]))
    result = answer.get("result")
    return result if isinstance(result, dict) else Failure("an answer without result")


def _refusal(error: object) -> str:
    if not isinstance(error, dict):
        return "an error without words"
    words = [str(error[part]) for part in ("code", "message", "data") if error.get(part) not in (None, "")]
    return " ".join(" ".join(words).split())[:200] or "an error without words"


def status_text(status: object) -> str:
    """A status of a path, in words where it is a known one."""
    name = STATUS_NAMES.get(status) if isinstance(status, int) else None
    return f"status {status} ({name})" if name else f"status {status!r:.20}"


def values(path: str, content: object, written_s: object) -> Iterator[OdbValue]:
    """All keys of a subtree as `db_get_values` encodes it: beside each key in small letters stand `KEY/name` and `KEY/last_written`."""
    if not isinstance(content, dict):
        yield OdbValue(path, content, written_s if isinstance(written_s, int) else 0)
        return
    for key, value in content.items():
        if "/" in key:  # not a key, as none can have a "/" in its name
            continue
        name = content.get(f"{key}/name")
        yield from values(f"{path}/{name if isinstance(name, str) else key}", value, content.get(f"{key}/last_written"))


def is_number(value: object) -> bool:
    """Whether a value of the ODB is a number: also the texts that stand for one."""
    if isinstance(value, str):
        return value in _NOT_FINITE or _WORD.fullmatch(value) is not None
    return isinstance(value, int | float)
