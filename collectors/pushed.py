"""A source that nobody has to ask: third parties publish or push its readings as JSON (daemon/ingest_message.py)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from collectors.collector import Collected, Options, Origin


class PushedOptions(Options):
    """A pushed source has no options of its own."""


class PushedCollector:
    """Readings that others push: scripts by `POST /ingest`, programs by JSON on the topic `ingest`.

    Nothing is asked: what there is arrives by itself, under the source's name. A section gives it its place (where the messages name
    none), its detectors, and the time after which its silence is a finding; without one its readings are kept and not judged.

    Example:
        [source.weather]
        collector = "pushed"
        place = "CMS/HALL"
        period_s = 60
        detectors = ["robust_z"]

    """

    options_model: ClassVar[type[Options]] = PushedOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: PushedOptions) -> None:
        self._origin, self._options = origin, options

    def collect(self) -> Iterable[Collected]:
        """Nothing, always."""
        return ()

    def close(self) -> None:
        """There is nothing to end."""
