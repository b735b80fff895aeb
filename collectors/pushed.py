"""A source that nobody has to ask: third parties publish its readings as JSON to the `ingest` topic (daemon/collect/ingest.py).

A section with this collector gives such a source its detectors, its place and its silence time-out::

    [source.weather]
    collector = "pushed"
    period_s = 60
    detectors = ["robust_z"]
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from collectors.collector import Collected, Options, Origin


class PushedOptions(Options):
    """A pushed source has no options of its own."""


class PushedCollector:
    """Collects nothing: what there is arrives by itself."""

    options_model: ClassVar[type[Options]] = PushedOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: PushedOptions) -> None:
        self._origin, self._options = origin, options

    def collect(self) -> Iterable[Collected]:
        """Nothing, always."""
        return ()

    def close(self) -> None:
        """There is nothing to end."""
