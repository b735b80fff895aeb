"""A detector with its models: the one that judges, and what runs silently beside it.

Models come from the store (`detectors.model_store`), which is looked at every few seconds; where it has none, the detector
learns while it watches. A model that is damaged or does not fit is said, and the last good one stays in use.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame, Layout, digest_of
from daemon import metrics
from daemon.detect.findings import Event
from daemon.detect.judges import DetectorJudge, build_judges
from daemon.detect.recent import Recent
from daemon.records import ShadowFinding
from daemon.settings import Settings, detector_settings
from detectors.conditioned import AsOf, nothing_known
from detectors.model_store import Ledger, Manifest, Model, ModelError, ModelName, ModelStore

log = logging.getLogger(__name__)

Flags = NDArray[np.bool_]

NAMED_MOST = 10
LOOK_EVERY_S = 2.0
"""Wall seconds between looks at the store."""


class ModelledJudge:
    """Judges like the DetectorJudge that it holds; what is in shadow goes to `take_silent` and nowhere else."""

    def __init__(self, stream: str, build: Callable[[], DetectorJudge], settings: Settings) -> None:
        self._build = build
        self._live = build()
        self.name = self._live.name
        self._source = stream.split("#", maxsplit=1)[0]
        self._section = detector_settings(settings, self.name)
        self._model = ModelName(stream, self.name)
        self._whole = ModelName(self._source, self.name)  # promoted for all streams of the source
        self._store = ModelStore(settings.models.path, settings.models.keep)
        self._stamps: tuple[object, ...] = ((0, 0), (0, 0))
        self._look_due_s = 0.0
        self._version = 0
        self._ledger = Ledger()
        self._beside: tuple[int, DetectorJudge] | None = None
        self._nothing = Recent()  # what is silent needs no pictures
        self._lasting: dict[str, ShadowFinding] = {}
        self._said: list[ShadowFinding] = []
        self._silent_count = 0
        self._manifest: Manifest | None = None
        self._checked = ""  # digest of the layout that the model was compared with

    @property
    def silent(self) -> bool:
        """Whether the detector itself is in shadow: it says nothing."""
        return self._section.shadow and not self._ledger.promoted

    def judge(self, frame: Frame, muted: Flags, broken: Flags, recent: Recent) -> list[Event]:
        """Events of what judges; see DetectorJudge."""
        was_silent = self.silent
        if time.monotonic() >= self._look_due_s:
            self._look_due_s = time.monotonic() + LOOK_EVERY_S
            self._look(int(frame.time_ns[-1]))
        if was_silent and not self.silent:  # promoted: what lasts begins anew, said aloud
            self._whisper(self._live.interrupt(int(frame.time_ns[0])), self._version)
        self._name_unknown(frame.layout)
        events = self._live.judge(frame, muted, broken, self._nothing if self.silent else recent)
        if self._beside is not None:
            version, judge = self._beside
            self._whisper(judge.judge(frame, muted, broken, self._nothing), version)
        if not self.silent:
            return events
        self._whisper(events, self._version)
        return []

    def take_silent(self) -> list[ShadowFinding]:
        """What was found silently, or has ended, since this was called last."""
        said, self._said = self._said, []
        return said

    def learning(self) -> str:
        """What it still needs, in words; empty once it judges."""
        return self._live.learning()

    def alarms(self) -> dict[str, Any] | None:
        """Alarms a day promised and raised, see DetectorJudge; None while it learns or is in shadow."""
        return None if self.silent else self._live.alarms()

    def answer(self, unit_key: str, since_ns: int, at_ns: int) -> list[Event]:
        """What a person said to a question, see DetectorJudge; nobody is asked by what is in shadow."""
        return [] if self.silent else self._live.answer(unit_key, since_ns, at_ns)

    def status(self) -> dict[str, Any]:
        """Which model it uses and what is in shadow."""
        beside = self._beside[0] if self._beside is not None else 0
        return {"detector": self.name, "version": self._version, "silent": self.silent, "beside": beside, "found": self._silent_count}

    def interrupt(self, at_ns: int) -> list[Event]:
        """Ends what lasts, after a gap in the data."""
        if self._beside is not None:
            self._whisper(self._beside[1].interrupt(at_ns), self._beside[0])
        events = self._live.interrupt(at_ns)
        if not self.silent:
            return events
        self._whisper(events, self._version)
        return []

    def state(self) -> dict[str, Any]:
        """All that it has learned and is in the middle of."""
        beside = None if self._beside is None else {"version": self._beside[0], "judge": self._beside[1].state()}
        return {
            "live": self._live.state(),
            "version": self._version,
            "promoted": self._ledger.promoted,
            "beside": beside,
            "lasting": [asdict(finding) for finding in self._lasting.values()],
            "found": self._silent_count,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`; one from before there were models is that of the judge alone."""
        if "live" not in state:
            self._live.restore(state)
            return
        self._live.restore(state["live"])
        self._version, self._silent_count = int(state["version"]), int(state["found"])
        self._ledger = replace(self._ledger, current=self._version, promoted=bool(state["promoted"]))
        if state["beside"] is not None:
            judge = self._second(int(state["beside"]["version"]))
            judge.restore(state["beside"]["judge"])
            self._beside = int(state["beside"]["version"]), judge
        self._lasting = {entry["key"]: ShadowFinding(**entry) for entry in state["lasting"]}

    def _look(self, now_ns: int) -> None:
        """Takes what has changed in the store; `now_ns` is event time."""
        if self._ledger.shadow and self._ledger.shadow_until_ns and now_ns >= self._ledger.shadow_until_ns:
            self._take_over(self._ledger.shadow)
        stamps = (self._store.stamp(self._model), self._store.stamp(self._whole))
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            ledger = self._store.ledger(self._model)
            self._ledger = replace(ledger, promoted=ledger.promoted or self._store.ledger(self._whole).promoted)
        except ModelError as error:
            log.error("model refused reason=%r", str(error))
            return
        if self._ledger.current != self._version:
            self._change(self._ledger.current)
        self._change_beside(self._ledger.shadow, now_ns)

    def _take_over(self, version: int) -> None:
        """The time of a model in shadow is over."""
        try:
            self._store.change(
                self._model,
                lambda ledger: (
                    ledger.with_current(version).noted(time.time_ns(), f"version {version} in use: its time in shadow is over")
                    if ledger.shadow == version
                    else ledger
                ),
            )
        except (ModelError, OSError) as error:
            log.error("model not put into use model=%s version=%d reason=%r", self._model, version, str(error))
            self._ledger = replace(self._ledger, shadow_until_ns=0)

    def _change(self, version: int) -> None:
        """Another version judges; the one before does so again where that cannot be used."""
        if not version:
            self._live, self._version, self._manifest = self._build(), 0, None
            log.info("model given up model=%s reason=%r", self._model, "learns while it watches")
            return
        before = self._live.state()
        model = self._loaded(version)
        if model is None:
            return
        try:
            self._live.use(model)
        except (ValueError, KeyError, TypeError) as error:
            self._live = self._build()
            self._live.restore(before)
            log.error("model refused model=%s version=%d reason=%r", self._model, version, str(error))
            return
        self._version, self._manifest, self._checked = version, model.manifest, ""
        metrics.MODEL_VERSION.labels(source=self._source, detector=self.name).set(version)
        log.info("model in use model=%s version=%d why=%r", self._model, version, model.manifest.verdict)

    def _name_unknown(self, layout: Layout) -> None:
        """Says, once for a layout, which of its columns the model knows nothing of: they are learned while watching."""
        if self._manifest is None or layout.digest == self._checked:
            return
        self._checked = layout.digest
        unknown = set(self._manifest.unknown(layout.keys))
        names = [column.name for key, column in zip(layout.keys, layout.columns, strict=True) if key in unknown]
        if names:
            shown = ", ".join(names[:NAMED_MOST]) + (f" and {len(names) - NAMED_MOST} more" if len(names) > NAMED_MOST else "")
            log.warning("model does not know columns model=%s version=%d columns=%r", self._model, self._version, shown)

    def _change_beside(self, version: int, now_ns: int) -> None:
        """What runs silently beside."""
        known = self._beside[0] if self._beside is not None else 0
        if version == known:
            return
        if self._beside is not None:
            self._whisper(self._beside[1].interrupt(now_ns), known)
        self._beside = None
        model = self._loaded(version) if version else None
        if model is None:
            return
        judge = self._second(version)
        try:
            judge.use(model)
        except (ValueError, KeyError, TypeError) as error:
            log.error("model refused model=%s version=%d reason=%r", self._model, version, str(error))
            return
        self._beside = version, judge
        log.info("model in shadow model=%s version=%d", self._model, version)

    def _second(self, version: int) -> DetectorJudge:
        judge = self._build()
        judge.name = f"{self.name}@{version}"  # its metrics are its own
        return judge

    def _loaded(self, version: int) -> Model | None:
        try:
            model = self._store.load(self._model, version)
        except ModelError as error:
            log.error("model refused, the one before stays in use reason=%r", str(error))
            return None
        refusal = model.manifest.refusal_for(self._section.method or self.name, self._section.options)
        if refusal:
            log.error("model refused model=%s version=%d reason=%r", self._model, version, refusal)
            return None
        return model

    def _whisper(self, events: list[Event], version: int) -> None:
        """Keeps what is found silently."""
        for event in events:
            unit = event.unit
            key = digest_of("shadow", self._model.stream, self.name, version, unit.key, unit.condition, event.since_ns)
            finding = self._lasting.get(key)
            if finding is None and event.cleared_ns is None:
                summary = event.evidence.summary if event.evidence is not None else ""
                finding = ShadowFinding(
                    *(key, self._model.stream, self.name, version, event.since_ns, event.raised_ns, None, str(event.certainty)),
                    *(unit.name, unit.place, unit.condition, summary),
                )
                self._lasting[key] = finding
                self._silent_count += 1
                self._said.append(finding)
            elif finding is not None and event.cleared_ns is not None:
                del self._lasting[key]
                self._said.append(replace(finding, cleared_ns=event.cleared_ns))


def build_modelled(stream: str, source: str, settings: Settings, as_of: AsOf = nothing_known) -> list[ModelledJudge]:
    """The detectors of a stream, as configured; as_of: what conditions were."""

    def builder(name: str) -> Callable[[], DetectorJudge]:
        return lambda: next(judge for judge in build_judges(source, settings, as_of)[1] if judge.name == name)

    return [ModelledJudge(stream, builder(judge.name), settings) for judge in build_judges(source, settings)[1]]
