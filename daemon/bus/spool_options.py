"""Options of an agent's spool."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from collectors.collector import Options


class SpoolOptions(Options):
    """Where an agent keeps what the broker has not acknowledged, and how much of it."""

    folder: Path = Path("spool")
    """A folder of its own, on a disk and not in memory; relative to the working directory (systemd: the StateDirectory)."""
    max_bytes: int = Field(default=256 * 1024 * 1024, ge=64 * 1024)
    """Beyond this the oldest blocks of data are dropped, then summaries; findings last."""
    segment_bytes: int = Field(default=4 * 1024 * 1024, ge=16 * 1024)
    """Size of a file: the least that is dropped at once. At most a sixteenth of `max_bytes`."""
    memory_bytes: int = Field(default=2 * 1024 * 1024, ge=0)
    """What waits in memory, for each kind of record, while the disk is full or refuses."""
    sync: Literal["findings", "all", "none"] = "findings"
    """What must outlive a loss of power (fdatasync): findings when they are flushed, or all once a second. A killed agent loses nothing."""
    linger_s: float = Field(default=0.25, ge=0, le=10)
    """How long a record waits for others to be sent with it."""
    flush_s: float = Field(default=2.0, gt=0)
    """A broker that acknowledges nothing for so long counts as away."""
    longest_pause_s: float = Field(default=5.0, gt=0)
    """Longest pause between attempts to reach a broker that is away."""
