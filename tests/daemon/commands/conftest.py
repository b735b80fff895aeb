"""Commands set up the logs of their process: afterwards they are as they were, or tests that read logs find none."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    root, daemon = logging.getLogger(), logging.getLogger("daemon")
    handlers, levels = root.handlers[:], (root.level, daemon.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    daemon.setLevel(levels[1])
