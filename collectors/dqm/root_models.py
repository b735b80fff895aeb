"""Histograms of unusual versions, read by uproot with the streamer info of their own file: slow, and it knows them all."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
import uproot

from collectors.dqm.root_files import Key, RootFile
from collectors.dqm.root_histograms import Content, axis
from collectors.dqm.root_streams import DamagedHistogramError
from collectors.frame import Axis, Storage
from collectors.quantities import from_title

Model = tuple[tuple[Axis, ...], Storage, Content]


class ModelReader:
    """Reads single objects of one open file through uproot, which is opened only when the first is asked for."""

    def __init__(self, file: RootFile) -> None:
        self._file = file
        self._directory: Any = None

    def read(self, path: str, key: Key) -> Model:
        """Axes, storage and numbers of one histogram. Raises DamagedHistogramError."""
        try:
            if self._directory is None:
                opened = io.FileIO(os.dup(self._file.descriptor))
                self._directory = uproot.open(opened, object_cache=None, array_cache=None)
            return from_model(self._directory[f"{path};{key.cycle}"])
        except DamagedHistogramError:
            raise
        except Exception as error:  # noqa: BLE001 - damaged bytes can make uproot fail anywhere, with any exception
            raise DamagedHistogramError(f"uproot cannot read it: {type(error).__name__}: {str(error).partition(chr(10))[0]}") from None

    def close(self) -> None:
        """Ends uproot's use of the file."""
        if self._directory is not None:
            self._directory.close()


def from_model(model: Any) -> Model:  # noqa: ANN401 - uproot's classes have no types
    """Axes, storage and numbers of a histogram that uproot has read."""
    is_profile = model.classname.startswith("TProfile")
    dimensions = {"TProfile": 1, "TProfile2D": 2, "TProfile3D": 3}[model.classname] if is_profile else int(model.classname[2])
    axes = tuple(_axis(model.member(f"f{letter}axis"), letter.lower()) for letter in "XYZ"[:dimensions])
    cells = np.asarray(_array(model))
    sum_w2 = np.asarray(model.member("fSumw2"))
    entries = float(model.member("fEntries"))
    if is_profile:
        weights = np.asarray(model.member("fBinEntries"))
        weights_squared = model.member("fBinSumw2", none_if_missing=True)
        kept = np.asarray(weights_squared) if weights_squared is not None and len(weights_squared) else weights
        return axes, Storage.PROFILE, Content(entries, (weights, kept, cells, sum_w2))
    if len(sum_w2):
        return axes, Storage.WEIGHTED, Content(entries, (cells, sum_w2))
    return axes, Storage.COUNT, Content(entries, (cells,))


def _array(model: Any) -> Any:  # noqa: ANN401 - as above
    """The contents: the TArray that is a base of the histogram, or of the base of a profile."""
    for base in model.bases:
        if type(base).__name__.startswith("Model_TArray"):
            return base
        if (found := _array(base)) is not None:
            return found
    return None


def _axis(model: Any, default_name: str) -> Axis:  # noqa: ANN401 - as above
    name, unit = from_title(model.member("fTitle"), default_name)
    labels = {int(label.member("@fUniqueID")): str(label) for label in model.member("fLabels", none_if_missing=True) or ()}
    edges = np.asarray(model.member("fXbins"))
    return axis(name, unit, int(model.member("fNbins")), model.member("fXmin"), model.member("fXmax"), edges, labels)
