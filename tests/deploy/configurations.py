"""Configurations in deploy/ as their user gets them: as they are, and with everything switched on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from daemon.pipeline import knowledge_of
from daemon.settings import Settings, load

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def checked(path: Path) -> Settings:
    """What `shiftwatch config check` does. Raises ConfigurationError."""
    settings = load(path)
    knowledge_of(settings)
    return settings


def everything_on(path: Path, folder: Path) -> Path:
    """A copy in which each line that begins with # and a key counts."""
    copy = folder / path.name
    copy.write_text(re.sub(r"^#(?=[a-z\[])", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8")
    return copy


def secret_files(document: Any) -> set[str]:
    """Values of all keys that end in `_file`, wherever they stand in a parsed TOML document."""
    if isinstance(document, dict):
        own = {str(value) for key, value in document.items() if key.endswith("_file")}
        return own.union(*(secret_files(value) for value in document.values()))
    return set()
