"""Reads tables for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from collectors.collector import Origin, Rejected
from collectors.frame import Frame, concatenate
from collectors.table import TableCollector, TableOptions

SECOND = 1_000_000_000


def table(files: Path | str, **options: Any) -> TableCollector:
    return TableCollector(Origin("recorded", "LAB", lambda: 0), TableOptions.model_validate({"files": str(files), **options}))


def read(files: Path | str, **options: Any) -> tuple[Frame, list[str]]:
    """All frames as one, and what was rejected as text."""
    collected = list(table(files, **options).collect())
    frames = [item for item in collected if isinstance(item, Frame)]
    return concatenate(frames), [f"{item.subject}: {item.reason}" for item in collected if isinstance(item, Rejected)]


def save(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
