"""How a detector comes to judge: it sees normal rows, is fitted on the earlier ones and calibrated on the later ones."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame, Layout, concatenate
from collectors.wire import decode_layout, encode_layout
from daemon.settings import LearningSettings, Settings
from detectors.calibration import Calibration
from detectors.finding import Detector, Need, Scores

log = logging.getLogger(__name__)


class Learner:
    """Gathers normal rows of one layout, then fits and calibrates; begins anew for columns that appear later.

    Rows that break a rule, are muted or are covered by an alarm are left out by the caller, so that no incident is learned
    as normal.
    """

    def __init__(self, source: str, detector: Detector, settings: LearningSettings) -> None:
        self._source = source
        self.detector = detector
        self.calibration: Calibration | None = None
        self._rows_needed = max(settings.rows, detector.rows_needed)
        self._refit_rows = settings.refit_rows
        self._hold_out_ratio = settings.hold_out_ratio
        self._history: list[Frame] = []
        self._rows = 0
        self._announced = False
        self.fitted_ns = 0

    @property
    def ready(self) -> bool:
        """Whether it judges."""
        return self.calibration is not None

    @property
    def need(self) -> Need:
        """What it has seen and needs."""
        return Need(self._rows, self._rows_needed)

    def learn(self, frame: Frame, normal: NDArray[np.bool_]) -> None:
        """Takes in the normal rows of a frame; fits once there are enough."""
        if self._history and self._history[0].layout.digest != frame.layout.digest:
            self._restart(frame.layout)
        if self.ready and not self._refit_rows:
            return
        if not self._announced:
            log.info("learning source=%s detector=%s rows_needed=%d", self._source, self.detector.name, self._rows_needed)
            self._announced = True
        kept = frame if normal.all() else frame.rows(normal)
        if len(kept):
            self._history.append(kept)
            self._rows += len(kept)
        if self._rows >= (self._refit_rows if self.ready else self._rows_needed):
            self._fit()

    def score(self, frame: Frame) -> Scores:
        """Scores of a frame."""
        return self.detector.score(frame)

    def state(self) -> dict[str, Any]:
        """Model, calibration and what has been gathered so far."""
        history = concatenate(self._history) if self._history else None
        return {
            "model": self.detector.state() if self.ready else None,
            "calibration": self.calibration.state() if self.calibration is not None else None,
            "fitted_ns": self.fitted_ns,
            "rows": self._rows,
            "history": None if history is None else _frame_state(history),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        if state["model"] is not None:
            self.detector.restore(state["model"])
            self.calibration = Calibration()
            self.calibration.restore(state["calibration"])
        self.fitted_ns, self._rows = int(state["fitted_ns"]), int(state["rows"])
        self._history = [] if state["history"] is None else [_frame_of(state["history"])]
        self._announced = self._rows > 0

    def _restart(self, layout: Layout) -> None:
        """The layout has changed: what was gathered does not fit any more; what was learned stays, by key."""
        log.info(
            "layout changed source=%s detector=%s columns=%d rows_dropped=%d", self._source, self.detector.name, layout.width, self._rows
        )
        self._history, self._rows = [], 0

    def _fit(self) -> None:
        history = concatenate(self._history)
        held_back = max(1, int(len(history) * self._hold_out_ratio))
        earlier, later = history.rows(slice(0, -held_back)), history.rows(slice(-held_back, None))
        self.detector.fit(earlier)
        scores = self.detector.score(later)
        self.calibration = Calibration().fit(scores, later.time_ns)
        self.fitted_ns = int(history.time_ns[-1])
        log.info("fitted source=%s detector=%s rows=%d held_back=%d", self._source, self.detector.name, len(earlier), held_back)
        self._history, self._rows = [], 0


def _frame_state(frame: Frame) -> dict[str, Any]:
    return {
        "layout": encode_layout(frame.layout).decode(),
        "time_ns": frame.time_ns,
        "values": frame.values,
        "quality": frame.quality,
    }


def _frame_of(state: dict[str, Any]) -> Frame:
    return Frame(decode_layout(state["layout"].encode()), state["time_ns"], state["values"], state["quality"])


def share_of_budget(settings: Settings) -> float:
    """False alarms a day that each statistical detector may cause: the budget is shared out evenly over all of them."""
    watched = sum(len(source.detectors) for source in settings.source.values())
    return settings.false_alarms_per_day / max(1, watched)
