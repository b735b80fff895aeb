"""Judges: a rule or a detector with its persistence, and for detectors learning and calibration. Rows in, events out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame, Quality
from daemon import metrics, plugins
from daemon.detect.findings import Event
from daemon.detect.learning import Learner, share_of_budget
from daemon.detect.persistence import persistence, quiet_hours
from daemon.detect.questions import Questions
from daemon.detect.recent import Recent, later
from daemon.detect.redrawing import Redrawing
from daemon.sections import DetectorSettings
from daemon.settings import Settings, detector_settings
from detectors.conditioned import AsOf, conditioned, nothing_known
from detectors.episodes import Episode, Episodes
from detectors.figure import Figure
from detectors.finding import Certainty, Detector, Evidence, Habitual, Remembering, Rule
from detectors.judged import Judged
from detectors.judging import Judging, Promise
from detectors.model_store import Model

log = logging.getLogger(__name__)

STATE_VERSION = 2


def just_one() -> int:
    """Streams of a source that is not split."""
    return 1


class RuleJudge:
    """A rule: judges single snapshots, sure of what it says."""

    def __init__(self, rule: Rule, section: DetectorSettings) -> None:
        self.name = rule.name
        self._rule = rule
        self._redrawing = Redrawing()
        self._episodes = Episodes(*persistence(rule, section))

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
    """A detector that learns: silent while it does, then judged such that its share of the budget is kept."""

    def __init__(
        self, stream: str, detector: Detector, section: DetectorSettings, settings: Settings, siblings: Callable[[], int] = just_one
    ) -> None:
        self.name = detector.name
        self._source = stream
        rows = (*persistence(detector, section), quiet_hours(detector, section))

        def promise() -> Promise:
            return Promise(share_of_budget(settings) / max(1, siblings()), *rows)

        self._begin: Callable[[], Learner] = lambda: Learner(stream, detector, settings.learning, promise)
        self._learner = self._begin()
        self._questions = Questions(detector.name)
        self._redrawing = Redrawing()

    def judge(self, frame: Frame, muted: NDArray[np.bool_], broken: NDArray[np.bool_], recent: Recent) -> list[Event]:
        """Events; rows that are muted are not judged, and rows that break a rule (`broken`) are not learned from.

        `recent` has the rows before too; the frame is its end.
        """
        if not self._learner.detector.applies(frame.layout):
            return []
        judging = self._learner.judging
        if judging is None:
            seen = self._learner.learn(frame, ~muted & ~broken)
            need = self._learner.need
            missing = 0 if self._learner.ready else need.rows_needed - need.rows_seen
            metrics.LEARNING.labels(source=self._source, detector=self.name).set(missing)
            rest = slice(seen, None)
            return self.judge(frame.rows(rest), muted[rest], broken[rest], recent) if seen < len(frame) else []
        active = judging.active
        scores = self._learner.score(frame)
        got = judging.judge(scores, frame.time_ns, ~muted)
        events = self._events(frame, got, recent)
        events += self._redrawing.due(frame, scores.units, lambda row, index: recent.picture(self._learner.detector, frame, row, index))
        self._show(judging, got)
        self._learner.learn(frame, ~muted & ~broken & ~covered(got, active))
        return events

    def use(self, model: Model) -> None:
        """Goes on with a model of the store; what lasts goes on too. Raises ValueError where it does not fit."""
        self._learner.use(model)

    def learning(self) -> str:
        """What it still needs, in words; empty once it judges."""
        return self._learner.waiting()

    def alarms(self) -> dict[str, Any] | None:
        """Alarms a day that were promised and that were raised, with their interval, for `shiftwatch status`; None while it learns."""
        judging = self._learner.judging
        if judging is None:
            return None
        found = judging.rate.measured()
        known = found.days > 0
        return {
            "detector": self.name,
            "promised_per_day": judging.promise.per_day,
            "measured_per_day": found.per_day if known else None,
            "low": found.low if known else None,
            "high": found.high if known else None,
            "days": found.days,
            "since_ns": judging.rate.begun_ns,
            "questions": self._questions.standing,
        }

    def answer(self, unit_key: str, since_ns: int, at_ns: int) -> list[Event]:
        """A person calls a finding normal; `unit_key` and `since_ns` are the finding's.

        Where it asks whether it is, that is the answer; where it lasts and has not asked yet, the answer is kept for when it would.
        """
        judging, asked = self._learner.judging, self._questions.unit_of(unit_key, since_ns)
        if judging is None or asked is None:
            self._questions.expect(unit_key, since_ns)
            return []
        question = judging.answer(asked, at_ns)
        return self._questions.events([question], [])[0] if question is not None else []

    def interrupt(self, at_ns: int) -> list[Event]:
        """Ends what lasts, after a gap in the data; questions stand, for a gap does not answer them."""
        self._redrawing.forget()
        if self._learner.judging is None:
            return []
        certain, doubtful = self._learner.judging.interrupt(at_ns)
        self._questions.forget([*certain, *doubtful])
        return [_event(episode, self.name) for episode in (*certain, *doubtful)]

    def state(self) -> dict[str, Any]:
        """All that it has learned and is in the middle of."""
        return {"version": STATE_VERSION, "learner": self._learner.state(), "questions": self._questions.state()}

    def restore(self, state: dict[str, Any]) -> bool:
        """Goes on from a `state`; False where it is of another version: it is set aside, and the detector learns anew."""
        try:
            if state.get("version") != STATE_VERSION:
                raise ValueError(f"judge of version {state.get('version')}, this is version {STATE_VERSION}")
            self._learner.restore(state["learner"])
            self._questions.restore(state["questions"])
        except (ValueError, KeyError, TypeError) as error:
            log.warning("state set aside, learning anew source=%s detector=%s reason=%r", self._source, self.name, str(error))
            self._learner, self._questions = self._begin(), Questions(self.name)
            return False
        return True

    def _events(self, frame: Frame, got: Judged, recent: Recent) -> list[Event]:
        reasons = {id(episode): reason for episode, reason in got.doubtful}
        asked, episodes = self._questions.events(got.questions, [*got.episodes, *(episode for episode, _ in got.doubtful)])
        asked += [said for event in asked if self._questions.expected(event) for said in self._answered(event)]
        self._questions.forget(episodes)
        events = []
        for episode in episodes:
            event = self._event(frame, episode, got, reasons.get(id(episode), ""), recent)
            events.append(event)
            if id(episode) not in reasons:
                self._redrawing.note(episode, event)
        return sorted([*asked, *events], key=lambda event: event.at_ns)

    def _answered(self, event: Event) -> list[Event]:
        """The end of a question that a person has answered before it was asked."""
        return self.answer(event.unit.key, event.since_ns, event.at_ns)

    def _event(self, frame: Frame, episode: Episode, got: Judged, reason: str, recent: Recent) -> Event:
        if episode.row < 0:
            return _event(episode, self.name)
        figure = _pictured(recent, self._learner.detector, frame, episode)
        if episode.cleared_ns is not None:
            return replace(_event(episode, self.name), figure=figure)
        probability = float(got.tail[episode.row, episode.index])
        evidence = self._learner.detector.explain(frame, episode.row, episode.index)
        uncertainty, doubt = self._learner.doubt(frame, episode, probability, float(got.alpha[episode.index]), evidence)
        reason = reason or doubt
        certainty = Certainty.UNSURE if reason else Certainty.LIKELY
        event = _event(episode, self.name, evidence=evidence, certainty=certainty, tail_probability=probability, reason=reason)
        event = replace(event, uncertainty=uncertainty)
        return replace(event, figure=figure)

    def _show(self, judging: Judging, got: Judged) -> None:
        """For /metrics: the highest score of the last row, such that 1 is the threshold, and alarms beside what was promised."""
        labels = {"source": self._source, "detector": self.name}
        metrics.SCORE.labels(**labels).set(got.highest())
        metrics.MODEL_AGE.labels(**labels).set(self._learner.fitted_ns / 1e9)
        found = judging.rate.measured()
        metrics.ALARMS_PROMISED.labels(**labels).set(judging.promise.per_day)
        if found.days > 0:
            metrics.ALARMS_MEASURED.labels(**labels).set(found.per_day)
            metrics.ALARMS_LOW.labels(**labels).set(found.low)
            metrics.ALARMS_HIGH.labels(**labels).set(found.high)
        metrics.QUESTIONS.labels(**labels).set(self._questions.standing)


def covered(got: Judged, active: int) -> NDArray[np.bool_]:
    """Rows that an alarm covers, shape (n,), from the first bad row on; active: episodes that lasted before the first row."""
    change = np.zeros(len(got.bad) + 1, dtype=np.int64)
    for episode in (*got.episodes, *(doubtful for doubtful, _ in got.doubtful)):
        change[max(episode.row, 0)] += 1 if episode.cleared_ns is None else -1
    result: NDArray[np.bool_] = (active + np.cumsum(change[:-1]) > 0) | got.bad.any(axis=1)
    return result


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


def build_judges(
    stream: str, settings: Settings, as_of: AsOf = nothing_known, siblings: Callable[[], int] = just_one
) -> tuple[list[RuleJudge], list[DetectorJudge]]:
    """The judges of a stream, as configured.

    as_of: what conditions were, for detectors that take out what these account for; siblings: how many streams its source has, itself
    included, once it has learned: they share what the source may raise.
    """
    source = stream.split("#", maxsplit=1)[0]
    rules: list[RuleJudge] = []
    detectors: list[DetectorJudge] = []
    for name in settings.source[source].detectors if source in settings.source else ():
        section = detector_settings(settings, name)
        plugin = plugins.load("detectors", section.method or name)(name, section.options)
        if isinstance(plugin, Detector):
            plugin = conditioned(plugin, section.options, section.conditions, season=section.season, as_of=as_of)
            detectors.append(DetectorJudge(stream, plugin, section, settings, siblings))
        else:
            rules.append(RuleJudge(plugin, section))
    return rules, detectors
