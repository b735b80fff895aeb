"""A site whose optimizer acts on a real Slurm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.optimizer.sites import Site, optimizer_settings
from tests.slurm_cluster import SlurmServer


@pytest.fixture
def site(slurm: SlurmServer, tmp_path: Path) -> Iterator[Site]:
    """A site that acts, with a job on each of two nodes."""
    for node in ("n1", "n2"):
        slurm.wait_for(slurm.submit("-n2", f"--nodelist={node}", "--time=600"), "RUNNING")
    made = Site(tmp_path, optimizer_settings(act=True, options={"conf": str(slurm.conf)}))
    yield made
    made.close()
