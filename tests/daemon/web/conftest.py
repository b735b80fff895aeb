"""Fixtures of the page's routes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.web.site import Application


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    """A page with nothing wrong on it."""
    made = Application(tmp_path)
    yield made
    made.close()
