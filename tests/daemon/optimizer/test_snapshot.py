from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.optimizer.advice import Node, QueuedJob
from tests.daemon.optimizer.snapshots import NOW_NS, queued, running, snapshot


def test_a_snapshot_knows_its_processors_and_who_is_where() -> None:
    work = snapshot(3, [], [running("a", 1.0, 2.0, n0=4, n1=8), running("b", 1.0, 2.0, n0=1, n2=0)])
    work = replace(work, nodes=(*work.nodes[:2], replace(work.nodes[2], in_service=False)))
    assert work.processors == 16
    assert [job.id for job in work.on_node("n0")] == ["a", "b"]
    assert work.on_node("n2") == ()


def test_what_does_not_fit_together_is_named() -> None:
    good = snapshot(2, [], [])
    with pytest.raises(ValueError, match="node n0: listed twice"):
        replace(good, nodes=(Node("n0", 8), Node("n0", 8)))
    with pytest.raises(ValueError, match="job q: 0 processors"):
        replace(good, queued=(queued("q", 0, 1.0, 1.0),))
    with pytest.raises(ValueError, match="job q: submitted after"):
        replace(good, queued=(QueuedJob("q", NOW_NS + 1, 60.0, 1),))
    with pytest.raises(ValueError, match="job a: runs on node n7, which is not in the snapshot"):
        replace(good, running=(running("a", 1.0, 2.0, n7=1),))
    with pytest.raises(ValueError, match="node n1: its jobs hold 9 of 8"):
        replace(good, running=(running("a", 1.0, 2.0, n1=5), running("b", 1.0, 2.0, n1=4)))
    with pytest.raises(ValueError, match="job a: runs on no processors"):
        replace(good, running=(running("a", 1.0, 2.0),))
    with pytest.raises(ValueError, match="job a: submission, start"):
        replace(good, running=(replace(running("a", 1.0, 2.0, n0=1), started_ns=NOW_NS + 1),))
