"""The notify stage and its receivers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.notify.office import Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """One that is closed at the end."""
    made = Office(tmp_path)
    yield made
    made.close()
