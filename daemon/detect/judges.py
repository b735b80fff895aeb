"""Judges: a rule or a detector with its persistence, and for detectors learning and calibration. Rows in, events out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame, Quality
from daemon import metrics, plugins
from daemon.detect.findings import Event
from daemon.detect.learning import Learner, share_of_budget
from daemon.detect.recent import Recent, later
from daemon.detect.redrawing import Redrawing
from daemon.detect.thresholds import Thresholds
from daemon.sections import DetectorSettings
from daemon.settings import Settings, detector_settings
from detectors.calibration import Calibration
from detectors.episodes import Episode, Episodes
from detectors.figure import Figure
from detectors.finding import Certainty, Detector, Evidence, Habitual, Remembering, Rule


class RuleJudge:
    """A rule: judges single snapshots, sure of what it says."""

    def __init__(self, rule: Rule, section: DetectorSettings) -> None:
        self.name = rule.name
        self._rule = rule
        self._redrawing = Redrawing()
        self._episodes = Episodes(section.raise_rows, section.clear_rows, section.critical_raise_rows)

    def judge(self, frame: Frame, muted: NDArray[np.bool_], recent: Recent) -> tuple[list[Event], NDArray[np.bool_]]:
        """Events, and the rows that break the rule in any unit; rows that are muted are not judged."""
        if isinstance(self._rule, Habitual) and muted.any():
            frame = _muted(frame, muted)
        breaches = self._rule.judge(frame)
        judged = breaches.judged & ~muted[:, None]
        bad = breaches.holds & judged
        events = []
        for episode in self._episodes.advance(breaches.units, bad, judged, frame.time_ns, ~muted):
            evidence = self._rule.explain(frame, episode.row, episode.index) if episode.cleared_ns is None else None
            event = _event(episode, self.name, evidence=evidence)
            events.append(replace(event, figure=_pictured(recent, self._rule, frame, episode)))
            self._redrawing.note(episode, events[-1])
        events += self._redrawing.due(frame, breaches.units, lambda row, index: recent.picture(self._rule, frame, row, index))
        bad_rows = np.asarray(bad.any(axis=1))
        return events, bad_rows

    def interrupt(self, at_ns: int) -> list[Event]:
        """Ends what lasts, after a gap in the data."""
        self._redrawing.forget()
        return [_event(episode, self.name) for episode in self._episodes.interrupt(at_ns)]

    def state(self) -> dict[str, Any]:
        """All that it has learned and is in the middle of."""
        remembered = self._rule.state() if isinstance(self._rule, Remembering) else None
        return {"episodes": self._episodes.state(), "rule": remembered}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        self._episodes.restore(state["episodes"])
        if isinstance(self._rule, Remembering) and state["rule"] is not None:
            self._rule.restore(state["rule"])


class DetectorJudge:
    """A detector that learns: silent while it does, then calibrated tail probabilities against its share of the budget."""

    def __init__(self, source: str, detector: Detector, section: DetectorSettings, settings: Settings) -> None:
        self.name = detector.name
        self._source = source
        self._learner = Learner(source, detector, settings.learning)
        self._episodes, self._doubtful = (Episodes(section.raise_rows, section.clear_rows, section.critical_raise_rows) for _ in range(2))
        self._redrawing = Redrawing()
        self._raise_rows = section.raise_rows
        self._per_day = share_of_budget(settings)
        self._thresholds: tuple[Calibration, Thresholds] | None = None

    def judge(self, frame: Frame, muted: NDArray[np.bool_], broken: NDArray[np.bool_], recent: Recent) -> list[Event]:
        """Events; rows that are muted are not judged, and rows that break a rule (`broken`) are not learned from.

        `recent` has the rows before too; the frame is its end.
        """
        if not self._learner.detector.applies(frame.layout):
            return []
        calibration = self._learner.calibration
        if calibration is None:
            self._learner.learn(frame, ~muted & ~broken)
            need = self._learner.need
            missing = 0 if self._learner.ready else need.rows_needed - need.rows_seen
            metrics.LEARNING.labels(source=self._source, detector=self.name).set(missing)
            return []
        scores = self._learner.score(frame)
        thresholds = self._thresholds_of(calibration)
        alpha, beyond_doubt = thresholds.of(scores.units)
        tail = calibration.tail_probabilities(scores)
        judged = np.isfinite(tail) & np.isfinite(alpha) & ~muted[:, None]
        surprise = np.where(judged, tail, np.inf)
        bad = surprise <= alpha
        self._show(surprise, alpha)
        found = self._episodes.advance(scores.units, surprise <= beyond_doubt, judged, frame.time_ns)
        doubtful = self._doubtful.advance(thresholds.doubtful, bad & (surprise > beyond_doubt), judged, frame.time_ns)
        events = [self._event(frame, episode, tail, "", recent) for episode in found]
        events += [self._event(frame, episode, tail, thresholds.reason(episode.index), recent) for episode in doubtful]
        for episode, event in zip(found, events, strict=False):
            self._redrawing.note(episode, event)
        events += self._redrawing.due(frame, scores.units, lambda row, index: recent.picture(self._learner.detector, frame, row, index))
        self._learner.learn(frame, ~muted & ~broken & ~np.asarray(bad.any(axis=1)))
        return events

    def _thresholds_of(self, calibration: Calibration) -> Thresholds:
        if self._thresholds is None or self._thresholds[0] is not calibration:
            self._thresholds = calibration, Thresholds(calibration, self._per_day, self._raise_rows)
        return self._thresholds[1]

    def learning(self) -> str:
        """What it still needs, in words; empty once it judges."""
        return self._learner.waiting()

    def interrupt(self, at_ns: int) -> list[Event]:
        """Ends what lasts, after a gap in the data."""
        self._redrawing.forget()
        ended = [*self._episodes.interrupt(at_ns), *self._doubtful.interrupt(at_ns)]
        return [_event(episode, self.name) for episode in ended]

    def state(self) -> dict[str, Any]:
        """All that it has learned and is in the middle of."""
        return {"learner": self._learner.state(), "episodes": self._episodes.state(), "doubtful": self._doubtful.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        self._learner.restore(state["learner"])
        self._episodes.restore(state["episodes"])
        self._doubtful.restore(state["doubtful"])

    def _event(self, frame: Frame, episode: Episode, tail: NDArray[np.float64], reason: str, recent: Recent) -> Event:
        figure = _pictured(recent, self._learner.detector, frame, episode)
        if episode.cleared_ns is not None:
            return replace(_event(episode, self.name), figure=figure)
        probability = float(tail[episode.row, episode.index])
        evidence = self._learner.detector.explain(frame, episode.row, episode.index)
        certainty = Certainty.UNSURE if reason else Certainty.LIKELY
        event = _event(episode, self.name, evidence=evidence, certainty=certainty, tail_probability=probability, reason=reason)
        return replace(event, figure=figure)

    def _show(self, surprise: NDArray[np.float64], alpha: NDArray[np.float64]) -> None:
        """The highest score of the last row for /metrics, such that 1 is the threshold."""
        judged = np.isfinite(surprise[-1])
        if judged.any():
            score = np.log10(np.maximum(surprise[-1][judged], 1e-300)) / np.log10(alpha[judged])
            metrics.SCORE.labels(source=self._source, detector=self.name).set(float(score.max()))
        metrics.MODEL_AGE.labels(source=self._source, detector=self.name).set(self._learner.fitted_ns / 1e9)


def _muted(frame: Frame, muted: NDArray[np.bool_]) -> Frame:
    quality = np.zeros(frame.values.shape, dtype=np.uint8) if frame.quality is None else frame.quality
    return replace(frame, quality=np.where(muted[:, None], np.uint8(Quality.MUTED), quality))


def _pictured(recent: Recent, method: object, frame: Frame, episode: Episode) -> Figure | None:
    figure = recent.picture(method, frame, episode.row, episode.index)
    return figure if episode.cleared_ns is None else later(figure, episode.since_ns)


def _event(
    episode: Episode,
    detector: str,
    *,
    evidence: Evidence | None = None,
    certainty: Certainty = Certainty.SURE,
    tail_probability: float | None = None,
    reason: str = "",
) -> Event:
    at_ns = episode.raised_ns if episode.cleared_ns is None else episode.cleared_ns
    return Event(
        at_ns,
        episode.unit,
        detector,
        episode.since_ns,
        episode.raised_ns,
        episode.last_ns,
        episode.cleared_ns,
        evidence,
        certainty,
        tail_probability,
        reason,
    )


def build_judges(source: str, settings: Settings) -> tuple[list[RuleJudge], list[DetectorJudge]]:
    """The judges of a source, as configured."""
    rules: list[RuleJudge] = []
    detectors: list[DetectorJudge] = []
    for name in settings.source[source].detectors if source in settings.source else ():
        section = detector_settings(settings, name)
        plugin = plugins.load("detectors", section.method or name)(name, section.options)
        if isinstance(plugin, Detector):
            detectors.append(DetectorJudge(source, plugin, section, settings))
        else:
            rules.append(RuleJudge(plugin, section))
    return rules, detectors
