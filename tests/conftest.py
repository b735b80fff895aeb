"""Fixtures that every test may use, and what to do about servers and data that are missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = [
    "tests.kafka_broker",
    "tests.postgresql_server",
    "tests.bus",
    "tests.prometheus_server",
    "tests.grafana_server",
    "tests.elog_server",
    "tests.slurm_cluster",
]

REQUIRE_ALL = os.environ.get("CI") == "true" or os.environ.get("SHIFTWATCH_REQUIRE_ALL") == "1"


def missing(what: str) -> None:
    """A missing service is a failure where everything is installed (CI), and named with its command elsewhere."""
    if REQUIRE_ALL:
        pytest.fail(f"missing: {what}")
    pytest.skip(f"missing: {what}")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with recorded evaluation data."""
    folder = Path(os.environ.get("SHIFTWATCH_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        missing("evaluation data; set SHIFTWATCH_DATA to its folder")
    return folder
