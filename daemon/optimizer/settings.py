"""The `[optimizer]` section."""

from __future__ import annotations

from collectors.collector import Options


class OptimizerSettings(Options):
    """The scheduling optimizer; off unless a cluster is named."""

    cluster: str = ""
