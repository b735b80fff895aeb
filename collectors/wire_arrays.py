"""Columns of a block as NumPy arrays and back, without a copy; what does not fit is a WireError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class WireError(ValueError):
    """Bytes that are not a block or a layout; the message says why."""


def flat(values: NDArray[Any]) -> pa.Array:
    """The values as an Arrow array without a copy; pyarrow.array would do, but imports pandas to have a look."""
    values = np.ascontiguousarray(values).reshape(-1)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def matrix(values: NDArray[Any]) -> pa.FixedSizeListArray:
    """Rows of equal width as an Arrow array without a copy; shape (n, width)."""
    entries = flat(values)
    rows, width = values.shape  # from_arrays would divide by a width of 0
    return pa.FixedSizeListArray.from_buffers(pa.list_(entries.type, width), rows, [None], children=[entries])


def column(arrays: Mapping[str, pa.Array], name: str) -> pa.Array:
    """The column of this name, which must have no nulls. Raises WireError."""
    array = arrays.get(name)
    if array is None:
        raise WireError(f"column {name!r} is missing")
    if array.null_count:
        raise WireError(f"column {name!r} has nulls; no reading is NaN")
    return array


def plain(arrays: Mapping[str, pa.Array], name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A column of plain numbers of a type; shape (n,). Raises WireError."""
    array = column(arrays, name)
    if array.type != pa.from_numpy_dtype(dtype):
        raise WireError(f"column {name!r} is {array.type}, not {dtype}")
    return view(array, dtype)


def read_matrix(arrays: Mapping[str, pa.Array], name: str, width: int, types: Sequence[pa.DataType]) -> NDArray[Any]:
    """A column of rows of equal width, of one of these types; shape (n, width). Raises WireError."""
    array = column(arrays, name)
    if not pa.types.is_fixed_size_list(array.type) or array.type.value_type not in types:
        raise WireError(f"column {name!r} is {array.type}, not rows of {' or '.join(map(str, types))}")
    if array.type.list_size != width:
        raise WireError(f"column {name!r} has {array.type.list_size} values a row, the layout has {width}")
    entries = array.flatten()
    if entries.null_count:
        raise WireError(f"column {name!r} has nulls; no reading is NaN")
    return view(entries, np.dtype(entries.type.to_pandas_dtype())).reshape(len(array), width)


def view(array: pa.Array, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The values without a copy, read-only; shape (n,). pyarrow's to_numpy would do, but imports pandas, 40 MB of memory, first."""
    data = array.buffers()[1]
    if data is None or not len(array):
        return np.empty(0, dtype)
    try:
        return np.frombuffer(data, dtype, count=len(array), offset=array.offset * dtype.itemsize)
    except ValueError as error:
        raise WireError(f"not a block: {one_line(error)}") from None


def one_line(error: BaseException) -> str:
    """What an error says, in one short line."""
    return " ".join(str(error).split())[:200]
