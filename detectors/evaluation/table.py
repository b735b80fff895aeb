"""The report of an evaluation, as JSON and as a table."""

from __future__ import annotations

import math
from typing import Any

from detectors.evaluation.runner import Report
from detectors.evaluation.suite import Summary

RANK_FIRST = {"nab": "NAB", "nab_fixed": "NAB fixed", "vus_pr": "VUS-PR", "auc": "AUC", "hit_rate_100": "HitRate@100%"}
"""Heads of columns that are not the metric's name."""


def as_json(report: Report) -> dict[str, Any]:
    """Plain values; figures that make no sense are None."""
    detectors = {name: {"items": _plain(summary.items), "mean": _plain(summary.mean)} for name, summary in report.summaries.items()}
    return {
        "suite": report.suite.name,
        "detectors": detectors,
        "default": report.suite.default,
        "version": report.version,
        "seed": report.seed,
        "budget_per_day": report.budget_per_day,
        "intervals": {name: {report.suite.metrics[0]: _plain(list(bounds))} for name, bounds in report.intervals.items()},
        "gains": {name: _plain({"mean": g.mean, "low": g.low, "high": g.high}) for name, g in report.gains.items()},
        "baseline": report.suite.baseline,
        "extra": {name: _plain(summary.extra) for name, summary in report.summaries.items()},
        "published": [{"detector": p.detector, "metric": p.metric, "value": p.value, "source": p.source} for p in report.suite.published],
    }


def lines(report: Report) -> list[str]:
    """The report for a terminal."""
    suite = report.suite
    merit = suite.metrics[0]
    first = next(iter(report.summaries.values()))
    head = ["detector", RANK_FIRST.get(merit, merit), "95 %", *(RANK_FIRST.get(name, name) for name in suite.metrics[1:])]
    order = sorted(report.summaries, key=lambda name: -_rank(report.summaries[name].mean[merit]))
    rows = [_row(name, report, suite.metrics) for name in order]
    found = [
        f"{suite.title}: {len(first.items)} items, data version {report.version}, false alarms promised {report.budget_per_day:g} a day",
        "",
    ]
    found += _aligned([head, *rows])
    found += ["", *_gains(report), *_promises(report), *_published(report), f"Cite: {suite.citation}"]
    return found


def _row(name: str, report: Report, metrics: Any) -> list[str]:  # noqa: ANN401 - a sequence of names
    mean = report.summaries[name].mean
    low, high = report.intervals[name]
    marked = f"{name} *" if name == report.suite.default else name
    between = f"{_figure(low)}-{_figure(high)}" if math.isfinite(low) else "-"
    return [marked, _figure(mean[metrics[0]]), between, *(_figure(mean[metric]) for metric in metrics[1:])]


def _gains(report: Report) -> list[str]:
    """Of each detector, best first; a single item has no interval, and then there is none."""
    found = sorted(((name, gain) for name, gain in report.gains.items() if math.isfinite(gain.low)), key=lambda pair: -pair[1].mean)
    merit = RANK_FIRST.get(report.suite.metrics[0], report.suite.metrics[0])
    said = [f"{name} {gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})" for name, gain in found]
    head = f"Gain in {merit} over the baseline {report.suite.baseline} on the same items, with 95 %:"
    default = [f"* the default for such data: {report.suite.default}"] if report.suite.default in report.summaries else []
    return [*default, *([f"{head} {'; '.join(said)}"] if said else [])]


def _promises(report: Report) -> list[str]:
    summary: Summary | None = report.summaries.get(report.suite.default)
    if summary is None or "promises" not in summary.extra:
        return []
    said = [
        f"{per_day} a day: {found['realised_ratio']:.2f}, worst item {found['worst']:.2f}"
        for per_day, found in summary.extra["promises"].items()
    ]
    return [f"False alarms on normal stretches over those promised ({report.suite.default}): {'; '.join(said)}."]


def _published(report: Report) -> list[str]:
    return [f"Published: {p.detector} {p.metric} {p.value:g} ({p.source})" for p in report.suite.published]


def _figure(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def _rank(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]


def _plain(value: Any) -> Any:  # noqa: ANN401 - any plain value
    """NaN and infinities as None."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
