"""Reads record batches of Arrow IPC streams, and nothing that could be larger than the bytes it came in."""

from __future__ import annotations

import struct

import pyarrow as pa
import pyarrow.compute as pc

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_HEADER, _COMPRESSION = 2, 3
"""Field numbers in the flatbuffer tables Message and RecordBatch (Arrow columnar format, Message.fbs)."""
_DICTIONARY_DATA = 1
"""Field number of the record batch in the table DictionaryBatch."""
MAX_TEXT_BYTES = 1000


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


def read_batches(data: bytes | memoryview) -> list[pa.RecordBatch]:
    """All batches of a third party's stream. Raises ValueError, OSError or an ArrowException where it is anything else.

    As in `read_batch`, compressed and cut streams are refused; so are batches that claim more cells than their bytes can hold,
    and dictionaries of long texts, which unfold in the same way.
    """
    if bytes(data[-8:]) != _END_OF_STREAM:
        raise ValueError("the stream is cut off")
    buffer = pa.py_buffer(data)
    for message in pa.ipc.MessageReader.open_stream(buffer):
        if message.type in ("record batch", "dictionary") and _is_compressed(message.metadata.to_pybytes(), message.type):
            raise ValueError("a record batch is compressed")
    batches = list(pa.ipc.open_stream(buffer))
    if sum(batch.num_rows * max(batch.num_columns, 1) for batch in batches) > 8 * len(data):
        raise ValueError("more cells than its bytes can hold")
    for batch in batches:
        batch.validate(full=True)
        for column in batch.columns:
            if pa.types.is_dictionary(column.type) and len(column.dictionary) and _longest_text(column.dictionary) > MAX_TEXT_BYTES:
                raise ValueError(f"a dictionary with texts of more than {MAX_TEXT_BYTES} bytes")
    return batches


def _longest_text(texts: pa.Array) -> int:
    is_text = pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)
    return int(pc.max(pc.binary_length(texts)).as_py() or 0) if is_text else 0


def _is_compressed(message: bytes, kind: str = "record batch") -> bool:
    (root,) = struct.unpack_from("<I", message)
    header = _field(message, root, _HEADER)
    if header is None:
        raise ValueError("a message without its header")
    (offset,) = struct.unpack_from("<I", message, header)
    table = header + offset
    if kind == "dictionary":
        data = _field(message, table, _DICTIONARY_DATA)
        if data is None:
            raise ValueError("a dictionary without its batch")
        (offset,) = struct.unpack_from("<I", message, data)
        table = data + offset
    return _field(message, table, _COMPRESSION) is not None


def _field(message: bytes, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer table lies; None where the table does not have it."""
    (to_vtable,) = struct.unpack_from("<i", message, table)
    vtable = table - to_vtable
    (size,) = struct.unpack_from("<H", message, vtable)
    at = 4 + 2 * number
    (offset,) = struct.unpack_from("<H", message, vtable + at) if at < size else (0,)
    return table + offset if offset else None
