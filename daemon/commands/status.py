"""`shiftwatch status`: what a running daemon is doing, on one screen."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import click
import urllib3

from daemon.commands.common import Failure, config_option, json_option, print_json, reported
from daemon.settings import load


@click.command()
@config_option
@click.option("--url", help="Address of the daemon; from the configuration by default.")
@json_option
@reported
def status(config_path: Path, url: str | None, *, as_json: bool) -> None:
    """Show the state of each stage and source of a running daemon.

    Example: shiftwatch status --url http://127.0.0.1:9109
    """
    if url is None:
        http = load(config_path).http
        url = f"http://{http.host}:{http.port}"
    try:
        answer = urllib3.request("GET", f"{url}/status", timeout=5.0, retries=False)
        found = json.loads(answer.data)
    except (urllib3.exceptions.HTTPError, ValueError):
        raise Failure(f"no daemon answers at {url}") from None
    if as_json:
        print_json(found)
        return
    click.echo("\n".join(screen(found)))


def screen(found: dict[str, Any]) -> list[str]:
    """Lines of at most 80 characters."""
    lines = [f"shiftwatch {found['version']}   up {_age(found['uptime_s'])}   budget {found['budget_per_day']:g} a day", ""]
    lines.append(f"{'stage':<12}{'state':<10}{'lag':>8}{'failures':>10}  problem")
    streams: list[dict[str, Any]] = []
    for stage in found["stages"]:
        lines.append(
            f"{stage['stage']:<12}{stage['state']:<10}{stage.get('lag', ''):>8}{stage['failures']:>10}  {stage['error']}"[:80].rstrip()
        )
        streams += stage.get("streams", [])
    lines += ["", f"{'source':<24}{'rows':>9}  {'findings':>8}  state"]
    lines += [
        f"{s['stream'][:23]:<24}{s['rows']:>9}  {s['findings']:>8}  {s['state']}"[:80].rstrip()
        for s in sorted(streams, key=lambda s: s["stream"])
    ]
    return lines + _alarm_lines(streams) + _refused_lines(streams) + _shadow_lines(streams) + _label_lines(found["stages"])


def _alarm_lines(streams: list[dict[str, Any]]) -> list[str]:
    """What each detector promised and did, false alarms and real ones together, and what it asks; nothing before any has learned."""
    lines = []
    for stream in sorted(streams, key=lambda s: str(s["stream"])):
        for alarms in stream.get("alarms", []):
            measured = "not yet"
            if alarms["measured_per_day"] is not None:
                low, high = (f"{alarms[end]:.3g}" for end in ("low", "high"))
                measured = f"{alarms['measured_per_day']:.3g} ({low}–{high}) in {_age(alarms['days'] * 86400)}"
            name = f"{stream['stream']}/{alarms['detector']}"[:31]
            lines.append(f"{name:<32}{alarms['promised_per_day']:>8.3g}  {measured:<29}{alarms['questions']:>9}".rstrip())
    return ["", f"{'alarms a day':<32}{'promised':>8}  {'raised (90 % interval)':<29}questions", *lines] if lines else []


def _refused_lines(streams: list[dict[str, Any]]) -> list[str]:
    """Models that should be in use and cannot be, with the reason; nothing where there are none."""
    lines = [
        line
        for stream in sorted(streams, key=lambda s: str(s["stream"]))
        for model in stream.get("models", [])
        if model.get("refused")
        for line in textwrap.wrap(f"{stream['stream']}/{model['detector']}  {model['refused']}", 80, subsequent_indent="  ")
    ]
    return ["", "models that cannot be used (what judged before goes on)", *lines] if lines else []


def _shadow_lines(streams: list[dict[str, Any]]) -> list[str]:
    """What is in shadow and how much it has found; nothing where nothing is."""
    lines = []
    for stream in sorted(streams, key=lambda s: str(s["stream"])):
        for model in stream.get("models", []):
            if model["silent"] or model["beside"]:
                version = "" if model["silent"] else f" version {model['beside']}"
                lines.append(f"{stream['stream']}/{model['detector']}{version}  {model['found']} silent findings"[:80])
    return ["", "in shadow (shiftwatch models shadow)", *lines] if lines else []


def _label_lines(stages: list[dict[str, Any]]) -> list[str]:
    """Whether labels order the incidents, and why; nothing where nothing was learned from them."""
    said = [str(stage["labels"]) for stage in stages if stage.get("labels")]
    return ["", *textwrap.wrap(f"labels {said[0]}", 80)] if said else []


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
