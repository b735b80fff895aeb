"""The correlate stage of a replay, which waits for every stream, and of a running daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.correlating import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, wait_for_all=False)
    yield made
    made.close()
