"""How a detector comes to judge: it sees normal rows, is fitted on the earlier ones and calibrated on the later ones."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame, Layout, concatenate
from collectors.wire import decode_layout, encode_layout
from daemon import plugins
from daemon.sections import LearningSettings
from daemon.settings import Settings, detector_settings
from detectors import uncertainty
from detectors.conditioned import ConditionedDetector
from detectors.episodes import Episode
from detectors.finding import Detector, Evidence, Need, Scores, Uncertain, Uncertainty
from detectors.judging import Judging, Promise
from detectors.model_store import Model
from detectors.wording import lasting

log = logging.getLogger(__name__)


class Learner:
    """Gathers normal rows of one layout, then fits and calibrates.

    Where columns appear later, it gathers again and fits anew; until then it judges the columns it knows.
    Rows that break a rule, are muted or are covered by an alarm are left out by the caller, so that no incident is learned
    as normal.
    """

    def __init__(self, source: str, detector: Detector, settings: LearningSettings, promise: Callable[[], Promise]) -> None:
        """promise: asked for once there is something to judge by."""
        self._source = source
        self.detector = detector
        self._promise = promise
        self.judging: Judging | None = None
        self._rows_needed = max(settings.rows, detector.rows_needed)
        self._refit_rows = settings.refit_rows
        self._hold_out_ratio = settings.hold_out_ratio
        self._history: list[Frame] = []
        self._rows = 0
        self._announced = False
        self._fitted_keys: frozenset[str] = frozenset()
        self._digest = ""
        self._ranges: uncertainty.Ranges | None = None
        self._grown = False  # the layout has columns that the model does not know
        self.fitted_ns = 0

    @property
    def ready(self) -> bool:
        """Whether it judges."""
        return self.judging is not None

    @property
    def need(self) -> Need:
        """What it has seen and needs."""
        return Need(self._rows, self._rows_needed)

    def learn(self, frame: Frame, normal: NDArray[np.bool_]) -> int:
        """Takes in the normal rows of a frame; fits once there are enough.

        Before the first fit it stops at the row with which there are enough, and gives back how many it looked at: what
        is learned must not depend on how many rows come at a time.
        """
        if frame.layout.digest != self._digest:
            self._adopt(frame.layout)
        if self.ready and not self._refit_rows and not self._grown:
            return len(frame)
        seen = len(frame) if self.ready else self._until_enough(normal)
        if seen < len(frame):
            frame, normal = frame.rows(slice(0, seen)), normal[:seen]
        if not self._announced:
            log.info("learning source=%s detector=%s rows_needed=%d", self._source, self.detector.name, self._rows_needed)
            self._announced = True
        kept = frame if normal.all() else frame.rows(normal)
        if len(kept):
            self._history.append(kept)
            self._rows += len(kept)
        enough = self._refit_rows if self.ready and not self._grown else self._rows_needed
        if self._rows >= enough:
            self._fit()
        return seen

    def _until_enough(self, normal: NDArray[np.bool_]) -> int:
        """Rows of a frame up to the one with which there are enough normal ones to fit; all of them where there are not."""
        return min(int(np.searchsorted(np.cumsum(normal), self._rows_needed - self._rows)) + 1, len(normal))

    def score(self, frame: Frame) -> Scores:
        """Scores of a frame."""
        return self.detector.score(frame)

    def doubt(self, frame: Frame, episode: Episode, probability: float, alpha: float, evidence: Evidence) -> tuple[Uncertainty | None, str]:
        """How far the probability of an episode's row can be trusted, in a frame that was scored last, and why it is unsure, if so."""
        if self.judging is None:
            return None, ""
        row, place = episode.row, episode.unit.place
        sample = self.judging.sample(episode.index, alpha)
        own = self.detector.uncertainty(frame, row, episode.index) if isinstance(self.detector, Uncertain) else None
        parts = uncertainty.measured(frame, row, episode.unit, probability, sample, self._ranges, own)
        conditions = uncertainty.new_conditions(self._ranges, frame, row, evidence.ranked)
        readings = uncertainty.with_reading(frame, row, place)
        unlearned = self.detector.doubt(frame, row) if isinstance(self.detector, ConditionedDetector) else ""
        return parts, unlearned or uncertainty.decide(parts, probability, sample, readings, conditions)

    def use(self, model: Model) -> None:
        """Goes on with a model of the store; rows gathered so far are dropped. Raises ValueError where it does not fit."""
        self.detector.restore(model.state)
        self._calibrate(model.held_back, model.time_ns)
        self.fitted_ns = model.manifest.trained_to_ns
        self._fitted_keys, self._digest = frozenset(model.manifest.keys), ""
        self._ranges = None  # a model file has none
        self._history, self._rows = [], 0

    def state(self) -> dict[str, Any]:
        """Model, judgement and what has been gathered so far."""
        history = concatenate(self._history) if self._history else None
        return {
            "model": self.detector.state() if self.ready else None,
            "judging": self.judging.state() if self.judging is not None else None,
            "fitted_ns": self.fitted_ns,
            "fitted_keys": sorted(self._fitted_keys),
            "ranges": None if self._ranges is None else self._ranges.state(),
            "digest": self._digest,
            "grown": self._grown,
            "rows": self._rows,
            "history": None if history is None else _frame_state(history),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        if state["model"] is not None:
            self.detector.restore(state["model"])
            self.judging = Judging(self._promise())
            self.judging.restore(state["judging"])
        self.fitted_ns, self._rows = int(state["fitted_ns"]), int(state["rows"])
        self._history = [] if state["history"] is None else [_frame_of(state["history"])]
        self._fitted_keys = frozenset(state["fitted_keys"])
        self._ranges = None if state.get("ranges") is None else uncertainty.Ranges.of(state["ranges"])
        self._digest, self._grown = str(state["digest"]), bool(state["grown"])
        self._announced = self._rows > 0 or self.ready

    def waiting(self) -> str:
        """What it still needs and when it will begin, in words; empty once it judges."""
        if self.ready:
            return ""
        text = f"{self.detector.name} learning, {self._rows} of {self._rows_needed} rows"
        if self._rows < 2:
            return text
        first_ns, last_ns = int(self._history[0].time_ns[0]), int(self._history[-1].time_ns[-1])
        left_s = (last_ns - first_ns) / 1e9 / (self._rows - 1) * (self._rows_needed - self._rows)
        return f"{text}, begins in {lasting(left_s)}"

    def _adopt(self, layout: Layout) -> None:
        """Another layout: rows gathered so far do not fit any more; what was learned stays, by key, until it is learned anew."""
        if self._rows:
            log.info("layout changed source=%s detector=%s rows_dropped=%d", self._source, self.detector.name, self._rows)
        self._digest = layout.digest
        self._grown = self.ready and not self._fitted_keys.issuperset(layout.keys)
        self._history, self._rows = [], 0

    def _calibrate(self, held_back: Scores, time_ns: NDArray[np.int64]) -> None:
        """What lasts goes on under the new calibration."""
        self.judging = self.judging or Judging(self._promise())
        self.judging.learn(held_back, time_ns)

    def _fit(self) -> None:
        history = concatenate(self._history)
        held_back = max(1, int(len(history) * self._hold_out_ratio))
        earlier, later = history.rows(slice(0, -held_back)), history.rows(slice(-held_back, None))
        self.detector.fit(earlier)
        scores = self.detector.score(later)
        self._calibrate(scores, later.time_ns)
        self.detector.fit(history)  # all rows make the better model; its scores are calibrated by those of rows it had not seen
        self._ranges = uncertainty.Ranges.learned(history)
        self.fitted_ns = int(history.time_ns[-1])
        self._fitted_keys, self._grown = self._fitted_keys.union(history.layout.keys), False
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
    """False alarms a day that each detector that learns may cause: the budget is shared out evenly over all that are not silent."""
    loud = sum(_may_alarm(settings, name) for source in settings.source.values() for name in source.detectors)
    return settings.false_alarms_per_day / max(1, loud)


def _may_alarm(settings: Settings, name: str) -> bool:
    """Whether it learns, and says what it finds; a rule is broken or not, by no chance."""
    section = detector_settings(settings, name)
    return not section.shadow and hasattr(plugins.load("detectors", section.method or name), "fit")
