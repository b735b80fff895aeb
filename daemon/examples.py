"""The configurations in deploy/examples, and which of them fits a recorded source."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from daemon.sections import ConfigurationError


def _folder() -> Traversable:
    return files("deploy.examples")


def example_names() -> list[str]:
    """Names of the shipped configurations."""
    return sorted(entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml"))


def example_text(name: str) -> str:
    """The text of one. Raises ConfigurationError."""
    if name not in example_names():
        raise ConfigurationError(f"no example {name!r}; there are {', '.join(example_names())}")
    return (_folder() / f"{name}.toml").read_text(encoding="utf-8")


def example_for(source: Path) -> str:
    """Name of the example that reads a recorded source, by what the source is. Raises ConfigurationError."""
    if not source.exists():
        raise ConfigurationError(f"{source}: no such file or folder")
    if source.is_dir():
        if (source / "global.csv.gz").exists() and (source / "fed.csv.gz").exists():
            return "replay-daq"
        if any(source.rglob("[12]???-[01]?-[0-3]?.csv*")) or any(source.glob("data_Q?_????.zip")):
            return "replay-backblaze"
    elif source.suffix == ".zip":
        return "replay-backblaze"
    elif source.suffix == ".npz":
        return "replay-archive"
    elif source.suffix in (".parquet", ".csv") or source.name.endswith(".csv.gz"):
        return "replay-table"
    raise ConfigurationError(f"{source}: none of the shipped configurations reads it; give one with -c ({', '.join(example_names())})")
