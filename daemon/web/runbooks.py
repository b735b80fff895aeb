"""Runbooks as pages: Markdown without HTML in it."""

from __future__ import annotations

from functools import lru_cache

from markdown_it import MarkdownIt
from markupsafe import Markup


@lru_cache(maxsize=1)
def _reader() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def rendered(text: str) -> Markup:
    """The text as HTML. Markup in it is shown, not used; links that run scripts are none."""
    return Markup(_reader().render(text))  # noqa: S704 - markdown-it escapes all text, HTML is off


def runbook(name: str) -> str | None:
    """The text of a runbook; None where there is none of this name."""
    from dashboards import runbooks  # noqa: PLC0415 - read only when somebody asks

    return runbooks.text(name)
