"""Isolation forests as flat arrays: exactly the scores of scikit-learn, without its cost for each call, and without pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import compiled

Array = NDArray[np.float64]
Nodes = NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class PackedForest:
    """All nodes of all trees in a row, those of a tree level by level, siblings beside each other.

    roots: first node of each tree; feature: which one a node compares; threshold: float32, rounded down, so that comparing
    float32 values with it gives the same result as with the float64 threshold of scikit-learn; left: the node to go to up to
    the threshold, the one after it is for values above. A leaf leads to itself, whatever the value, so that all trees are
    walked down in `steps` steps and the processor has nothing to predict. depth: of leaves, the length of the path that
    isolates a sample there; `usual_depth` is its mean for the number of samples of a tree. Unsigned: an index that may be
    negative costs a comparison each time.
    """

    roots: Nodes
    feature: Nodes
    threshold: NDArray[np.float32]
    left: Nodes
    depth: Array
    steps: int
    usual_depth: float

    def score(self, values: NDArray[np.floating[Any]]) -> Array:
        """Anomaly scores between 0 and 1 (F. Liu, K. Ting, Z. Zhou, ICDM 2008); values: shape (n, features), finite."""
        samples = np.ascontiguousarray(values, dtype=np.float32)
        depths = _depths(samples, self.roots, self.feature, self.threshold, self.left, self.depth, self.steps)
        scores: Array = 2.0 ** -(depths / (len(self.roots) * self.usual_depth))
        return scores

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> PackedForest:
        """From a `state`."""
        roots, feature, left = (np.asarray(state[name], dtype=np.uint32) for name in ("roots", "feature", "left"))
        threshold, depth = np.asarray(state["threshold"], dtype=np.float32), np.asarray(state["depth"], dtype=np.float64)
        return cls(roots, feature, threshold, left, depth, int(state["steps"]), float(state["usual_depth"]))


def pack(trees: Sequence[Any], samples: int) -> PackedForest:
    """From the fitted trees of an isolation forest (their `tree_`), each grown on so many samples with all features."""
    first = np.cumsum([0, *(tree.node_count for tree in trees)])
    children = np.concatenate(
        [np.column_stack([tree.children_left, tree.children_right]) + root for tree, root in zip(trees, first[:-1], strict=True)]
    )
    leaf = np.concatenate([tree.children_left < 0 for tree in trees])
    order, steps = _by_level(first[:-1], children, leaf)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    exact = np.concatenate([tree.threshold for tree in trees])
    threshold = exact.astype(np.float32)
    threshold = np.where(threshold > exact, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    # the order of the additions is that of scikit-learn: the sums are the same to the last bit
    depth = np.concatenate([tree.compute_node_depths() + usual_path(tree.n_node_samples) - 1.0 for tree in trees])
    feature = np.concatenate([tree.feature for tree in trees])
    return PackedForest(
        place[first[:-1]].astype(np.uint32),
        np.where(leaf, 0, feature)[order].astype(np.uint32),
        np.where(leaf, np.inf, threshold)[order].astype(np.float32),
        place[np.where(leaf, np.arange(len(leaf)), children[:, 0])][order].astype(np.uint32),
        depth[order].astype(np.float64),
        steps,
        float(usual_path(np.array([samples]))[0]),
    )


def _by_level(roots: NDArray[np.int64], children: NDArray[np.int64], leaf: NDArray[np.bool_]) -> tuple[NDArray[np.int64], int]:
    """All nodes, tree by tree and level by level, with the two children of a node beside each other; and the number of steps down."""
    nodes, tree = roots, np.arange(len(roots))
    levels, trees = [nodes], [tree]
    while len(inner := np.flatnonzero(~leaf[nodes])):
        nodes, tree = children[nodes[inner]].reshape(-1), np.repeat(tree[inner], 2)
        levels.append(nodes)
        trees.append(tree)
    order = np.argsort(np.concatenate(trees), kind="stable")
    return np.concatenate(levels)[order], len(levels) - 1


def usual_path(samples: NDArray[Any]) -> Array:
    """Mean path length of an unsuccessful search in a binary tree of so many samples (Liu et al., equation 1)."""
    several = np.maximum(samples, 3).astype(np.float64)
    length = 2.0 * (np.log(several - 1.0) + np.euler_gamma) - 2.0 * (several - 1.0) / several
    return np.asarray(np.where(samples <= 1, 0.0, np.where(samples == 2, 1.0, length)))


@compiled
def _depths(
    samples: NDArray[np.float32],
    roots: Nodes,
    feature: Nodes,
    threshold: NDArray[np.float32],
    left: Nodes,
    depth: Array,
    steps: int,
) -> Array:
    total = np.zeros(len(samples))
    nodes = np.empty(len(roots), dtype=np.uint32)
    for row in range(len(samples)):
        sample = samples[row]
        nodes[:] = roots
        for _ in range(steps):
            # one step in all trees: they do not wait for each other's memory as the steps down one tree do
            for tree in range(len(roots)):
                node = nodes[tree]
                nodes[tree] = left[node] + np.uint32(sample[feature[node]] > threshold[node])
        for tree in range(len(roots)):
            total[row] += depth[nodes[tree]]
    return total
