"""Jobs and clusters that can be worked out by hand."""

from __future__ import annotations

import numpy as np

from daemon.optimizer.simulator import Cluster
from daemon.optimizer.workload import Jobs


def jobs(*rows: tuple[float, float, int] | tuple[float, float, int, float]) -> Jobs:
    """(submit_s, run_s, processors) or (submit_s, run_s, processors, requested_s); ids from 0."""
    full = [row if len(row) == 4 else (*row, row[1]) for row in rows]
    return Jobs(
        id=np.arange(len(full), dtype=np.int64),
        submit_s=np.array([row[0] for row in full], dtype=np.float64),
        run_s=np.array([row[1] for row in full], dtype=np.float64),
        requested_s=np.array([row[3] for row in full], dtype=np.float64),
        processors=np.array([row[2] for row in full], dtype=np.int64),
    )


def cluster(nodes: list[int], *held: tuple[int, int, int, float], out: tuple[int, ...] = ()) -> Cluster:
    """Nodes with processors; held: (job, node, processors, started_s); out: nodes that take no new jobs."""
    return Cluster(
        node_processors=np.array(nodes, dtype=np.int64),
        in_service=np.array([node not in out for node in range(len(nodes))]),
        held_job=np.array([row[0] for row in held], dtype=np.int64),
        held_node=np.array([row[1] for row in held], dtype=np.int64),
        held_processors=np.array([row[2] for row in held], dtype=np.int64),
        started_s=np.array([row[3] for row in held], dtype=np.float64),
    )
