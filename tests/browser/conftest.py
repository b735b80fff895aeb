"""Fixtures of the tests in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.chromium import chromium, profile
from tests.page import RunningPage

__all__ = ["chromium", "profile"]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[RunningPage]:
    """A page with nothing wrong on it."""
    with RunningPage(tmp_path) as page:
        yield page


@pytest.fixture
def tab(profile: BrowserContext) -> Iterator[Page]:
    """A tab in which nothing may go wrong: an error of a script or a refusal by the content policy fails the test."""
    page = profile.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    yield page
    assert not [problem for problem in problems if not problem.startswith("Failed to load resource")]
