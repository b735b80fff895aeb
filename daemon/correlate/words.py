"""The words of an incident: what, where, how bad, since when; why; what to do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from detectors.finding import Certainty, Contribution, Finding
from detectors.wording import amount

MAX_NAMED = 4


def sentence(cause: Finding) -> str:
    """One line that a tired person reads: the cause's own summary, marked where it is not sure."""
    unsure = ", unsure" if cause.certainty is Certainty.UNSURE else ""
    return f"{cause.evidence.summary.rstrip('.')}{unsure}"


def why(ordered: Sequence[Finding], victims: Sequence[str]) -> str:
    """What speaks for it, and what only suffers from it."""
    cause, *others = ordered
    parts = []
    named = [_reading(c) for c in cause.evidence.ranked if c.text or c.observed != c.expected][:MAX_NAMED]
    if named:
        parts.append("; ".join(named) + ".")
    if others:
        parts.append(f"With it: {_listed([f.evidence.summary for f in others])}.")
    if victims:
        parts.append(
            f"{len(victims)} {'place only suffers' if len(victims) == 1 else 'places only suffer'} from it: {_by_branch(victims)}."
        )
    detectors = sorted({name for finding in ordered for name in finding.detectors})
    parts.append(f"{certainty(cause)} ({', '.join(detectors)}).")
    return " ".join(parts)


def reading(finding: Finding) -> str:
    """What a finding showed, with its unit: its first contribution; "" where it names none."""
    return _reading(finding.evidence.ranked[0]) if finding.evidence.ranked else ""


def _reading(contribution: Contribution) -> str:
    if contribution.text:
        return f"{contribution.name} {contribution.text}"
    if math.isnan(contribution.expected):
        return f"{contribution.name} {amount(contribution.observed, contribution.unit)}"
    return f"{contribution.name} {contribution.observed:.4g} instead of {amount(contribution.expected, contribution.unit)}"


def _by_branch(places: Sequence[str]) -> str:
    """Few places by name, many by how many there are in each branch of the tree."""
    if len(places) <= MAX_NAMED:
        return _listed(places)
    branches = Counter("/".join(place.split("/")[:2]) for place in places)
    return _listed([f"{branch} ({count})" for branch, count in branches.most_common()])


def certainty(finding: Finding) -> str:
    """Sure, Likely, or Unsure with its reason."""
    if finding.certainty is Certainty.UNSURE:
        return f"Unsure because {finding.reason}" if finding.reason else "Unsure"
    return finding.certainty.capitalize()


def _listed(names: Sequence[str]) -> str:
    shown = "; ".join(name.rstrip(".") for name in names[:MAX_NAMED])
    return shown if len(names) <= MAX_NAMED else f"{shown}; and {len(names) - MAX_NAMED} more"


DECISIONS: dict[str, tuple[str, str]] = {
    "source_silent": ("Check that the source and the way to it are alive; until then nothing about it is known.", "source-silent"),
    "clock_off": ("Check the time synchronisation of the source's host.", "clock-off"),
    "channel_vanished": ("Check whether it was taken out on purpose; if not, call the expert of its place.", "channel-vanished"),
    "outlier": ("Compare it with its neighbours and with what changed at that time; if nothing explains it, call its on-call.", "outlier"),
    "drift": ("Look at its trend and at what it depends on; plan an intervention before it reaches its limit.", "drift"),
    "group_outlier": ("Look which of the channels named moved first; if nothing explains it, call the on-call of its place.", "outlier"),
    "silent": ("Check the channel's read-out and its connection.", "channel-silent"),
    "stuck": ("Read the value by hand; if it does not move, restart its read-out.", "channel-stuck"),
    "dead_region": ("Check voltage and readout of the region; recycle its front end between two runs.", "dead-region"),
    "hot_channel": ("Check whether it feeds the trigger; mask it if it does, and tell the on-call of its place.", "hot-channel"),
    "shape": ("Compare it with the reference; check calibration, gain and what was changed since the last good run.", "histogram-shape"),
}
"""What to do about the conditions of the framework and of the detectors that need no expert: sentence and runbook."""


def decision(cause: Finding, configured: Mapping[str, str], suggested: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    """What to do, and the runbook: as configured, as the detectors suggest, or to look at the evidence."""
    condition = cause.unit.condition
    sentence_, runbook = suggested.get(condition, ("", condition.replace("_", "-")))
    if condition in configured:
        return configured[condition], runbook
    return (sentence_ or f"Look at the evidence and tell the on-call of {cause.unit.place} if it lasts."), runbook
