"""The sections of the configuration about history and models."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from daemon.sections import Positive, Section


class HistorySettings(Section):
    """Everything that was collected, as Parquet files: what models are trained from."""

    path: Path | None = None
    """The folder; without one no history is kept."""
    close_after_s: Positive = 60.0
    """Rows wait for at most this long before they are on the disk; small files are merged later."""
    buffer_bytes: int = Field(default=64_000_000, ge=1_000_000)
    """What may wait in memory meanwhile."""
    retention_days: Positive = 400.0
    """Older files are removed."""

    @field_validator("path", mode="before")
    @classmethod
    def _local(cls, value: object) -> object:
        if isinstance(value, str) and "://" in value and not value.startswith("file://"):
            raise ValueError(f"{value.split('://')[0]}:// cannot be written; name a local folder, or one that is mounted")
        return value.removeprefix("file://") if isinstance(value, str) else value


class ModelSettings(Section):
    """The files of trained models: `shiftwatch train`, `shiftwatch models`."""

    path: Path = Path("models")
    """The folder."""
    keep: int = Field(default=5, ge=2)
    """Versions of each model that are kept to roll back to."""
