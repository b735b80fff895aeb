"""The watch over one stream: repeats, late rows, silence, muting, and all detectors configured for its source."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.conditions import ConditionHistory
from collectors.frame import Frame, Layout, Updates
from collectors.wire import END_OF_STREAM_NS, JUDGED_ALL, Block
from daemon import metrics
from daemon.conditions import in_words, muted_rows
from daemon.detect.findings import Event, FindingBook
from daemon.detect.judges import RuleJudge, build_judges, just_one
from daemon.detect.modelled import ModelledJudge, build_modelled
from daemon.detect.recent import Recent, encoded
from daemon.detect.upkeep import UpkeepRule
from daemon.messages import FindingReport
from daemon.records import ShadowFinding
from daemon.settings import Settings
from detectors.figure import of_finding
from detectors.finding import Finding

log = logging.getLogger(__name__)


class StreamWatch:
    """Judges the blocks of one stream in order. Its state can be saved and restored; it is the same after a replay.

    A finding is reported at the time of the row that raised it, or just after the progress reported last where the row is
    older than that: reports of a stream rise in time.
    """

    def __init__(self, stream: str, settings: Settings, place: str = "", siblings: Callable[[], int] = just_one) -> None:
        """`place`: where it judges ("agent"), where not in the detect stage that has all streams: its reports are told apart by it.

        `siblings`: streams that the source has; they share what its detectors may raise.
        """
        self.stream = stream
        self.reported_as = f"{stream}@{place}" if place else stream
        self._agent = bool(place)
        self._judged_elsewhere: tuple[str, ...] = ()
        self.source = stream.split("#", maxsplit=1)[0]
        self._section = settings.source.get(self.source)
        place = self._section.place if self._section is not None and self._section.place else settings.experiment
        self._upkeep = UpkeepRule(self.source, place, self._section)
        self._gap_ns = int(self._section.longest_gap_s * 1e9) if self._section is not None else 0
        self._rules = build_judges(stream, settings)[0]
        self._detectors = build_modelled(stream, settings, self._as_of, siblings)
        self._book = FindingBook(self.source)
        self._recent = Recent()
        self._names = settings.conditions
        self._conditions = ConditionHistory()  # as of the block that is being judged
        self.progress_ns = 0
        self._epoch = -1
        self._sequence = -1
        self._last_row_ns = 0
        self._catching_up = False  # a producer that was started again may begin with what it had sent before
        self._rows = 0
        self._layout: Layout | None = None
        self._names_checked = True

    def judge(self, block: Block, conditions: ConditionHistory) -> list[FindingReport]:
        """What there is to say after a block; `progress_ns` is how far the stream has been judged then."""
        if self._is_repeat(block):
            metrics.REPEATED_BLOCKS.labels(source=self.source).inc()
            return []
        self._conditions = conditions
        reports = self._end_orphans(block.complete_ns) + self._leave_to_others(block)
        if isinstance(block.content, Updates):
            log.warning("updates cannot be judged, align them first source=%s", self.source)
        elif block.content is not None and len(block.content):
            reports += self._judge_frame(block.content, conditions)
        if block.complete_ns < END_OF_STREAM_NS:
            reports += self._keep_up(block, conditions)
        self.progress_ns = max([self.progress_ns, block.complete_ns, *(report.at_ns for report in reports)])
        metrics.ACTIVE_FINDINGS.labels(source=self.source).set(self._book.active)
        return reports

    def answer(self, findings: Collection[str]) -> list[FindingReport]:
        """A person has called these findings, by their keys, no problem; what there is to say after that."""
        told = []
        judges = {judge.name: judge for judge in self._detectors}
        for finding in self._book.lasting(findings):
            judge = judges.get(finding.detectors[0])
            events = judge.answer(finding.unit.key, finding.since_ns, max(self.progress_ns, finding.last_ns)) if judge is not None else []
            told += [self._report(event.at_ns, self._book.take(event)) for event in events]
        self.progress_ns = max([self.progress_ns, *(report.at_ns for report in told)])
        return told

    def state(self) -> dict[str, Any]:
        """All that the watch has learned and is in the middle of."""
        return {
            "progress_ns": self.progress_ns,
            "epoch": self._epoch,
            "sequence": self._sequence,
            "last_row_ns": self._last_row_ns,
            "catching_up": self._catching_up,
            "rows": self._rows,
            "upkeep": self._upkeep.state(),
            "book": self._book.state(),
            "judges": {judge.name: judge.state() for judge in self._judges()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`; detectors that are new to the configuration begin anew."""
        self.progress_ns = int(state["progress_ns"])
        self._epoch, self._sequence = int(state["epoch"]), int(state["sequence"])
        self._last_row_ns, self._rows = int(state["last_row_ns"]), int(state["rows"])
        self._catching_up = bool(state["catching_up"])
        self._upkeep.restore(state["upkeep"])
        self._book.restore(state["book"])
        self._names_checked = False
        for judge in self._judges():
            if judge.name in state["judges"]:
                judge.restore(state["judges"][judge.name])

    def status(self) -> dict[str, Any]:
        """A line of `shiftwatch status`."""
        learning = [detector.learning() for detector in self._detectors]
        needs = "; ".join(text for text in learning if text)
        return {
            "stream": self.stream,
            "rows": self._rows,
            "findings": self._book.active,
            "state": needs or "watching",
            "last_ns": self._last_row_ns,
            "problem": self._upkeep.problem,
            "detectors": [judge.name for judge in self._judges()],
            "alarms": [alarms for detector in self._detectors if (alarms := detector.alarms()) is not None],
            "models": [detector.status() for detector in self._detectors],
        }

    def take_silent(self) -> list[ShadowFinding]:
        """What was found by detectors and models in shadow since this was called last: for the record, and for nobody's attention."""
        return [finding for detector in self._detectors for finding in detector.take_silent()]

    def _judges(self) -> list[RuleJudge | ModelledJudge]:
        return [*self._rules, *self._detectors]

    def _is_repeat(self, block: Block) -> bool:
        identity = block.identity
        if (identity.epoch, identity.sequence) <= (self._epoch, self._sequence):
            return True
        if self._epoch < identity.epoch:
            self._catching_up |= self._epoch >= 0
            self._upkeep.begin(min(block.complete_ns, END_OF_STREAM_NS))
        self._epoch, self._sequence = identity.epoch, identity.sequence
        return False

    def _judge_frame(self, frame: Frame, conditions: ConditionHistory) -> list[FindingReport]:
        before_ns = self._last_row_ns
        on_time = self._on_time(frame)
        if on_time is None:
            return []
        reports: list[FindingReport] = []
        for part in self._between_gaps(on_time, before_ns):
            if before_ns and self._gap_ns and int(part.time_ns[0]) - before_ns > self._gap_ns:
                reports += self._interrupt(before_ns + self._gap_ns)
            reports += self._judge_rows(part, conditions)
            before_ns = int(part.time_ns[-1])
        return reports

    def _between_gaps(self, frame: Frame, before_ns: int) -> list[Frame]:
        """The frame in runs of rows without a gap between them."""
        steps = np.diff(frame.time_ns, prepend=before_ns or frame.time_ns[0])
        starts = np.flatnonzero(steps > self._gap_ns) if self._gap_ns else np.empty(0, dtype=np.int64)
        bounds = [0, *(int(start) for start in starts if start), len(frame)]
        return [frame.rows(slice(first, end)) for first, end in pairwise(bounds)] if len(bounds) > 2 else [frame]

    def _interrupt(self, at_ns: int) -> list[FindingReport]:
        """Ends what lasts at a time at which there are no data."""
        ended = [self._report(e.at_ns, self._book.take(e)) for judge in self._judges() for e in judge.interrupt(at_ns)]
        self.progress_ns = max([self.progress_ns, *(report.at_ns for report in ended)])
        return ended

    def _judge_rows(self, on_time: Frame, conditions: ConditionHistory) -> list[FindingReport]:
        self._layout = on_time.layout
        if self._is_ours(self._upkeep.name):
            self._upkeep.see(on_time.layout, int(on_time.time_ns[-1]))
        self._recent.take(on_time)
        muted = self._muted(on_time, conditions)
        broken = np.zeros(len(on_time), dtype=bool)
        events = []
        for rule in filter(lambda judge: self._is_ours(judge.name), self._rules):
            said, bad_rows = rule.judge(on_time, muted, self._recent)
            broken |= bad_rows
            events += said
        for detector in filter(lambda judge: self._is_ours(judge.name), self._detectors):
            events += detector.judge(on_time, muted, broken, self._recent)
        return [self._told(event, conditions) for event in events]

    def _told(self, event: Event, conditions: ConditionHistory) -> FindingReport:
        """The report of an event: in which run it was, and its picture, which says so too."""
        report = self._report(event.at_ns, self._book.take(event))
        words = in_words(conditions, self._names, event.at_ns)
        figure = None if event.figure is None else of_finding(event.figure, event.since_ns, event.raised_ns, words)
        return replace(report, figure=encoded(figure), conditions=words)

    def _on_time(self, frame: Frame) -> Frame | None:
        """The rows that are newer than what was judged; the others are counted. None where nothing is left."""
        newest = np.maximum.accumulate(np.concatenate([[self._last_row_ns], frame.time_ns]))
        good = frame.time_ns > newest[:-1]
        late = int(len(good) - good.sum())
        caught_up_before = not self._catching_up
        self._catching_up = self._catching_up and not good.any()
        if late and not caught_up_before:
            metrics.REPEATED_BLOCKS.labels(source=self.source).inc()
        elif late:
            metrics.LATE_ROWS.labels(source=self.source).inc(late)
            self._upkeep.late(int(newest[-1] - frame.time_ns[~good].min()))
        elif len(good):
            self._upkeep.late(0)
        if not good.any():
            return None
        self._last_row_ns = int(newest[-1])
        self._rows += int(good.sum())
        return frame if good.all() else frame.rows(good)

    def _muted(self, frame: Frame, conditions: ConditionHistory) -> NDArray[np.bool_]:
        """Rows in which the source is not judged; shape (n,)."""
        return muted_rows(self._section.mute if self._section is not None else (), frame.time_ns, conditions)

    def _keep_up(self, block: Block, conditions: ConditionHistory) -> list[FindingReport]:
        """Silence and the clock are those of the whole source, so only its own stream tells of them, not those of its parts."""
        if not self._is_ours(self._upkeep.name):
            return []
        at_ns = max(block.complete_ns, self.progress_ns)  # rows that come late do not turn the clock back
        is_part = "#" in self.stream
        heard_ns = at_ns if is_part else max(self._last_row_ns, block.newest_ns)
        problem = "" if is_part else block.problem
        events = self._upkeep.judge(at_ns, heard_ns, problem, fresh=block.content is not None)
        return [self._told(event, conditions) for event in events]

    def _end_orphans(self, at_ns: int) -> list[FindingReport]:
        """What a detector had found that has begun anew, or was taken out of the configuration while the daemon was down."""
        if at_ns >= END_OF_STREAM_NS:
            return []
        anew = {detector.name for detector in self._detectors if detector.take_anew()}
        if self._names_checked and not anew:
            return []
        self._names_checked = True
        ended = self._book.end_others({self._upkeep.name, *(judge.name for judge in self._judges())} - anew, at_ns)
        return [self._report(at_ns, finding) for finding in ended]

    def _is_ours(self, judge: str) -> bool:
        """Whether it judges here; an agent may have done so where the block comes from."""
        return self._agent or not (judge in self._judged_elsewhere or JUDGED_ALL[0] in self._judged_elsewhere)

    def _leave_to_others(self, block: Block) -> list[FindingReport]:
        """Ends what was found here by judges that judge elsewhere from this block on: nobody else would."""
        if block.judged == self._judged_elsewhere or self._agent:
            return []
        self._judged_elsewhere = block.judged
        at_ns = min(block.complete_ns, END_OF_STREAM_NS - 1)
        for judge in self._judges():
            if not self._is_ours(judge.name):
                judge.interrupt(at_ns)
        ours = {name for name in (self._upkeep.name, *(judge.name for judge in self._judges())) if self._is_ours(name)}
        return [self._report(at_ns, finding) for finding in self._book.end_others(ours, at_ns)]

    def _as_of(self, name: str, time_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """What a condition was, for detectors that take out what it accounts for."""
        return self._conditions.as_of(name, time_ns)

    def _report(self, at_ns: int, finding: Finding) -> FindingReport:
        return FindingReport(self.reported_as, max(at_ns, self.progress_ns + 1), finding)
