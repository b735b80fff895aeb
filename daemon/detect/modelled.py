"""A detector with its models: the one that judges, and what runs silently beside it.

Models come from the store (`detectors.model_store`), which is looked at every few seconds; where it has none, the detector
learns while it watches. A model that is damaged or does not fit is said, and the last good one stays in use.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame, Layout
from daemon import metrics
from daemon.detect.findings import Event
from daemon.detect.judges import DetectorJudge, build_judges, just_one
from daemon.detect.recent import Recent
from daemon.detect.silent import SilentFindings
from daemon.records import ShadowFinding
from daemon.settings import Settings, detector_settings
from detectors.conditioned import AsOf, nothing_known
from detectors.model_store import Ledger, Manifest, Model, ModelError, ModelName, ModelStore

log = logging.getLogger(__name__)

Flags = NDArray[np.bool_]

NAMED_MOST = 10
NO_LEDGER = (0, 0)
HOUR_NS = 3_600_000_000_000
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
        self._stamps: tuple[object, ...] = ()
        self._look_due_s = 0.0
        self._version = 0
        self._ledger = Ledger()
        self._beside: tuple[int, DetectorJudge] | None = None
        self._beside_since_ns = 0  # event time of its first row
        self._shadow_ns = int(settings.learning.shadow_h * HOUR_NS)
        self._refused = ""  # why the version that the ledger names is not in use
        self._nothing = Recent()  # what is silent needs no pictures
        self._silent = SilentFindings(stream, self.name)
        self._manifest: Manifest | None = None
        self._checked = ""  # digest of the layout that the model was compared with
        self._begun_anew = False
        metrics.MODEL_VERSION.labels(source=self._source, detector=self.name).set(self._version)

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
            self._silent.note(self._live.interrupt(int(frame.time_ns[0])), self._version)
        self._name_unknown(frame.layout)
        events = self._live.judge(frame, muted, broken, self._nothing if self.silent else recent)
        if self._beside is not None:
            version, judge = self._beside
            self._silent.note(judge.judge(frame, muted, broken, self._nothing), version)
        if not self.silent:
            return events
        self._silent.note(events, self._version)
        return []

    def take_anew(self) -> bool:
        """Whether it has begun anew since this was called last: what it had found before, it will not end."""
        anew, self._begun_anew = self._begun_anew, False
        return anew

    def take_silent(self) -> list[ShadowFinding]:
        """What was found silently, or has ended, since this was called last."""
        return self._silent.take()

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
        said = {"detector": self.name, "version": self._version, "silent": self.silent, "beside": beside}
        return {**said, "found": self._silent.count, "refused": self._refused}

    def interrupt(self, at_ns: int) -> list[Event]:
        """Ends what lasts, after a gap in the data."""
        if self._beside is not None:
            self._silent.note(self._beside[1].interrupt(at_ns), self._beside[0])
        events = self._live.interrupt(at_ns)
        if not self.silent:
            return events
        self._silent.note(events, self._version)
        return []

    def state(self) -> dict[str, Any]:
        """All that it has learned and is in the middle of."""
        beside = None
        if self._beside is not None:
            beside = {"version": self._beside[0], "since_ns": self._beside_since_ns, "judge": self._beside[1].state()}
        return {
            "live": self._live.state(),
            "version": self._version,
            "promoted": self._ledger.promoted,
            "beside": beside,
            "lasting": self._silent.state(),
            "found": self._silent.count,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`; one from before there were models is that of the judge alone."""
        self._begun_anew = not self._live.restore(state.get("live", state))
        if "live" not in state:
            return
        self._version = int(state["version"])
        self._silent.restore(state["lasting"], int(state["found"]))
        self._ledger = replace(self._ledger, current=self._version, promoted=bool(state["promoted"]))
        if state["beside"] is not None:
            judge = self._second(int(state["beside"]["version"]))
            judge.restore(state["beside"]["judge"])
            self._beside = int(state["beside"]["version"]), judge
            self._beside_since_ns = int(state["beside"].get("since_ns", 0))
        metrics.MODEL_VERSION.labels(source=self._source, detector=self.name).set(self._version)

    def _look(self, now_ns: int) -> None:
        """Takes what has changed in the store; `now_ns` is event time."""
        if self._beside is not None and self._ledger.shadow_until_ns and now_ns >= self._shadow_ends_ns():
            self._take_over(self._beside[0])
        stamps = (self._store.stamp(self._model), self._store.stamp(self._whole))
        if stamps == self._stamps:
            return
        self._stamps = stamps
        if self._is_gone(stamps):
            self._refuse(self._version, "the folder of models is gone; what was in use stays so")
            return
        try:
            ledger = self._store.ledger(self._model)
            self._ledger = replace(ledger, promoted=ledger.promoted or self._store.ledger(self._whole).promoted)
        except ModelError as error:
            self._refuse(self._version, str(error))
            return
        self._accept()
        if self._ledger.current != self._version:
            self._change(self._ledger.current)
        elif self._version and self._manifest is None:
            self._remember(self._version)
        self._change_beside(self._ledger.shadow, now_ns)

    def _is_gone(self, stamps: tuple[object, ...]) -> bool:
        """Whether something is in use of which the store knows nothing: a volume that is not mounted is no reason to forget it."""
        of_ours = self._version or self._beside is not None
        return stamps[0] == NO_LEDGER and bool(of_ours or (self._ledger.promoted and stamps[1] == NO_LEDGER))

    def _shadow_ends_ns(self) -> int:
        """At the time that the ledger says, and not before it ran so long itself: it may have been trained on rows of long ago."""
        return max(self._ledger.shadow_until_ns, self._beside_since_ns + self._shadow_ns)

    def _refuse(self, version: int, reason: str) -> None:
        self._refused = reason
        metrics.MODEL_REFUSED.labels(source=self._source, detector=self.name).set(1)
        log.error("model refused model=%s version=%d reason=%r", self._model, version, reason)

    def _accept(self) -> None:
        if self._refused:
            self._refused = ""
            metrics.MODEL_REFUSED.labels(source=self._source, detector=self.name).set(0)

    def _remember(self, version: int) -> None:
        """Goes on with a version from a saved state; its file only says which columns it knows."""
        try:
            self._manifest = self._store.manifest(self._model, version)
        except ModelError as error:
            log.warning("model in use has no file any more reason=%r", str(error))

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
            self._live, self._version, self._manifest, self._begun_anew = self._build(), 0, None, True
            metrics.MODEL_VERSION.labels(source=self._source, detector=self.name).set(self._version)
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
            self._refuse(version, f"version {version}: {error}")
            return
        self._version, self._manifest, self._checked = version, model.manifest, ""
        metrics.MODEL_VERSION.labels(source=self._source, detector=self.name).set(self._version)
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
            self._silent.note(self._beside[1].interrupt(now_ns), known)
        self._beside = None
        model = self._loaded(version) if version else None
        if model is None:
            return
        judge = self._second(version)
        try:
            judge.use(model)
        except (ValueError, KeyError, TypeError) as error:
            self._refuse(version, f"version {version}: {error}")
            return
        self._beside, self._beside_since_ns = (version, judge), now_ns
        log.info("model in shadow model=%s version=%d", self._model, version)

    def _second(self, version: int) -> DetectorJudge:
        judge = self._build()
        judge.name = f"{self.name}@{version}"  # its metrics are its own
        return judge

    def _loaded(self, version: int) -> Model | None:
        try:
            model = self._store.load(self._model, version)
        except ModelError as error:
            self._refuse(version, str(error))
            return None
        refusal = model.manifest.refusal_for(self._section.method or self.name, self._section.options)
        if refusal:
            self._refuse(version, f"version {version}: {refusal}")
            return None
        return model


def build_modelled(
    stream: str, settings: Settings, as_of: AsOf = nothing_known, siblings: Callable[[], int] = just_one
) -> list[ModelledJudge]:
    """The detectors of a stream, as configured; as_of: what conditions were; siblings: streams that its source has."""

    def builder(name: str) -> Callable[[], DetectorJudge]:
        return lambda: next(judge for judge in build_judges(stream, settings, as_of, siblings)[1] if judge.name == name)

    return [ModelledJudge(stream, builder(judge.name), settings) for judge in build_judges(stream, settings)[1]]
