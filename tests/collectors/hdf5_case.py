"""A file of maps that can be spoilt."""

from __future__ import annotations

from datetime import UTC, datetime

import h5py
import numpy as np

from collectors.collector import Collector
from collectors.hdf5 import Hdf5Collector, Hdf5Options
from tests.collectors.case import ORIGIN, FileCase


class Hdf5Case(FileCase):
    kind = Hdf5Collector
    name = "maps.hdf5"

    def build(self) -> Collector:
        return Hdf5Collector(ORIGIN, Hdf5Options(files=str(self.path), row_period_s=10, start=datetime(2025, 3, 1, tzinfo=UTC)))

    def _show(self, **maps: object) -> None:
        with h5py.File(self.folder / "made.hdf5", "w") as file:
            for name, cells in maps.items():
                file[name] = cells
        self.write((self.folder / "made.hdf5").read_bytes())

    def good(self) -> None:
        self._show(victim=np.ones((2, 3, 4)), survivor=np.ones((2, 5)))

    def empty(self) -> None:
        self._show()

    def half(self) -> None:
        self.good()
        self.write(self.path.read_bytes()[:-300])

    def bad(self, what: str) -> None:
        cells = np.ones((2, 3, 4))
        cells[1, 0, 2] = np.nan if what == "nan" else np.inf
        texts = np.full((2, 3, 4), b"broken", dtype="S6")
        self._show(victim=texts if what == "text" else cells, survivor=np.ones((2, 5)))


CASES = (Hdf5Case,)
