"""The installed Chromium, driven by Playwright: one browser for a whole run, a new profile for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

INSTALL = "Chromium: apt-get install chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def program() -> str | None:
    """The browser that is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A running browser."""
    from tests.conftest import missing  # noqa: PLC0415 - conftest is a plugin of its own

    path = program()
    if path is None:
        missing(INSTALL)
        raise AssertionError
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def profile(chromium: Browser) -> Iterator[BrowserContext]:
    """A profile without a past."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900}, locale="en-GB", timezone_id="Europe/Zurich")
    context.set_default_timeout(15_000)
    yield context
    context.close()
