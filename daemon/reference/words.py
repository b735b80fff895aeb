"""Types and values of options in words that a person who writes TOML knows."""

from __future__ import annotations

import datetime as dt
import json
import shlex
import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

_PLAIN: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "secret text",
    SecretBytes: "secret text",
    dt.datetime: "time",
    dt.date: "date",
    Any: "any value",
    object: "any value",
}
_PLURAL = {"true or false": "true or false", "any value": "any values"}
_BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
_LENGTHS = {"min_length": "at least", "max_length": "at most"}


def type_words(annotation: Any, metadata: Sequence[Any] = ()) -> str:  # noqa: ANN401 - any type
    """A type in words: "list of texts", "number > 0", '"a" or "b"'. `metadata`: constraints, as in a field's `metadata`."""
    plain = _type(annotation)
    bounds = ", ".join(_bounds(metadata))
    return f"{plain} {bounds.replace('(at least 1)', '(not empty)')}" if bounds else plain


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401
    """Models that a value of this type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def is_secret(annotation: Any) -> bool:  # noqa: ANN401
    """Whether the option holds a secret itself, and not the name of a file with one."""
    return annotation in (SecretStr, SecretBytes) or any(is_secret(part) for part in get_args(annotation))


def default_words(field: FieldInfo) -> str:
    """The default as TOML; "required" where there is none, "" where leaving it out is what it means."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    return "" if value is None or isinstance(value, BaseModel) else toml(value)


def toml(value: Any) -> str:  # noqa: ANN401 - any value of an option
    """A value as TOML has it on one line. Raises TypeError for what TOML has no value for."""
    if isinstance(value, Enum):
        return toml(value.value)
    if isinstance(value, BaseModel):
        return toml(value.model_dump(exclude_defaults=True))
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {toml(entry)}" for key, entry in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(toml(entry) for entry in value) + "]"
    return _scalar(value)


def _scalar(value: object) -> str:
    if isinstance(value, bool | int):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if not isinstance(value, str | Path):
        raise TypeError(f"no TOML for a {type(value).__name__}")
    text = str(value)
    is_literal = "\\" in text and "'" not in text and text.isprintable()  # patterns are read more easily without escapes
    return f"'{text}'" if is_literal else json.dumps(text, ensure_ascii=False)


def plain_or_toml(text: str) -> Any:  # noqa: ANN401 - any value of TOML
    """The value that a TOML value spells; a text that is none stands for itself: http://localhost:9100, /var/log."""
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return document["value"] if document.keys() == {"value"} else text


def assignment(key: str, value: Any) -> str:  # noqa: ANN401
    """KEY=VALUE for a shell, from which `plain_or_toml` reads the same value again."""
    is_plain = isinstance(value, str) and plain_or_toml(value) == value
    return shlex.quote(f"{key}={value if is_plain else toml(value)}")


def _key(key: str) -> str:
    return key if key and key.isascii() and key.replace("_", "").replace("-", "").isalnum() else json.dumps(key, ensure_ascii=False)


def _type(annotation: Any) -> str:  # noqa: ANN401
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(toml(member.value) for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"table ({annotation.__name__})"
    return _compound(get_origin(annotation), get_args(annotation)) or str(getattr(annotation, "__name__", annotation))


def _compound(origin: Any, parts: tuple[Any, ...]) -> str:  # noqa: ANN401
    """The type that is made of parts; "" where it is none."""
    words = ""
    if origin is Annotated:
        words = type_words(parts[0], parts[1:])
    elif origin is Literal:
        words = " or ".join(toml(value) for value in parts)
    elif origin in (Union, types.UnionType):
        words = " or ".join(dict.fromkeys(_type(part) for part in parts if part is not type(None)))
    elif origin is tuple and len(parts) > 1 and parts[1] is not Ellipsis:
        words = f"list of {', '.join(_type(part) for part in parts)}"
    elif origin in (tuple, list, set, frozenset, Sequence):
        words = f"list of {_plural(_type(parts[0]))}"
    elif origin in (dict, Mapping):
        words = f"table of {_plural(_type(parts[1]))}"
    return words


def _plural(words: str) -> str:
    if words in _PLURAL:
        return _PLURAL[words]
    for one in ("whole number", "number", "secret text", "text", "path", "time", "date", "list", "table"):
        if words == one or words.startswith(one + " "):
            return f"{one}s{words[len(one) :]}"
    return words


def _bounds(metadata: Sequence[Any]) -> Iterator[str]:
    """Limits that constraints set, in words; validators have none."""
    for constraint in metadata:
        if isinstance(constraint, FieldInfo):
            yield from _bounds(constraint.metadata)
        for name, sign in _BOUNDS.items():
            if isinstance(limit := getattr(constraint, name, None), int | float):
                yield f"{sign} {limit:g}"
        for name, sign in _LENGTHS.items():
            if isinstance(limit := getattr(constraint, name, None), int):
                yield f"({sign} {limit})"
