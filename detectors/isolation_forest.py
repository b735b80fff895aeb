"""Isolation forest: combinations of readings that a few random cuts set apart from the usual ones (F. Liu et al., ICDM 2008).

It sees what no channel shows alone, such as a current that does not fit its voltage. It learns the usual region and nothing of
how far beyond it a reading is: the score levels off, and one bad channel among many hardly moves it, for few cuts are made in it.
Give it small groups; `robust_z` finds one among many.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pyod.models.iforest import IForest

from collectors.collector import Options
from collectors.frame import Frame
from detectors.finding import Evidence
from detectors.packed_forest import PackedForest, pack
from detectors.picturing import BAND_SPREADS
from detectors.row_models import RowModelDetector
from detectors.selection import SelectionOptions
from detectors.wording import listed

Array = NDArray[np.float64]

RANKED_MOST = 10
TRIED_MOST = 64
"""Channels, those furthest from usual, whose part in a score is tried out."""


class IsolationForestOptions(SelectionOptions):
    """Options of the detector `isolation_forest`."""

    group_depth: int = Field(default=0, ge=0)
    """Channels whose places agree in so many steps share a forest; 0: all channels of the source."""
    trees: int = Field(default=100, ge=1)
    samples: int = Field(default=256, ge=2)
    """Rows that each tree is grown on."""
    seed: int = Field(default=1, ge=0, lt=2**32)


class IsolationForestDetector(RowModelDetector[PackedForest]):
    """An isolation forest for each group of gauges, grown by pyod and scored from flat arrays: between 0 and 1, about 0.5 is usual.

    Cost: O(rows x trees x depth) to score. A row is judged where half of the channels of the group have a reading; for those
    that have none, the usual value stands.

    Example::

        [detector.isolation_forest]
        include = ["*:IMon", "*:VMon"]
        group_depth = 3
        trees = 100
    """

    options_model: ClassVar[type[Options]] = IsolationForestOptions
    rows_needed: ClassVar[int] = 100
    version: ClassVar[int] = 3
    limit: ClassVar[float] = 1e6

    def __init__(self, name: str, options: IsolationForestOptions) -> None:
        super().__init__(name, options, options.group_depth)
        self._options = options

    def scores(self, model: PackedForest, z: Array, there: NDArray[np.bool_]) -> Array:  # noqa: ARG002 - the signature of the base
        """The forest's scores."""
        return model.score(z)

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """Channels by how much the score falls when their reading is replaced by the usual one."""
        view = self.groups.views.of(frame.layout)[unit]
        z = self.groups.matrix(frame.rows(slice(row, row + 1)), view, self.limit)[0][0]
        tried = np.argsort(-np.abs(z[view.present]), kind="stable")[:TRIED_MOST]
        replaced = np.tile(z, (len(tried), 1))
        replaced[np.arange(len(tried)), view.present[tried]] = 0.0
        forest = self.models[view.number]
        gain = np.zeros(len(view.present))
        gain[tried] = np.maximum(forest.score(z[None])[0] - forest.score(replaced), 0.0)
        order = np.lexsort((-np.abs(z[view.present]), -gain))[:RANKED_MOST]
        share = gain / max(float(gain.sum()), 1e-300)
        ranked = tuple(self.contribution(frame, view, row, int(i), 0.0, float(share[i])) for i in order)
        names = [c.name for c in ranked if c.share > 0][:3]
        said = f"Readings of {view.group.name} do not usually occur together"
        return Evidence(f"{said}: {listed(names)}" if names else said, ranked)

    def title(self, group: str) -> str:
        """What a picture of a group shows."""
        return f"Readings of {group} that do not usually occur together"

    def band(self, model: PackedForest, z: Array, feature: int) -> tuple[float, float]:  # noqa: ARG002 - the signature of the base
        """The usual range."""
        return 0.0, BAND_SPREADS

    def model_of(self, state: Mapping[str, Any]) -> PackedForest:
        """A forest from its `state`."""
        return PackedForest.of(state)

    def learn(self, z: Array, there: NDArray[np.bool_]) -> PackedForest:  # noqa: ARG002 - the signature of the base
        """Grows a forest."""
        options = self._options
        model = IForest(options.trees, max_samples=min(options.samples, len(z)), n_jobs=1, random_state=options.seed)
        model.fit(z)
        return pack([tree.tree_ for tree in model.estimators_], model.max_samples_)
