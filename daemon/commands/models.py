"""`shiftwatch models`: which models there are, which are in use, and what those in shadow would have said."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from daemon.commands.common import MISUSED, Failure, config_option, json_option, print_json, reported
from daemon.commands.train import FIGURES
from daemon.ranking.standing import Ranking
from daemon.settings import Settings, detector_settings, load
from daemon.store.rankings import RankingVersion, ranking_versions
from daemon.store.shadow import Silent, beside_what_was_sent
from daemon.store.store import Store
from daemon.train.outcome import RANKING
from detectors.model_store import Ledger, Manifest, ModelError, ModelName, ModelStore

T = TypeVar("T")

SHOWN_FINDINGS = 20


@click.group()
def models() -> None:
    """Show models, put another version into use, and see what detectors and models in shadow would have said."""


@models.command(name="list")
@config_option
@json_option
@reported
def list_models(config_path: Path, *, as_json: bool) -> None:
    """List all versions of all models, and of the order of incidents that is learned from labels.

    Example: shiftwatch models list
    """
    settings = load(config_path)
    store = ModelStore(settings.models.path, settings.models.keep)
    names = store.names()
    for name in names:
        try:
            ledger = store.ledger(name)
        except ModelError as error:  # the others are shown all the same
            print_json({"name": str(name), "error": str(error)}) if as_json else click.echo(f"{error}")
            continue
        for version in store.versions(name):
            try:
                manifest = store.manifest(name, version)
            except ModelError as error:
                print_json({"name": str(name), "version": version, "error": str(error)}) if as_json else click.echo(f"{error}")
                continue
            state = state_of(ledger, version)
            print_json(_short(manifest, state)) if as_json else click.echo(_line(manifest, state, settings.zone))
    learned = _rankings(settings)
    for state, ranking in learned:
        if as_json:
            print_json({"name": "/".join(RANKING), "state": state, **asdict(ranking)})
        else:
            click.echo(_ranking_line(state, ranking, settings.zone))
    if not names and not learned and not as_json:
        click.echo(f"No models in {settings.models.path}. shiftwatch train makes some.")


@models.command()
@click.argument("name")
@config_option
@click.option("--version", type=click.IntRange(1), help="Which one; the one in use by default.")
@json_option
@reported
def show(name: str, config_path: Path, version: int | None, *, as_json: bool) -> None:
    """Show a model: where it comes from, how good it was on rows held back, what it learned, and what became of it.

    NAME is a detector, or SOURCE/DETECTOR where several sources have it.

    Example: shiftwatch models show hv/robust_z
    """
    settings = load(config_path)
    store = ModelStore(settings.models.path, settings.models.keep)
    found = _named(store, name)
    ledger = _asked(lambda: store.ledger(found))
    wanted = version or ledger.current or ledger.shadow or max(store.versions(found))
    manifest = _asked(lambda: store.manifest(found, wanted))
    if as_json:
        print_json({**asdict(manifest), "state": state_of(ledger, wanted), "log": [list(entry) for entry in ledger.log]})
        return
    click.echo("\n".join(_page(manifest, ledger, settings)))


@models.command(name="roll-back")
@click.argument("name")
@config_option
@click.option(
    "--to", "version", type=click.IntRange(0), help="A version; the one in use before by default. 0: what is learned while watching."
)
@json_option
@reported
def roll_back(name: str, config_path: Path, version: int | None, *, as_json: bool) -> None:
    """Put the version into use that was before. A running daemon takes it within seconds.

    NAME is a detector or SOURCE/DETECTOR; where the source has several streams, it is done for each.

    Example: shiftwatch models roll-back hv/robust_z
    """
    settings = load(config_path)
    store = ModelStore(settings.models.path, settings.models.keep)
    for found in _of_one_source(store.names(), name):
        ledger = _asked(partial(store.roll_back, found, time.time_ns(), version))
        print_json({"name": str(found), "current": ledger.current}) if as_json else click.echo(f"{found}: {ledger.log[-1][1]}")


@models.command()
@click.argument("name")
@config_option
@click.option("--version", type=click.IntRange(1), help="A version that is not in shadow.")
@json_option
@reported
def promote(name: str, config_path: Path, version: int | None, *, as_json: bool) -> None:
    """Let what is in shadow judge: a detector with `shadow = true`, a new model, or any version of one.

    NAME is a detector or SOURCE/DETECTOR; where the source has several streams, it is done for each.

    Example: shiftwatch models promote hv/vae
    """
    settings = load(config_path)
    store = ModelStore(settings.models.path, settings.models.keep)
    silent = _silent(settings)
    done = []
    for found in _of_one_source([*silent, *store.names()], name):
        ledger = _asked(partial(store.ledger, found))
        chosen = version if version and store.versions(found) else ledger.shadow
        if chosen:
            done.append((found, _asked(partial(store.use, found, chosen, time.time_ns(), "promoted"))))
        if found in silent and not ledger.promoted:
            done.append((found, _asked(partial(store.change, found, _promoted))))
    if not done:
        raise Failure(f"{name}: nothing of it is in shadow; --version names a version", MISUSED)
    for found, ledger in done:
        if as_json:
            print_json({"name": str(found), "current": ledger.current, "promoted": ledger.promoted})
        else:
            click.echo(f"{found}: {ledger.log[-1][1]}")


@models.command()
@config_option
@click.option("--limit", default=2000, show_default=True, type=click.IntRange(1, 100_000), help="The newest so many findings.")
@json_option
@reported
def shadow(config_path: Path, limit: int, *, as_json: bool) -> None:
    """Show what detectors and models in shadow would have said, beside what was sent.

    Example: shiftwatch models shadow --json
    """
    settings = load(config_path)
    store = Store(settings.store.resolve())
    silent = beside_what_was_sent(store, limit)
    store.close()
    for one in silent:
        print_json(asdict(one)) if as_json else click.echo("\n".join(shadow_lines(one, settings.zone)))
    if not silent and not as_json:
        click.echo("Nothing in shadow has found anything.")


def shadow_lines(silent: Silent, zone: tzinfo) -> list[str]:
    """One detector or model in shadow."""
    version = f" version {silent.version}" if silent.version else ""
    count = len(silent.findings)
    lines = [
        f"{silent.stream}/{silent.detector}{version}: {count} finding{'s' * (count != 1)}, "
        f"{silent.also_sent} of them sent by others too; {silent.sent_only} sent that it did not find"
    ]
    for finding in silent.findings[:SHOWN_FINDINGS]:
        ended = "lasts" if finding.cleared_ns is None else f"for {(finding.cleared_ns - finding.since_ns) / 1e9:.0f} s"
        lines.append(f"  {_when(finding.since_ns, zone)}  {finding.condition:<20} {finding.summary or finding.unit} ({ended})")
    return lines + ([f"  and {count - SHOWN_FINDINGS} more"] if count > SHOWN_FINDINGS else [])


def state_of(ledger: Ledger, version: int) -> str:
    """What a version is used for, in a word or two."""
    if version == ledger.current:
        return "in use"
    if version == ledger.shadow:
        return "shadow"
    return "previous" if version in ledger.previous else "kept out"


def _rankings(settings: Settings) -> list[tuple[str, RankingVersion]]:
    """What was learned from labels, the oldest first; only the newest version can be in use."""
    store = Store(settings.store.resolve())
    try:
        versions = ranking_versions(store)
        standing = Ranking(store).now()
    finally:
        store.close()
    newest = [("in use" if standing.acts else "kept out", replace(one, why=standing.why)) for one in versions[:1]]
    return [*(("previous" if one.used else "kept out", one) for one in versions[:0:-1]), *newest]


def _ranking_line(state: str, ranking: RankingVersion, zone: tzinfo) -> str:
    name, labels = "/".join(RANKING), f"{ranking.labels} label{'s' * (ranking.labels != 1)}"
    return f"{name:<28} {ranking.version:>4}  {state:<9} {_when(ranking.trained_ns, zone)}  {labels}  ({ranking.why})"


def _short(manifest: Manifest, state: str) -> dict[str, Any]:
    names = ("version", "trained_from_ns", "trained_to_ns", "rows", "held_back_rows", "created_ns", "verdict")
    return {"name": str(manifest.name), "state": state, "figures": dict(manifest.figures)} | {n: getattr(manifest, n) for n in names}


def _line(manifest: Manifest, state: str, zone: tzinfo) -> str:
    figures = ", ".join(f"{key} {value:.3g}" for key, value in manifest.figures.items())
    return (
        f"{manifest.name!s:<28} {manifest.version:>4}  {state:<9} {_when(manifest.created_ns, zone)}  {manifest.rows} rows  {figures}"
        f"  ({manifest.verdict})"
    )


def _page(manifest: Manifest, ledger: Ledger, settings: Settings) -> list[str]:
    zone = settings.zone
    section = detector_settings(settings, manifest.detector) if _is_configured(settings, manifest.name) else None
    refusal = "" if section is None else manifest.refusal_for(section.method or manifest.detector, section.options)
    lines = [
        f"{manifest.name} version {manifest.version}: {state_of(ledger, manifest.version)}, {manifest.verdict}",
        *([f"  not usable: {refusal}"] if refusal else []),
        f"  method {manifest.method}, {len(manifest.keys)} columns, made {_when(manifest.created_ns, zone)}",
        f"  learned from {manifest.rows} rows, held back {manifest.held_back_rows}, "
        f"{_when(manifest.trained_from_ns, zone)} to {_when(manifest.trained_to_ns, zone)}, data {manifest.data_digest}",
    ]
    lines += [f"  {words}: {manifest.figures[key]:.3g}" for key, words in FIGURES.items() if key in manifest.figures]
    if manifest.weights:
        lines.append("  members: " + ", ".join(f"{member} {weight:.2f}" for member, weight in manifest.weights.items()))
    lines += [f"  {sentence}" for sentence in manifest.report]
    return lines + [f"  {_when(at_ns, zone)}  {sentence}" for at_ns, sentence in ledger.log]


def _is_configured(settings: Settings, name: ModelName) -> bool:
    source = settings.source.get(name.stream.split("#")[0])
    return source is not None and name.detector in source.detectors


def _named(store: ModelStore, text: str) -> ModelName:
    """The one model that is meant. Raises Failure."""
    found = _meant(store.names(), text)
    if len(found) > 1:
        raise Failure(f"several models {text!r}; there are {', '.join(map(str, found))}", MISUSED)
    return found[0]


def _of_one_source(known: Sequence[ModelName], text: str) -> list[ModelName]:
    """The models that are meant: of all streams of one source. Raises Failure."""
    found = _meant(known, text)
    if len({_source(name) for name in found}) > 1:
        raise Failure(f"several models {text!r}; there are {', '.join(map(str, found))}", MISUSED)
    return found


def _meant(known: Sequence[ModelName], text: str) -> list[ModelName]:
    found = [name for name in known if text in (str(name), name.detector, f"{_source(name)}/{name.detector}")]
    if not found:
        raise Failure(f"no model {text!r}; there are {', '.join(sorted({str(name) for name in known})) or 'none'}", MISUSED)
    return sorted(set(found), key=str)


def _source(name: ModelName) -> str:
    return name.stream.split("#", maxsplit=1)[0]


def _silent(settings: Settings) -> list[ModelName]:
    """Detectors that the configuration has in shadow, by source."""
    return [
        ModelName(source, name)
        for source, section in settings.source.items()
        for name in section.detectors
        if name in settings.detector and settings.detector[name].shadow
    ]


def _promoted(ledger: Ledger) -> Ledger:
    return replace(ledger, promoted=True).noted(time.time_ns(), "detector promoted")


def _asked(ask: Callable[[], T]) -> T:
    """What the store says, its errors as one line."""
    try:
        return ask()
    except ModelError as error:
        raise Failure(str(error)) from None


def _when(at_ns: int, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(at_ns // 1_000_000_000, zone):%Y-%m-%d %H:%M:%S}"
