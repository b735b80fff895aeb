"""One value of JSON as the number of a channel, and every number of a document under its path."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from collectors.frame import Channel, Kind

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf(inity)?)", re.IGNORECASE | re.ASCII)
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
_PLAIN_KEY = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WORDS = {"true": 1.0, "false": 0.0, "": math.nan, "nan": math.nan, "null": math.nan}
_TOO_LARGE_WORD = 2.0**53
"""From here on a number has lost its lowest bits."""
TRUTH_STATES = ("false", "true")
SHOWN_CHARACTERS = 60


def load(text: str) -> Any:  # noqa: ANN401 - a document of JSON is anything
    """A document of JSON. Halves of surrogate pairs, which cannot be written as UTF-8, become "?". Raises ValueError, RecursionError."""
    document = json.loads(text)
    if "\\ud" in text or "\\uD" in text:
        document = json.loads(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))
    return document


def shown(value: object) -> str:
    """A value as JSON, cut, for messages."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


def number(value: object) -> float | None:
    """A number from a number, a truth value or a text that holds nothing else; NaN for null, "" and NaN, None for anything else."""
    if isinstance(value, str):
        return _number_of_text(value.strip())
    if isinstance(value, bool | int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return math.nan if value is None else None


def _number_of_text(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    if _HEXADECIMAL.fullmatch(text):
        return float(int(text, 16))
    return _WORDS.get(text.lower())


def is_numeric(value: object) -> bool:
    """Whether a value is a number, a truth value, or a text that is a decimal number."""
    return isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value) is not None)


def state(value: object, states: Sequence[str]) -> float | None:
    """The index of a state from its name, in any case of letters, or from its number."""
    if isinstance(value, str):
        wanted = value.strip().casefold()
        for index, name in enumerate(states):
            if name.casefold() == wanted:
                return float(index)
    return number(value)


def reading(value: object, channel: Channel) -> tuple[float, str]:
    """The number that a channel shows, NaN where it shows none, and what is wrong with the value ("" where nothing is)."""
    found = state(value, channel.states) if channel.kind is Kind.STATE else number(value)
    if found is None:
        what = "none of its states" if channel.kind is Kind.STATE and isinstance(value, str) else "not a number"
        return math.nan, f"{shown(value)} is {what}"
    problem = _problem(found, channel)
    return (math.nan if problem else found), problem


def _problem(found: float, channel: Channel) -> str:
    if math.isnan(found):
        return ""
    if math.isinf(found):
        return f"{found:g} is no reading"
    if channel.kind is Kind.COUNTER and found < 0:
        return f"a counter of {found:g}"
    if channel.kind is Kind.STATE and channel.states and found not in range(len(channel.states)):
        return f"{found:g} is none of its {len(channel.states)} states"
    if channel.kind is Kind.BITS and (found < 0 or found != int(found) or found >= _TOO_LARGE_WORD):
        return f"{found:g} is no status word{' of at most 53 bits' * (found >= _TOO_LARGE_WORD)}"
    return ""


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value of a document that holds no others, with its JMESPath expression, in the order of the document."""
    pending: list[tuple[str, object]] = [(path, value)]
    while pending:
        at, found = pending.pop()
        if isinstance(found, dict):
            pending += [(_member(at, str(key)), member) for key, member in reversed(found.items())]
        elif isinstance(found, list):
            pending += [(f"{at}[{index}]", found[index]) for index in range(len(found) - 1, -1, -1)]
        else:
            yield at or "@", found


def _member(path: str, key: str) -> str:
    name = key if _PLAIN_KEY.fullmatch(key) else json.dumps(key)
    return f"{path}.{name}" if path else name
