"""Isolation forests as flat arrays: exactly the scores of scikit-learn, without its cost for each call, and without pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import compiled

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PackedForest:
    """All nodes of all trees in a row.

    roots: first node of each tree; feature: -1 in leaves; threshold: float32, rounded down, so that comparing float32 values
    with it gives the same result as with the float64 threshold of scikit-learn; children: shape (nodes, 2), where to go up to
    the threshold and above it; depth: of leaves, the length of the path that isolates a sample there. `usual_depth` is the
    mean length for the number of samples of a tree.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    children: NDArray[np.int32]
    depth: Array
    usual_depth: float

    def score(self, values: Array) -> Array:
        """Anomaly scores between 0 and 1 (F. Liu, K. Ting, Z. Zhou, ICDM 2008); values: shape (n, features), finite."""
        samples = np.ascontiguousarray(values, dtype=np.float32)
        depths = _depths(samples, self.roots, self.feature, self.threshold, self.children, self.depth)
        scores: Array = 2.0 ** -(depths / (len(self.roots) * self.usual_depth))
        return scores

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> PackedForest:
        """From a `state`."""
        roots, feature, children = (np.asarray(state[name], dtype=np.int32) for name in ("roots", "feature", "children"))
        threshold = np.asarray(state["threshold"], dtype=np.float32)
        return cls(roots, feature, threshold, children, np.asarray(state["depth"]), float(state["usual_depth"]))


def pack(trees: Sequence[Any], samples: int) -> PackedForest:
    """From the fitted trees of an isolation forest (their `tree_`), each grown on so many samples with all features."""
    sizes = [tree.node_count for tree in trees]
    roots = np.cumsum([0, *sizes[:-1]])
    leaf = [tree.children_left < 0 for tree in trees]
    exact = np.concatenate([tree.threshold for tree in trees])
    threshold = exact.astype(np.float32)
    threshold = np.where(threshold > exact, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    # the order of the additions is that of scikit-learn: the sums are the same to the last bit
    depth = [tree.compute_node_depths() + usual_path(tree.n_node_samples) - 1.0 for tree in trees]
    children = [np.column_stack([tree.children_left, tree.children_right]) + root for tree, root in zip(trees, roots, strict=True)]
    return PackedForest(
        roots.astype(np.int32),
        np.concatenate([np.where(no, -1, tree.feature) for tree, no in zip(trees, leaf, strict=True)]).astype(np.int32),
        threshold.astype(np.float32),
        np.concatenate(children).astype(np.int32),
        np.concatenate(depth).astype(np.float64),
        float(usual_path(np.array([samples]))[0]),
    )


def usual_path(samples: NDArray[Any]) -> Array:
    """Mean path length of an unsuccessful search in a binary tree of so many samples (Liu et al., equation 1)."""
    several = np.maximum(samples, 3).astype(np.float64)
    length = 2.0 * (np.log(several - 1.0) + np.euler_gamma) - 2.0 * (several - 1.0) / several
    return np.asarray(np.where(samples <= 1, 0.0, np.where(samples == 2, 1.0, length)))


@compiled
def _depths(
    samples: NDArray[np.float32],
    roots: NDArray[np.int32],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float32],
    children: NDArray[np.int32],
    depth: Array,
) -> Array:
    total = np.zeros(len(samples))
    for root in roots:
        for row in range(len(samples)):
            node = root
            while feature[node] >= 0:
                # an index, not a branch: which way a sample goes cannot be predicted
                node = children[node, int(samples[row, feature[node]] > threshold[node])]
            total[row] += depth[node]
    return total
