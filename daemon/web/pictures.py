"""Pictures of evidence as SVG, drawn when they are asked for and kept for a while."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from daemon.store.store import Store
from daemon.web.words import clean
from detectors.figure import FigureError, PlanFigure, decode

KEPT = 64


@dataclass(frozen=True, slots=True)
class Drawn:
    """One picture. version changes with what it shows."""

    version: str
    svg: bytes


@dataclass(frozen=True, slots=True)
class Known:
    """A picture that can be drawn."""

    finding: str
    title: str
    version: str
    is_plan: bool


class Pictures:
    """Safe for any number of threads; one picture is drawn at a time."""

    def __init__(self, store: Store, zone: ZoneInfo) -> None:
        self._store = store
        self._zone = zone
        self._lock = threading.Lock()
        self._drawing = threading.Lock()
        self._drawn: OrderedDict[str, bytes] = OrderedDict()
        self._known: OrderedDict[str, tuple[str, bool]] = OrderedDict()

    def of(self, incident_id: str) -> list[Known]:
        """The pictures of an incident, that of the cause first; what is no figure is left out."""
        found = []
        for finding, text in self._store.figures(incident_id):
            version = version_of(text)
            try:
                title, is_plan = self._describe(version, text)
            except FigureError:
                continue
            found.append(Known(finding, title, version, is_plan))
        return found

    def svg(self, incident_id: str, finding: str) -> Drawn | None:
        """The picture of a finding; None where there is none."""
        text = dict(self._store.figures(incident_id)).get(finding)
        return None if text is None else self.drawn(text)

    def drawn(self, text: str) -> Drawn:
        """The picture of an encoded figure. Raises FigureError."""
        version = version_of(text)
        svg = self._recall(version)
        if svg is None:
            from daemon.plots.drawing import svg as draw  # noqa: PLC0415 - matplotlib is imported with the first picture

            with self._drawing:
                svg = self._recall(version) or draw(decode(text), self._zone).encode(errors="replace")
            with self._lock:
                self._drawn[version] = svg
                while len(self._drawn) > KEPT:
                    self._drawn.popitem(last=False)
        return Drawn(version, svg)

    def _recall(self, version: str) -> bytes | None:
        with self._lock:
            if version in self._drawn:
                self._drawn.move_to_end(version)
            return self._drawn.get(version)

    def _describe(self, version: str, text: str) -> tuple[str, bool]:
        with self._lock:
            known = self._known.get(version)
        if known is None:
            figure = decode(text)
            known = clean(figure.title), isinstance(figure, PlanFigure)
            with self._lock:
                self._known[version] = known
                while len(self._known) > 10 * KEPT:
                    self._known.popitem(last=False)
        return known


def version_of(text: str) -> str:
    """Tells one figure from another."""
    return f"{zlib.crc32(text.encode()):08x}{len(text):x}"
