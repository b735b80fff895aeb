"""Names of streams and detectors as names of files."""

from __future__ import annotations

from urllib.parse import quote

from collectors.frame import digest_of

MAX_CHARACTERS = 180


def path_name(text: str) -> str:
    """A name that every file system takes, different for different texts, without separators; long ones end in a digest."""
    name = quote(text, safe="", errors="backslashreplace").replace(".", "%2E").replace("~", "%7E") or "%"
    return name if len(name) <= MAX_CHARACTERS else f"{name[:MAX_CHARACTERS]}~{digest_of(text)}"
