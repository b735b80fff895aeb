"""Training of models: reads rows, fits, compares with the model in use, and puts the better one into the store.

Run as a process (`python -m daemon.training`), it takes the settings and a request as JSON on its input and says a line for each model.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from collectors.collector import CollectError
from collectors.frame import Kind
from daemon import logs, plugins
from daemon.sections import ConfigurationError, DetectorSettings
from daemon.settings import Settings, detector_settings, validate
from daemon.store.state import StoreError
from daemon.train.outcome import Outcome, Request
from daemon.train.process import NICENESS
from daemon.training_rows import Rows, TrainingRows
from detectors.conditioned import AsOf, conditioned, nothing_known
from detectors.finding import Detector
from detectors.learned_report import predictive_check, sensitivity
from detectors.model_manifest import options_digest
from detectors.model_store import Manifest, Model, ModelError, ModelName, ModelStore
from detectors.representation import representation
from detectors.training import Figures, Labelled, Trained, TrainingError, Verdict, data_digest, figures, judge, train

log = logging.getLogger(__name__)

LABELLED_ROWS_LEAST = 10
HOUR_NS = 3_600_000_000_000


def trainable(settings: Settings, request: Request) -> list[tuple[str, str]]:
    """Sources and detectors of a request, those that learn. Raises ConfigurationError where it names what is not there."""
    named = [(source, name) for source, section in settings.source.items() for name in section.detectors]
    asked_for = [(s, n) for s, n in named if request.source in ("", s) and request.detector in ("", n)]
    found = [(source, name) for source, name in asked_for if isinstance(_build(settings, name)(), Detector)]
    if request.source and request.source not in settings.source:
        raise ConfigurationError(f"no source {request.source!r}; there are {', '.join(settings.source) or 'none'}")
    if not found:
        asked = "/".join(part for part in (request.source, request.detector) if part)
        raise ConfigurationError(f"nothing to train{f' in {asked}' if asked else ''}: no source is judged by a detector that learns")
    return found


def train_all(settings: Settings, request: Request) -> Iterator[Outcome]:
    """Trains what is asked for, one after the other. Raises ConfigurationError, StoreError."""
    wanted = trainable(settings, request)
    reader = TrainingRows(settings, request.from_ns, request.to_ns)
    for source in dict.fromkeys(source for source, _ in wanted):
        names = [name for other, name in wanted if other == source]
        try:
            streams = list(reader.of(source))
        except CollectError as error:
            yield from (Outcome(source, name, "failed", str(error)) for name in names)
            continue
        if not streams:
            yield from (Outcome(source, name, "failed", _no_rows(settings)) for name in names)
        for rows in streams:
            for name in names:
                yield train_one(settings, name, rows)


def train_one(settings: Settings, detector: str, rows: Rows) -> Outcome:
    """Trains one detector on the rows of one stream, and puts the model into use where it is the better one."""
    stream = rows.frame.layout.stream
    build = _build(settings, detector, rows.conditions.as_of)
    sample = rows.sample
    try:
        trained = train(build(), sample, settings.learning.hold_out_ratio)
    except TrainingError as error:
        return Outcome(stream, detector, "failed", str(error), rows=len(sample))
    state = trained.detector.state()
    labelled = _labelled(rows, int(trained.held_back.time_ns[0]))
    measured = figures(build, state, trained.held_back, labelled)
    store, name = ModelStore(settings.models.path, settings.models.keep), ModelName(stream, detector)
    verdict, before = _compared(store, name, build, settings, trained, measured, labelled)
    manifest = _manifest(settings, name, rows, trained, measured, verdict)
    scores, time_ns = trained.kept_scores()
    manifest = store.put(Model(manifest, state, scores, time_ns))
    return Outcome(
        stream,
        detector,
        _decide(settings, store, manifest, verdict),
        verdict.why,
        manifest.version,
        manifest.rows,
        manifest.held_back_rows,
        measured.as_dict(),
        {} if before is None else before.as_dict(),
        trained.weights,
        manifest.report,
    )


def _build(settings: Settings, name: str, as_of: AsOf = nothing_known) -> Callable[[], Detector]:
    section: DetectorSettings = detector_settings(settings, name)
    plugin = plugins.load("detectors", section.method or name)

    def build() -> Detector:
        made = plugin(name, section.options)
        return (
            conditioned(made, section.options, section.conditions, season=section.season, as_of=as_of)
            if isinstance(made, Detector)
            else made
        )

    return build


def _compared(
    store: ModelStore,
    name: ModelName,
    build: Callable[[], Detector],
    settings: Settings,
    trained: Trained,
    measured: Figures,
    labelled: Labelled | None,
) -> tuple[Verdict, Figures | None]:
    """The verdict on a new model, and what the one in use is worth on the same rows."""
    section = detector_settings(settings, name.detector)
    try:
        current = store.ledger(name).current
        if not current:
            return Verdict(True, "the first model"), None
        manifest = store.manifest(name, current)
        refusal = manifest.refusal_for(section.method or name.detector, section.options)
        if refusal:
            return Verdict(True, f"version {current} could not be used: {refusal}"), None
        old = figures(build, store.load(name, current).state, trained.held_back, labelled)
    except (ModelError, ValueError) as error:
        return Verdict(True, f"the model before could not be used: {error}"), None
    return judge(measured, old), old


def _decide(settings: Settings, store: ModelStore, manifest: Manifest, verdict: Verdict) -> str:
    """Puts a version into use, into shadow, or aside; which of these."""
    now_ns = time.time_ns()
    if not verdict.wins:
        store.keep_out(manifest.name, manifest.version, now_ns, verdict.why)
        return "kept_out"
    if settings.learning.shadow_h:
        until_ns = manifest.trained_to_ns + int(settings.learning.shadow_h * HOUR_NS)
        store.shadow(manifest.name, manifest.version, until_ns, now_ns, verdict.why)
        return "shadow"
    store.use(manifest.name, manifest.version, now_ns, verdict.why)
    return "in_use"


def _manifest(settings: Settings, name: ModelName, rows: Rows, trained: Trained, measured: Figures, verdict: Verdict) -> Manifest:
    section = detector_settings(settings, name.detector)
    method = section.method or name.detector
    sample = rows.sample
    state = trained.detector.state()
    version = state.get("version", 0)
    return Manifest(
        stream=name.stream,
        detector=name.detector,
        method=method,
        options_digest=options_digest(method, section.options),
        keys=sample.layout.keys,
        trained_from_ns=int(sample.time_ns[0]),
        trained_to_ns=int(sample.time_ns[-1]),
        rows=trained.fitted_rows,
        held_back_rows=len(trained.held_back),
        data_digest=data_digest(sample),
        created_ns=time.time_ns(),
        figures=measured.as_dict(),
        weights=trained.weights,
        report=(*_report(settings, rows), *_learned(settings, rows, trained)),
        verdict=verdict.why,
        state_version=version if isinstance(version, int) else 0,
    )


def _report(settings: Settings, rows: Rows) -> list[str]:
    """What was over- and under-represented among the rows learned from."""
    sample, known = rows.sample, rows.conditions
    names = [name for name, channel in known.channels.items() if channel.states]

    def words(name: str, frame_times: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[str]:
        states = known.channels[name].states
        values = known.as_of(name, frame_times)
        return [states[int(value)] if np.isfinite(value) and 0 <= value < len(states) else "" for value in values]

    conditions = {name: (words(name, sample.time_ns), words(name, rows.frame.time_ns)) for name in names}
    return representation(sample, rows.frame.time_ns, conditions, settings.zone)


def _learned(settings: Settings, rows: Rows, trained: Trained) -> list[str]:
    """What drives the scores of the rows held back, and whether the model's own data look like the real ones."""
    held, known = trained.held_back, rows.conditions
    numbers = [name for name, channel in known.channels.items() if channel.kind is Kind.GAUGE]
    conditions = {name: known.as_of(name, held.time_ns) for name in numbers}
    return sensitivity(trained.scores, held, conditions, settings.zone) + predictive_check(trained.detector, rows.sample)


def _labelled(rows: Rows, from_ns: int) -> Labelled | None:
    """Rows of the time held back with what people called real among them; None without any."""
    kept = (rows.frame.time_ns >= from_ns) & ~rows.muted & (rows.normal | rows.real)
    real = rows.real[kept]
    return Labelled(rows.frame.rows(kept), real) if real.sum() >= LABELLED_ROWS_LEAST and (~real).sum() >= LABELLED_ROWS_LEAST else None


def _no_rows(settings: Settings) -> str:
    if settings.history.path is None:
        return "no rows: set history.path, or use a recorded source"
    return f"no rows in the history {settings.history.path} in this interval"


def main() -> None:
    """The process; see the top."""
    os.nice(NICENESS)
    asked = json.load(sys.stdin)
    try:
        settings = validate(asked["settings"])
        logs.set_up(settings.log)
        for outcome in train_all(settings, Request(**asked["request"])):
            sys.stdout.write(json.dumps(outcome.as_json(), ensure_ascii=False) + "\n")
            sys.stdout.flush()
    except (ConfigurationError, StoreError, plugins.PluginError, OSError) as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
