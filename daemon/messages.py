"""Everything on the bus that is not a block of data, as JSON: findings, progress, incidents, labels, dead letters.

Dataclasses are written field by field and read back through pydantic, so that a message from elsewhere that does not
fit is refused with the name of the field.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from daemon.records import Incident, Label, Plan
from detectors.finding import Finding

MAX_DEAD_PAYLOAD_BYTES = 64_000


class MessageError(ValueError):
    """A message that cannot be read; says which field is wrong."""


@dataclass(frozen=True, slots=True)
class FindingReport:
    """What a detect stage says of a finding at an event time: it was raised, changed or cleared.

    `at_ns` rises within a stream and lies beyond the progress reported before, so that a repeat is recognised. `figure` is
    the picture of its evidence as `detectors.figure.encode` gives it, "" where there is none; `conditions` says in which run
    it was ("run 382711, LS 214 · stable beams").
    """

    stream: str
    at_ns: int
    finding: Finding
    figure: str = ""
    conditions: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """A stream has been judged up to this event time: nothing older will be reported."""

    stream: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A person called an incident no problem; `findings` are its keys.

    A detector that has asked whether one of them is the new normal takes it as a yes, and one that has not asked yet will not.
    """

    incident: str
    findings: tuple[str, ...]
    who: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Input that could not be used, with the reason; the payload is cut to 64 kB and base64."""

    time_ns: int
    origin: str
    subject: str
    reason: str
    payload: str = ""

    @classmethod
    def of(cls, time_ns: int, origin: str, subject: str, reason: str, payload: bytes = b"") -> DeadLetter:
        """A dead letter with its payload encoded."""
        return cls(time_ns, origin, subject, reason[:2000], base64.b64encode(payload[:MAX_DEAD_PAYLOAD_BYTES]).decode())


@dataclass(frozen=True, slots=True)
class StageStatus:
    """How a stage of a process is, every few seconds of wall time: what the page and `shiftwatch status` show.

    `process` is host and process id; `status` what the stage says of itself.
    """

    process: str
    stage: str
    time_ns: int
    status: dict[str, Any]


Message = FindingReport | Progress | Answer | DeadLetter | Incident | Label | Plan | StageStatus


_KINDS = (FindingReport, Progress, Answer, DeadLetter, Incident, Label, Plan, StageStatus)
_TYPES: dict[str, type[Any]] = {kind.__name__: kind for kind in _KINDS}


@cache
def _adapter(name: str) -> TypeAdapter[Message]:
    return TypeAdapter(_TYPES[name])


def _strict(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """NaN and infinities as text, which JSON has no numbers for and pydantic reads back as numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, dict):
        return {key: _strict(entry) for key, entry in value.items()}
    return [_strict(entry) for entry in value] if isinstance(value, list) else value


def _int64(digits: str) -> int:
    number = int(digits)
    if abs(number) >= 2**63:
        raise ValueError(f"{digits[:24]} has more than 64 bits")
    return number


def encode(message: Message) -> bytes:
    """The message as JSON with the name of its type. Bytes of a file's name that are no text become question marks."""
    name = type(message).__name__
    body = _strict(_adapter(name).dump_python(message, mode="json"))
    return json.dumps({"type": name, **body}, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(errors="replace")


def decode(data: bytes) -> Message:
    """The message in these bytes. Raises MessageError."""
    try:
        body = json.loads(data, parse_int=_int64)
        kind = body.pop("type")
        if kind not in _TYPES:
            raise MessageError(f"not a message of shiftwatch: type {kind[:40]!r}")
        if b"\\ud" in data.lower():
            json.dumps(body, ensure_ascii=False).encode()  # half a character would fail only where it is written again
        return _adapter(kind).validate_python(body)
    except ValidationError as error:
        first = error.errors()[0]
        raise MessageError(f"{kind}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except MessageError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MessageError(f"not a message of shiftwatch: {type(error).__name__}") from None
