"""The small rule in the place of any detector."""

from __future__ import annotations

import pytest

from daemon import plugins
from tests.daemon.judging import HighRule


@pytest.fixture(autouse=True)
def high_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever detector is configured, it is the small rule."""
    monkeypatch.setattr(plugins, "load", lambda _group, _name: HighRule)
