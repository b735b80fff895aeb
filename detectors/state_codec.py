"""Nested state of plain values and NumPy arrays as bytes. Never pickle: state is data, not code."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ARRAY = "__array__"
_NUMBER = "__number__"


def to_npz(state: Any) -> bytes:  # noqa: ANN401 - any nesting of dict, list, plain values and arrays
    """The state as an npz archive; tuples become lists. Raises TypeError or ValueError where it holds anything else."""
    arrays: list[NDArray[Any]] = []
    text = json.dumps(_without_arrays(state, arrays), separators=(",", ":"), allow_nan=False)
    buffer = io.BytesIO()
    named: dict[str, Any] = {"text": np.frombuffer(text.encode(), dtype=np.uint8)}
    named.update((f"a{i}", array) for i, array in enumerate(arrays))
    np.savez(buffer, allow_pickle=False, **named)
    return buffer.getvalue()


def from_npz(data: bytes) -> Any:  # noqa: ANN401 - as written
    """What `to_npz` wrote. Raises ValueError where the bytes are something else."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = [archive[f"a{i}"] for i in range(len(archive.files) - 1)]
            return _with_arrays(json.loads(archive["text"].tobytes()), arrays)
    except _RUBBISH as error:
        raise ValueError(f"not a packed state: {error}") from None


def pack(state: Any) -> bytes:  # noqa: ANN401 - as for `to_npz`
    """The state as compressed bytes; tuples become lists. Raises TypeError or ValueError where it holds anything else."""
    return zlib.compress(to_npz(state), level=1)


def unpack(data: bytes) -> Any:  # noqa: ANN401 - as packed
    """What was packed. Raises ValueError where the bytes are something else."""
    try:
        raw = zlib.decompress(data)
    except (zlib.error, TypeError, MemoryError) as error:
        raise ValueError(f"not a packed state: {error}") from None
    return from_npz(raw)


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
