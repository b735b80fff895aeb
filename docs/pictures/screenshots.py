"""Takes the pictures of the page that the README shows, from a running demo: `make screenshots`.

Needs Playwright and an installed Chromium. The faults of the demo come by its seed, so the pictures look alike every time.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, BrowserContext, ViewportSize, sync_playwright

from daemon.demo.processes import DemoError
from daemon.demo.session import Session

FOLDER = Path(__file__).parent
DURATION_S, SEED = 90.0, 1
PATIENCE_S = 150.0
WIDE: ViewportSize = {"width": 1400, "height": 900}
NARROW: ViewportSize = {"width": 600, "height": 900}
SHOTS: tuple[tuple[str, Literal["dark", "light"], ViewportSize], ...] = (
    ("now", "dark", WIDE),
    ("incident", "dark", WIDE),
    ("incident", "light", WIDE),
    ("sources", "light", WIDE),
    ("now", "dark", NARROW),
)
"""Which page, in which theme, how wide."""
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    """Runs a demo, waits for a fault that has effects, and photographs it; 1 where none came."""
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        print("no Chromium: apt-get install chromium", file=sys.stderr)  # noqa: T201 - a script's answer
        return 1
    with tempfile.TemporaryDirectory(prefix="shiftwatch-pictures-") as folder, Session(Path(folder), DURATION_S, SEED) as session:
        session.start()
        reader = threading.Thread(target=_read_all, args=[session], daemon=True)
        reader.start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
            try:
                taken = _take(browser, session.page_url)
            finally:
                browser.close()
    for shot in taken:
        print(shot.name)  # noqa: T201
    return 0 if taken else 1


def _read_all(session: Session) -> None:
    """What the demo prints has to be read, or it would wait."""
    with suppress(DemoError):  # it is stopped while it is read
        for _ in session.events():
            pass


def _take(browser: Browser, url: str) -> list[Path]:
    """The pictures, [] where no incident came in time."""
    incident = _wait(lambda: _worth_seeing(url))
    if incident is None:
        return []
    taken = []
    for name, theme, size in SHOTS:
        path = {"now": "/", "incident": f"/incidents/{incident}", "sources": "/sources"}[name]
        context = browser.new_context(viewport=size, color_scheme=theme, locale="en-GB")
        context.add_cookies([{"name": "shiftwatch_name", "value": "J.%20Doe", "url": url}])
        width = "" if size is WIDE else "-narrow"
        taken.append(_shoot(context, f"{url}{path}", FOLDER / f"page-{name}-{theme}{width}.png"))
        context.close()
    return taken


def _shoot(context: BrowserContext, address: str, path: Path) -> Path:
    tab = context.new_page()
    tab.goto(address, wait_until="load")
    deadline_s = time.monotonic() + PATIENCE_S
    while not tab.evaluate("[...document.images].every((image) => image.complete)") and time.monotonic() < deadline_s:
        tab.wait_for_timeout(100)
    tab.screenshot(path=path)
    tab.close()
    return path


def _worth_seeing(url: str) -> str | None:
    """An incident that lasts, has a picture and victims."""
    for found in _asked(f"{url}/api/incidents?state=lasting"):
        with urllib.request.urlopen(f"{url}/incidents/{found['id']}", timeout=10) as answer:  # noqa: S310 - the demo's own address
            pictured = b"<img " in answer.read()
        if pictured and found["victims"]:
            return str(found["id"])
    return None


def _asked(address: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - the demo's own address
        listed: list[dict[str, Any]] = json.load(answer)
    return listed


def _wait(question: Callable[[], str | None]) -> str | None:
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        if (answer := question()) is not None:
            return answer
        time.sleep(0.2)
    return None


if __name__ == "__main__":
    sys.exit(main())
