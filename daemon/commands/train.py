"""`shiftwatch train`: models from the history or from recorded sources."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from pathlib import Path

import click

from daemon.commands.common import FAILED, MISUSED, Failure, config_option, json_option, print_json, reported
from daemon.settings import load
from daemon.train.outcome import RANKING, Outcome, Request
from daemon.train.process import TrainingFailed, TrainingProcess

STATE_WORDS = {"in_use": "in use", "shadow": "in shadow", "kept_out": "kept out", "failed": "not trained"}


@click.command()
@config_option
@click.argument("source", default="")
@click.argument("detector", default="")
@click.option("--from", "from_text", default="", help="Rows from this time on (ISO 8601; the experiment's time zone unless it says one).")
@click.option("--to", "to_text", default="", help="Rows before this time.")
@click.option("--labels", is_flag=True, help="Only the order of incidents, from what people called real or not a problem.")
@json_option
@reported
def train(config_path: Path, source: str, detector: str, from_text: str, to_text: str, *, labels: bool, as_json: bool) -> None:
    """Train models from the history (or from recorded sources), all of them or those of a SOURCE and DETECTOR.

    A new model comes into use where it is better than the one before, on rows that both have not seen. Runs in a process of
    its own with low priority. Where people have called incidents real or not a problem, the order of incidents by attention is
    learned, too; it is used only where it puts later ones into a better order than their tail probabilities.

    Example: shiftwatch train hv --from 2026-11-01
    """
    settings = load(config_path)
    if labels and (source or detector or from_text or to_text):
        raise Failure("--labels takes all labels: leave out SOURCE, DETECTOR, --from and --to", MISUSED)
    from_ns, to_ns = _time_ns(from_text, "--from", settings.zone), _time_ns(to_text, "--to", settings.zone)
    request = Request(source, detector, from_ns, to_ns, labels)
    process = TrainingProcess(settings, request)
    failed = 0
    try:
        for outcome in process.outcomes():
            failed += outcome.state == "failed"
            print_json(outcome.as_json()) if as_json else click.echo("\n".join(lines(outcome)))
    except TrainingFailed as error:
        raise Failure(str(error), FAILED) from None
    finally:
        process.end()
    if failed:
        raise Failure(f"{failed} {'model was' if failed == 1 else 'models were'} not trained")


def lines(outcome: Outcome) -> list[str]:
    """What a person reads of it."""
    name = f"{outcome.stream}/{outcome.detector}"
    if outcome.state == "failed":
        return [f"{name}: not trained: {outcome.why}"]
    if (outcome.stream, outcome.detector) == RANKING:
        return [f"{name} version {outcome.version}: {outcome.why}" if outcome.version else f"{name}: {outcome.why}"]
    said = [
        f"{name} version {outcome.version}: {STATE_WORDS[outcome.state]}, {outcome.why}",
        f"  learned from {outcome.rows} rows, held back {outcome.held_back_rows}",
    ]
    said += [f"  {FIGURES[key]}: {_figure(value)}{_before(outcome, key)}" for key, value in outcome.figures.items() if key in FIGURES]
    if outcome.weights:
        said.append(
            "  members: " + ", ".join(f"{member} {weight:.2f}" for member, weight in sorted(outcome.weights.items(), key=_heaviest))
        )
    return said + [f"  {sentence}" for sentence in outcome.report]


FIGURES = {
    "realised": "false alarms, realised/promised",
    "separation": "faults put in, told apart (area under the ROC curve)",
    "judged": "units judged in a row",
    "labelled": "rows that people called real (area under the ROC curve)",
}


def _heaviest(entry: tuple[str, float]) -> tuple[float, str]:
    return -entry[1], entry[0]


def _figure(value: float) -> str:
    return f"{value:.3g}"


def _before(outcome: Outcome, key: str) -> str:
    return f", before {_figure(outcome.before[key])}" if key in outcome.before else ""


def _time_ns(text: str, option: str, zone: tzinfo) -> int | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        return int(moment.astimezone(UTC).timestamp() * 1_000_000) * 1_000
    except (ValueError, OverflowError):
        raise Failure(f"{option} {text!r}: a time is written like 2026-11-30 or 2026-11-30T12:00", MISUSED) from None
