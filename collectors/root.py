"""Data-quality histograms in ROOT files, as a data-quality system writes them during a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from collectors.collector import Collected, Options, Origin
from collectors.dqm.followed_files import FollowedFiles, FollowedFilesOptions, Rename
from collectors.dqm.root_snapshots import RootSnapshotReader

DEFAULT_RENAME = {r"^DQMData/Run \d+/": "", r"/(Run summary|By Lumi Section \d+-\d+)(?=/)": ""}
"""Takes out what CMS puts into every path and what changes from run to run."""


class RootOptions(FollowedFilesOptions):
    """What to read, what it is called, and where it lies."""

    rename: Rename = Field(default_factory=DEFAULT_RENAME.copy)
    """Regular expression = replacement, on the object's path in the file. What changes from run to run must go, or every run
    has histograms of its own. By default what CMS puts around the path ("DQMData/Run 382711/Ecal/Run summary/…") goes."""


class RootCollector:
    """Histograms TH1, TH2, TH3 and TProfile of all number types out of ROOT files, one snapshot whenever a file has changed.

    The snapshot's time is the file's time of modification. Of a series of files (one a run, or one a lumisection) the newest run is
    read; the channels `run` and `lumisection` tell which one that is. Totals that grow from snapshot to snapshot become intervals
    with `accumulation = "since_start"`. A file that is half written is read again when it has changed. Where snapshots of lumisections
    stand beside the files of whole runs, as online at CMS, name both: `files = ["….root", "….root.ls*_pid*[0-9]"]`. Example:

        [source.ecal-dqm]
        collector = "root"
        place = "CMS/ECAL"
        accumulation = "since_start"
        files = "/data/dqm/DQM_V*_Ecal*_R000*.root"
        include = ["Ecal*/EBOccupancyTask/*"]
        places = { "EcalBarrel/* EB*" = "EB{2}" }
    """

    options_model: ClassVar[type[Options]] = RootOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: RootOptions) -> None:
        self._files = FollowedFiles(origin, options, RootSnapshotReader)

    def collect(self) -> Iterator[Collected]:
        """A frame for each file that changed; what cannot be read is rejected and tried again when it changes."""
        return self._files.collect()

    def close(self) -> None:
        """Nothing stays open between two calls."""
