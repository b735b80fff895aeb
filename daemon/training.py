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
from daemon.train.outcome import NothingToTrain, Outcome, Request
from daemon.training_labels import with_labels
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
UNSEEN_ROWS_LEAST = 500
"""Rows held back that a model to compare with has not learned from; with fewer, all are taken, and that is said."""
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
        raise NothingToTrain(f"nothing to train{f' in {asked}' if asked else ''}: no source is judged by a detector that learns")
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
            yield from (Outcome(source, name, "failed", _no_rows(settings, source)) for name in names)
        for rows in streams:
            for name in names:
                yield _tried(settings, name, rows)


def _tried(settings: Settings, detector: str, rows: Rows) -> Outcome:
    """One that cannot be trained does not keep the others from it."""
    stream = rows.frame.layout.stream
    try:
        return train_one(settings, detector, rows)
    except (ModelError, OSError) as error:
        return Outcome(stream, detector, "failed", " ".join(str(error).split()), rows=int(rows.normal.sum()))
    except Exception as error:
        log.exception("training failed model=%s/%s", stream, detector)
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return Outcome(stream, detector, "failed", why, rows=int(rows.normal.sum()))


def train_one(settings: Settings, detector: str, rows: Rows) -> Outcome:
    """Trains one detector on the rows of one stream, and puts the model into use where it is the better one."""
    stream = rows.frame.layout.stream
    build = _build(settings, detector, rows.conditions.as_of)
    sample = rows.sample
    try:
        trained = train(build(), sample, settings.learning.hold_out_ratio)
    except TrainingError as error:
        return Outcome(stream, detector, "failed", f"{error}{_left_out(rows)}", rows=len(sample))
    state = trained.detector.state()
    labelled = _labelled(rows, int(trained.held_back.time_ns[0]))
    measured = figures(build, state, trained.held_back, labelled)
    store, name = ModelStore(settings.models.path, settings.models.keep), ModelName(stream, detector)
    verdict, before = _compared(store, name, build, settings, rows, trained, measured)
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
    rows: Rows,
    trained: Trained,
    measured: Figures,
) -> tuple[Verdict, Figures | None]:
    """The verdict on a new model, and what the one in use is worth on the same rows.

    Where a version is in shadow, a new one must be better than that, too: else one a day would keep each from ever coming into use.
    Raises ModelError where it cannot be read which version is in use.
    """
    ledger = store.ledger(name)
    section = detector_settings(settings, name.detector)

    def against(version: int) -> tuple[Verdict, Figures | None]:
        try:
            manifest = store.manifest(name, version)
            refusal = manifest.refusal_for(section.method or name.detector, section.options)
            if refusal:
                return Verdict(True, f"version {version} could not be used: {refusal}"), None
            return _on_the_same_rows(build, store.load(name, version), rows, trained, measured)
        except (ModelError, ValueError, KeyError, TypeError) as error:
            return Verdict(True, f"version {version} could not be used: {error}"), None

    first = Verdict(True, "no model was in use" if ledger.log else "the first model")
    verdict, before = against(ledger.current) if ledger.current else (first, None)
    if verdict.wins and ledger.shadow:
        beside, _ = against(ledger.shadow)
        if not beside.wins:
            return Verdict(False, f"version {ledger.shadow}, which is in shadow, is at least as good: {beside.why}"), before
    return verdict, before


def _on_the_same_rows(
    build: Callable[[], Detector], old: Model, rows: Rows, trained: Trained, measured: Figures
) -> tuple[Verdict, Figures | None]:
    """Compares on rows held back that neither has learned from; where there are too few of these, on all, and says so."""
    held = trained.held_back
    learned = (held.time_ns >= old.manifest.trained_from_ns) & (held.time_ns < old.time_ns[0])
    unseen = held.rows(held.time_ns >= old.time_ns[0])
    if learned.any() and len(unseen) >= UNSEEN_ROWS_LEAST:
        held, learned = unseen, learned[:0]
        measured = figures(build, trained.detector.state(), held, _labelled(rows, int(held.time_ns[0])))
    before = figures(build, old.state, held, _labelled(rows, int(held.time_ns[0])))
    verdict = judge(measured, before)
    said = f"; version {old.manifest.version} had learned from {int(learned.sum())} of these rows" if learned.any() else ""
    return Verdict(verdict.wins, verdict.why + said), before


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


def _left_out(rows: Rows) -> str:
    """How many rows were not used and why, in words; empty where all were."""
    muted = int(rows.muted.sum())
    covered = int((~rows.normal & ~rows.muted).sum())
    words = [f"{count} {why}" for count, why in ((covered, "in incidents"), (muted, "muted")) if count]
    return f" (left out: {', '.join(words)})" if words else ""


def _no_rows(settings: Settings, source: str) -> str:
    if plugins.load("collectors", settings.source[source].collector).finite:
        return "no rows in this interval"
    if settings.history.path is None:
        return "no rows: set history.path, or use a recorded source"
    if not settings.history.path.is_dir():
        return f"there is no history in {settings.history.path} yet: a daemon that runs with history.path writes it"
    return f"no rows in the history {settings.history.path} in this interval"


def main() -> None:
    """The process; see the top."""
    asked = json.load(sys.stdin)
    said = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no outcome
    try:
        settings = validate(asked["settings"])
        logs.set_up(settings.log)
        request = Request(**asked["request"])
        for outcome in with_labels(settings, request, train_all(settings, request)):
            said.write(json.dumps(outcome.as_json(), ensure_ascii=False) + "\n")
            said.flush()
    except (ConfigurationError, StoreError, plugins.PluginError, OSError) as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
