"""Nested state of plain values and NumPy arrays as bytes, and incidents as text. Never pickle: state is data, not code."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon import messages
from daemon.records import Incident, Plan

_ARRAY = "__array__"
_NUMBER = "__number__"


def pack(state: Any) -> bytes:  # noqa: ANN401 - any nesting of dict, list, plain values and arrays
    """The state as compressed bytes; tuples become lists. Raises TypeError or ValueError where it holds anything else."""
    arrays: list[NDArray[Any]] = []
    text = json.dumps(_without_arrays(state, arrays), separators=(",", ":"), allow_nan=False)
    buffer = io.BytesIO()
    named: dict[str, Any] = {"text": np.frombuffer(text.encode(), dtype=np.uint8)}
    named.update((f"a{i}", array) for i, array in enumerate(arrays))
    np.savez(buffer, allow_pickle=False, **named)
    return zlib.compress(buffer.getvalue(), level=1)


def unpack(data: bytes) -> Any:  # noqa: ANN401 - as packed
    """What was packed. Raises ValueError where the bytes are something else."""
    try:
        with np.load(io.BytesIO(zlib.decompress(data)), allow_pickle=False) as archive:
            arrays = [archive[f"a{i}"] for i in range(len(archive.files) - 1)]
            return _with_arrays(json.loads(archive["text"].tobytes()), arrays)
    except _RUBBISH as error:
        raise ValueError(f"not a packed state: {error}") from None


_RUBBISH = (
    *(zlib.error, zipfile.BadZipFile, OSError, EOFError, ValueError, LookupError),
    *(TypeError, AttributeError, NotImplementedError, RecursionError, MemoryError),  # another kind of archive, or arrays of absurd size
)


def _without_arrays(value: Any, arrays: list[NDArray[Any]]) -> Any:  # noqa: ANN401
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {_ARRAY: len(arrays) - 1}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {_NUMBER: str(value)}
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value) or _ARRAY in value or _NUMBER in value:
            raise TypeError(f"state with keys {', '.join(map(repr, value))[:80]}: keys must be text, and not {_ARRAY} or {_NUMBER}")
        return {key: _without_arrays(entry, arrays) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(entry, arrays) for entry in value]
    return value


def _with_arrays(value: Any, arrays: list[NDArray[Any]]) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        if _ARRAY in value:
            return arrays[value[_ARRAY]]
        if _NUMBER in value:
            return float(value[_NUMBER])
        return {key: _with_arrays(entry, arrays) for key, entry in value.items()}
    return [_with_arrays(entry, arrays) for entry in value] if isinstance(value, list) else value


def write_incident(incident: Incident) -> str:
    """The incident as text for a column."""
    return messages.encode(incident).decode()


def read_incident(record: str) -> Incident:
    """The incident of such a text."""
    incident = messages.decode(record.encode())
    if not isinstance(incident, Incident):
        raise messages.MessageError("record of an incident is something else")
    return incident


def write_plan(plan: Plan) -> str:
    """The plan as text for a column."""
    return messages.encode(plan).decode()


def read_plan(record: str) -> Plan:
    """The plan of such a text."""
    plan = messages.decode(record.encode())
    if not isinstance(plan, Plan):
        raise messages.MessageError("record of a plan is something else")
    return plan
