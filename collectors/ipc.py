"""Reads the one record batch of an Arrow IPC stream, and nothing that could be larger than the bytes it came in."""

from __future__ import annotations

import struct

import pyarrow as pa

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_HEADER, _COMPRESSION = 2, 3
"""Field numbers in the flatbuffer tables Message and RecordBatch (Arrow columnar format, Message.fbs)."""


def read_batch(data: bytes | memoryview) -> pa.RecordBatch:
    """The batch; its arrays are views into `data`. Raises ValueError, OSError or an ArrowException where it is anything else.

    A compressed batch is refused: a few kilobytes of it can unfold to gigabytes. So is a stream that was cut off, also where
    only its end mark is missing, and one of several batches, of which the later ones would be lost.
    """
    if bytes(data[-8:]) != _END_OF_STREAM:
        raise ValueError("the stream is cut off")
    reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(data))
    messages = list(reader)
    if [message.type for message in messages] != ["schema", "record batch"]:
        raise ValueError(f"messages are {', '.join(message.type for message in messages[:5])}; expected one schema and one record batch")
    if _is_compressed(messages[1].metadata.to_pybytes()):
        raise ValueError("the record batch is compressed")
    batch = pa.ipc.read_record_batch(messages[1], pa.ipc.read_schema(messages[0]))
    batch.validate(full=True)
    return batch


def _is_compressed(message: bytes) -> bool:
    (root,) = struct.unpack_from("<I", message)
    header = _field(message, root, _HEADER)
    if header is None:
        raise ValueError("a message without its header")
    (offset,) = struct.unpack_from("<I", message, header)
    return _field(message, header + offset, _COMPRESSION) is not None


def _field(message: bytes, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer table lies; None where the table does not have it."""
    (to_vtable,) = struct.unpack_from("<i", message, table)
    vtable = table - to_vtable
    (size,) = struct.unpack_from("<H", message, vtable)
    at = 4 + 2 * number
    (offset,) = struct.unpack_from("<H", message, vtable + at) if at < size else (0,)
    return table + offset if offset else None
