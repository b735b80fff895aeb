"""Judges: a rule or a detector with its persistence, and for detectors learning and calibration. Rows in, events out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame
from daemon import metrics, plugins
from daemon.detect.findings import Event
from daemon.detect.learning import Learner, share_of_budget
from daemon.settings import DetectorSettings, Settings, detector_settings
from detectors.calibration import Calibration
from detectors.episodes import Episode, Episodes
from detectors.finding import Certainty, Detector, Evidence, Remembering, Rule


class RuleJudge:
    """A rule: judges single snapshots, sure of what it says."""

    def __init__(self, rule: Rule, section: DetectorSettings) -> None:
        self.name = rule.name
        self._rule = rule
        self._episodes = Episodes(section.raise_rows, section.clear_rows, section.critical_raise_rows)

    def judge(self, frame: Frame, muted: NDArray[np.bool_]) -> tuple[list[Event], NDArray[np.bool_]]:
        """Events, and the rows that break the rule in any unit; rows that are muted are not judged."""
        breaches = self._rule.judge(frame)
        judged = breaches.judged & ~muted[:, None]
        bad = breaches.holds & judged
        events = []
        for episode in self._episodes.advance(breaches.units, bad, judged, frame.time_ns, ~muted):
            evidence = None
            if episode.cleared_ns is None:
                evidence = self._rule.explain(frame, episode.row, episode.index)
            events.append(_event(episode, self.name, evidence=evidence))
        bad_rows = np.asarray(bad.any(axis=1))
        return events, bad_rows

    def interrupt(self, at_ns: int) -> list[Event]:
        """Ends what lasts, after a gap in the data."""
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
        self._episodes = Episodes(section.raise_rows, section.clear_rows, section.critical_raise_rows)
        self._raise_rows = section.raise_rows
        self._per_day = share_of_budget(settings)

    def judge(self, frame: Frame, muted: NDArray[np.bool_], broken: NDArray[np.bool_]) -> list[Event]:
        """Events; rows that are muted are not judged, and rows that break a rule (`broken`) are not learned from."""
        if not self._learner.detector.applies(frame.layout):
            return []
        calibration = self._learner.calibration
        if calibration is None:
            self._learner.learn(frame, ~muted & ~broken)
            need = self._learner.need
            metrics.LEARNING.labels(source=self._source, detector=self.name).set(
                0 if self._learner.ready else need.rows_needed - need.rows_seen
            )
            return []
        scores = self._learner.score(frame)
        tail = calibration.tail_probabilities(scores)
        alpha = calibration.alpha(self._per_day, self._raise_rows)
        judged = np.isfinite(tail) & ~muted[:, None]
        bad = judged & (np.nan_to_num(tail, nan=1.0) <= alpha)
        self._show(tail, alpha)
        events = [
            self._event(frame, episode, tail, alpha, calibration)
            for episode in self._episodes.advance(scores.units, bad, judged, frame.time_ns)
        ]
        bad_rows = np.asarray(bad.any(axis=1))
        self._learner.learn(frame, ~muted & ~broken & ~bad_rows)
        return events

    def learning(self) -> str:
        """What it still needs, in words; empty once it judges."""
        need = self._learner.need
        return "" if self._learner.ready else f"{self.name} learning, {need.rows_seen} of {need.rows_needed} rows"

    def interrupt(self, at_ns: int) -> list[Event]:
        """Ends what lasts, after a gap in the data."""
        return [_event(episode, self.name) for episode in self._episodes.interrupt(at_ns)]

    def state(self) -> dict[str, Any]:
        """All that it has learned and is in the middle of."""
        return {"learner": self._learner.state(), "episodes": self._episodes.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        self._learner.restore(state["learner"])
        self._episodes.restore(state["episodes"])

    def _event(self, frame: Frame, episode: Episode, tail: NDArray[np.float64], alpha: float, calibration: Calibration) -> Event:
        if episode.cleared_ns is not None:
            return _event(episode, self.name)
        probability = float(tail[episode.row, episode.index])
        reason = calibration.doubt(probability, alpha)
        evidence = self._learner.detector.explain(frame, episode.row, episode.index)
        certainty = Certainty.UNSURE if reason else Certainty.LIKELY
        return _event(episode, self.name, evidence=evidence, certainty=certainty, tail_probability=probability, reason=reason)

    def _show(self, tail: NDArray[np.float64], alpha: float) -> None:
        """The highest score of the last row for /metrics, such that 1 is the threshold."""
        last = tail[-1][np.isfinite(tail[-1])]
        if len(last):
            surprise = -np.log10(max(float(last.min()), 1e-300)) / -np.log10(alpha)
            metrics.SCORE.labels(source=self._source, detector=self.name).set(surprise)
        metrics.MODEL_AGE.labels(source=self._source, detector=self.name).set(self._learner.fitted_ns / 1e9)


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
