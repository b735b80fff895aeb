"""Runbooks: what a condition means, what to look at first, what to do, whom to call. One Markdown file each, named in the incident."""

from __future__ import annotations

import re
from importlib.resources import files

ALIASES = {"deadtime": "dead-time", "fed-deadtime": "dead-time", "partition-deadtime": "dead-time"}
"""Conditions that configurations give to limits of their own, and the runbook of the same thing."""
LONGEST = 64
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def names() -> list[str]:
    """All runbooks, sorted."""
    return sorted(entry.name.removesuffix(".md") for entry in files(__name__).iterdir() if entry.name.endswith(".md"))


def text(name: str) -> str | None:
    """A runbook's Markdown, None where there is none of that name (or it is no name of a runbook at all)."""
    if len(name) > LONGEST or not _NAME.fullmatch(name):
        return None
    entry = files(__name__).joinpath(f"{ALIASES.get(name, name)}.md")
    return entry.read_text(encoding="utf-8") if entry.is_file() else None
