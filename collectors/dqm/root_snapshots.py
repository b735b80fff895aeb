"""One snapshot of one ROOT file as a frame; what is known of its structure makes the next one cheap."""

from __future__ import annotations

import re

from collectors.collector import Rejected
from collectors.dqm.followed_files import Claim, Naming, Snapshot
from collectors.dqm.histogram_frames import Found, HistogramFrames
from collectors.dqm.root_files import Key, RootFile, RootFormatError
from collectors.dqm.root_histograms import Structure, is_histogram, parse
from collectors.dqm.root_models import ModelReader
from collectors.dqm.root_streams import DamagedHistogramError, UnknownLayoutError
from collectors.dqm.run_files import RunFile
from collectors.frame import Histogram

_UNREADABLE = re.compile(r"TH2Poly|TProfile2Poly|TH1K|THn.*|TEfficiency")
"""Classes that hold histograms in a form of their own."""


class RootSnapshotReader:
    """Reads the files of one series."""

    def __init__(self, source: str, part: str, naming: Naming, claim: Claim) -> None:
        self._naming = naming
        self._claim = claim
        self._frames = HistogramFrames(source, part, naming.places)
        self._names: dict[str, str | None] = {}
        self._known: dict[str, tuple[Structure | None, Histogram]] = {}
        self._told: set[str] = set()

    def read(self, file: RunFile) -> Snapshot:
        """One snapshot at the file's time of modification. Raises OSError or RootFormatError where the file is unusable."""
        found: dict[str, Found] = {}
        rejected: list[Rejected] = []
        with RootFile(file.path) as opened:
            models = ModelReader(opened)
            try:
                for object_path, name, key in self._wanted(opened, file.path, rejected):
                    if name in found or self._frames.is_taken(name, file):
                        rejected.append(Rejected(f"{file.path}:{object_path}", f"something else is named {name!r} as well"))
                        continue
                    try:
                        found[name] = self._decode(opened, models, object_path, name, key)
                    except (RootFormatError, DamagedHistogramError) as error:
                        rejected.append(Rejected(f"{file.path}:{object_path}", str(error)))
                        if name in self._known:
                            found[name] = Found(self._known[name][1], None)
            finally:
                models.close()
            if not opened.is_unchanged():
                raise RootFormatError("it was written to while it was read; read again at the next turn")
        self._known = {name: self._known[name] for name in found}
        if not found:
            return Snapshot(None, rejected, opened.signature)
        frame, untrue = self._frames.frame(file, opened.signature.modified_ns, [found[name] for name in sorted(found)])
        return Snapshot(frame, rejected + untrue, opened.signature)

    def _wanted(self, opened: RootFile, path: str, rejected: list[Rejected]) -> list[tuple[str, str, Key]]:
        """Path in the file, histogram's path and key of all histograms that are wanted."""
        wanted: list[tuple[str, str, Key]] = []
        names: dict[str, str | None] = {}
        for object_path, key in opened.objects():
            if not is_histogram(key.class_name):
                self._tell(path, object_path, key.class_name, rejected)
                continue
            if object_path in self._names:
                name = self._names[object_path]
            else:
                name = self._naming.name(object_path)
                name = name if name is not None and self._claim(name) else None
            names[object_path] = name
            if name is not None:
                wanted.append((object_path, name, key))
        self._names = names  # paths of former runs are forgotten
        return wanted

    def _tell(self, path: str, object_path: str, class_name: str, rejected: list[Rejected]) -> None:
        """Says once of each class of histograms that it is not read; trees, texts and graphs are nobody's histograms."""
        if class_name not in self._told and _UNREADABLE.fullmatch(class_name) and self._naming.name(object_path) is not None:
            self._told.add(class_name)
            rejected.append(
                Rejected(f"{path}:{object_path}", f"objects of class {class_name} are not read, only TH1, TH2, TH3 and TProfile")
            )

    def _decode(self, opened: RootFile, models: ModelReader, object_path: str, name: str, key: Key) -> Found:
        payload = opened.payload(key)
        structure, histogram = self._known.get(name, (None, None))
        if structure is not None and histogram is not None and structure.fits(payload, key.class_name):
            return Found(histogram, structure.content(payload))
        try:
            structure = parse(payload, key.class_name)
            axes, storage, content = structure.axes, structure.storage, structure.content(payload)
        except UnknownLayoutError:
            structure = None
            axes, storage, content = models.read(object_path, key)
        histogram = self._frames.histogram(histogram, name, axes, storage)
        self._known[name] = structure, histogram
        return Found(histogram, content)
