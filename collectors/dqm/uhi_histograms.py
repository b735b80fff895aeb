"""Histograms in the UHI form: axes, storages and flow bins as hist, boost-histogram and uhi write them.

The form is the JSON schema of uhi, version 1 (https://uhi.readthedocs.io/en/latest/serialization.html).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Axis, Storage
from collectors.quantities import from_title

SCHEMA_VERSION = 1
MAX_BINS = 2**25
"""A histogram that claims to have more bins than this is damage, not data."""
_DEFAULT_NAMES = "xyz"
_UNNAMED = re.compile(r"Axis \d+")
"""What hist calls an axis that has no label."""
_SINGLE_ENTRY_RATIO = 1e-9
"""Below this share of the weights, the degrees of freedom of a weighted variance are the rounding of a single entry's."""

Array = NDArray[np.float64]
Sums = tuple[Array, ...]


class UhiFormatError(ValueError):
    """A histogram that contradicts itself or the schema."""


class UhiAxis(NamedTuple):
    """An axis, and which flow bins it has."""

    axis: Axis
    underflow: bool
    overflow: bool

    @property
    def extent(self) -> int:
        """Bins as stored, flow bins included."""
        return self.axis.bins + self.underflow + self.overflow


@dataclass(frozen=True, slots=True)
class UhiHistogram:
    """One histogram: its axes, and each of the storage's sums as an array over all of them.

    With `flow` every axis has both flow bins; those that the file does not have are 0.
    """

    axes: tuple[Axis, ...]
    storage: Storage
    flow: bool
    sums: Sums

    @property
    def entries(self) -> float:
        """Number of entries, flow bins included; of a weighted histogram, which does not keep it, the sum of weights."""
        return float(self.sums[0].sum())

    def write(self, row: NDArray[np.float64], axes: Sequence[Axis]) -> None:  # noqa: ARG002 - the arrays are in the frame's order already
        """Fills the histogram's section of a frame's row."""
        row[0] = self.entries
        at = 1
        for values in self.sums:
            row[at : at + values.size] = values.reshape(-1)
            at += values.size


def histograms_in(document: object, default_name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and form of every histogram: of the document itself, or of named ones and lists of them in any depth.

    In a dictionary the key is the name; in a list, and alone, it is what the metadata say, else the place in the list or `default_name`.
    """
    if _is_histogram(document):
        yield _own_name(document) or default_name, document
    else:
        yield from _below(document, "")


def parse(form: dict[str, Any]) -> UhiHistogram:
    """A histogram from its form, with the sums that can be added and differenced. Raises UhiFormatError."""
    if form.get("uhi_schema") != SCHEMA_VERSION:
        raise UhiFormatError(f"uhi_schema is {form.get('uhi_schema')!r:.40}, only {SCHEMA_VERSION} is known")
    try:
        axes = tuple(_axis(axis, i) for i, axis in enumerate(form["axes"]))
        if not axes:
            raise UhiFormatError("it has no axes")
        if math.prod(axis.extent for axis in axes) > MAX_BINS:
            raise UhiFormatError(f"it claims to have more than {MAX_BINS} bins")
        data = form["storage"]
        storage, sums = _sums(data, tuple(axis.extent for axis in axes))
    except (KeyError, TypeError, ValueError, OverflowError, IndexError, AttributeError) as error:
        if isinstance(error, UhiFormatError):
            raise
        what = f"it has no {error}" if isinstance(error, KeyError) else f"it does not follow the schema: {error}"
        raise UhiFormatError(" ".join(what.split())[:200]) from None
    flow = any(axis.underflow or axis.overflow for axis in axes)
    if flow:
        missing = [(int(not axis.underflow), int(not axis.overflow)) for axis in axes]
        sums = tuple(np.pad(values, missing) for values in sums)
    return UhiHistogram(tuple(axis.axis for axis in axes), storage, flow, sums)


def _is_histogram(document: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(document, dict) and ("uhi_schema" in document or {"axes", "storage"} <= document.keys())


def _below(document: object, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if _is_histogram(document):
        yield path, document
    elif isinstance(document, dict):
        for key, child in document.items():
            yield from _below(child, f"{path}/{key}" if path else key)
    elif isinstance(document, list):
        for i, child in enumerate(document):
            name = (_own_name(child) if _is_histogram(child) else "") or str(i)
            yield from _below(child, f"{path}/{name}" if path else name)


def _metadata(form: dict[str, Any]) -> dict[str, Any]:
    metadata = form.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _own_name(form: dict[str, Any]) -> str:
    return str(_metadata(form).get("name") or "")


def _axis(form: dict[str, Any], number: int) -> UhiAxis:
    metadata = _metadata(form)
    label = str(metadata.get("label") or "")
    default = str(metadata.get("name") or "") or (_DEFAULT_NAMES[number] if number < len(_DEFAULT_NAMES) else f"axis {number}")
    name, unit = from_title("" if _UNNAMED.fullmatch(label) else label, default)
    kind = form["type"]
    if kind == "regular":
        low, high = float(form["lower"]), float(form["upper"])
        return UhiAxis(Axis(name, unit, form["bins"], low, high), bool(form["underflow"]), bool(form["overflow"]))
    if kind == "variable":
        edges = tuple(float(edge) for edge in form["edges"])
        return UhiAxis(Axis.variable(name, unit, edges), bool(form["underflow"]), bool(form["overflow"]))
    if kind == "boolean":
        return UhiAxis(Axis(name, unit, 2, 0.0, 2.0, labels=("false", "true")), underflow=False, overflow=False)
    if kind in ("category_str", "category_int"):
        labels = tuple(str(category) for category in form["categories"])
        return UhiAxis(Axis(name, unit, len(labels), 0.0, float(len(labels)), labels=labels), underflow=False, overflow=bool(form["flow"]))
    raise UhiFormatError(f"an axis of unknown type {kind!r:.40}")


def _sums(form: dict[str, Any], extents: tuple[int, ...]) -> tuple[Storage, Sums]:
    """The sums of a storage, each of shape `extents`."""
    kind = form["type"]
    if kind not in _FIELDS:
        raise UhiFormatError(f"a storage of unknown type {kind!r:.40}")
    if form.keys() <= {"type"}:
        fields = [np.zeros(extents) for _ in _FIELDS[kind]]
    elif "index" in form:
        fields = [_sparse(form["index"], form[name], extents) for name in _FIELDS[kind]]
    else:
        fields = [_dense(form[name], name, extents) for name in _FIELDS[kind]]
    if kind in ("int", "double"):
        return Storage.COUNT, tuple(fields)
    if kind == "weighted":
        return Storage.WEIGHTED, tuple(fields)
    if kind == "mean":
        weights, mean, variance = fields
        return Storage.PROFILE, _profile(weights, weights, mean, variance, weights - 1.0)
    weights, weights_squared, mean, variance = fields
    with np.errstate(divide="ignore", invalid="ignore"):
        return Storage.PROFILE, _profile(weights, weights_squared, mean, variance, weights - weights_squared / weights)


_FIELDS = {
    "int": ("values",),
    "double": ("values",),
    "weighted": ("values", "variances"),
    "mean": ("counts", "values", "variances"),
    "weighted_mean": ("sum_of_weights", "sum_of_weights_squared", "values", "variances"),
}


def _profile(weights: Array, weights_squared: Array, mean: Array, variance: Array, degrees: Array) -> Sums:
    """Sums that can be added, from means and sample variances, which cannot.

    The squared deviations are variance × degrees of freedom: n - 1, or with weights W - W2 / W (as boost-histogram defines them,
    https://www.boost.org/doc/libs/release/libs/histogram). A bin with a single entry has no variance, and no deviation.
    """
    filled = weights != 0
    has_variance = filled & (np.abs(degrees) > _SINGLE_ENTRY_RATIO * np.abs(weights))
    deviations = np.multiply(variance, degrees, out=np.zeros_like(weights), where=has_variance)
    sum_wy = np.multiply(weights, mean, out=np.zeros_like(weights), where=filled)
    sum_wy2 = deviations + np.multiply(sum_wy, mean, out=np.zeros_like(weights), where=filled)
    return weights, weights_squared, sum_wy, sum_wy2


def _dense(values: object, name: str, extents: tuple[int, ...]) -> Array:
    _refuse_text(values, name)
    array = np.asarray(values, dtype=np.float64)
    if array.shape != extents:
        raise UhiFormatError(f"{name} have the shape {array.shape}, its axes {extents}")
    return array


def _sparse(index: object, values: object, extents: tuple[int, ...]) -> Array:
    _refuse_text(index, "index")
    _refuse_text(values, "values")
    cells, contents = np.asarray(index, dtype=np.int64), np.asarray(values, dtype=np.float64)
    if cells.ndim != 2 or cells.shape != (len(extents), contents.size) or (cells < 0).any() or (np.array(extents) <= cells.T).any():
        raise UhiFormatError(f"an index of shape {cells.shape} that does not fit its axes {extents}")
    array = np.zeros(extents)
    array[tuple(cells)] = contents
    return array


def _refuse_text(values: object, name: str) -> None:
    if isinstance(values, str):
        raise UhiFormatError(f"{name} stand in another file ({values!r:.60})")
