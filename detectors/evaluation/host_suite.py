"""A suite of hosts with many metrics each: whole-host scores, alarms within a budget, and the ranked causes of events."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Kind, Layout
from detectors.evaluation.bootstrap import mean_known
from detectors.evaluation.causes import hit_rate, is_top
from detectors.evaluation.events import meet
from detectors.evaluation.host_files import Host, HostFiles, host_files
from detectors.evaluation.suite import Published, Result, Summary, Task
from detectors.evaluation.trial import RANDOM, TOP5, Trial, run
from detectors.evaluation.vus import auc, runs, vus_pr

EPOCH_NS: Final = 1_577_836_800_000_000_000
"""The sets have no times of day: rows count from a midnight (1 January 2020), the history's end is where the rest begins."""
DAY_S: Final = 86_400.0
FIRST_ROWS: Final = 5
"""Rows of an event that a shifter has when the page comes up."""
PROMISES: Final = (1.0, 10.0)
"""False alarms a day whose keeping is measured on normal stretches, besides the budget."""
DETECTORS: Final = (
    RANDOM,
    TOP5,
    "robust_z",
    "isolation_forest",
    "autoencoder",
    "kmeans",
    "vae",
    "windowed_pca",
    "streaming_pca",
    "ensemble",
)


@dataclass(frozen=True)
class HostSuite:
    """See `detectors.evaluation.suite.Suite`; pattern: what names of hosts look like, step_s: time between rows."""

    name: str
    title: str
    citation: str
    pattern: str
    step_s: float
    budget_per_day: float
    published: Sequence[Published] = ()
    default: str = "ensemble"
    baseline: str = TOP5
    detectors: Sequence[str] = DETECTORS
    metrics: Sequence[str] = field(
        default=("vus_pr", "auc", "event_recall", "false_per_day", "median_delay_s", "top1", "hit_rate_100", "top1_first_rows")
    )

    def items(self, folder: Path) -> tuple[str, ...]:
        """Names of the hosts. Raises SuiteError."""
        return tuple(files.name for files in self._files(folder))

    def version(self, folder: Path) -> str:
        """SHA-256 over names and contents of all files, its first 16 digits."""
        digest = hashlib.sha256()
        for files in self._files(folder):
            for path in files.paths:
                digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:16]

    def measure(self, task: Task) -> Result:
        """All metrics of one detector on one host. Raises SuiteError."""
        host = next(files for files in self._files(task.folder) if files.name == task.item).read()
        history, later = self._frames(host)
        trial = run(task.detector, history, later, task.seed)
        metrics = {"vus_pr": vus_pr(host.labels, trial.scores), "auc": auc(host.labels, trial.scores)}
        alarms, promises = self._alarms(trial, host.labels, task.budget)
        causes = _causes(trial, host)
        parts = {**alarms, **causes, "promises": promises}
        return Result(task.item, task.detector, {**metrics, **_of_alarms(parts), **_of_causes(parts)}, parts)

    def summarise(self, results: Sequence[Result]) -> Summary:
        """Means over hosts of what is an area; events, alarms and days of all hosts together."""
        items = {result.item: {name: result.metrics.get(name, float("nan")) for name in self.metrics} for result in results}
        together: dict[str, Any] = {}
        for name in ("found", "delays_s", "first", "hits", "first_early"):
            together[name] = [value for result in results for value in result.parts[name]]
        together["false"] = sum(result.parts["false"] for result in results)
        together["days"] = sum(result.parts["days"] for result in results)
        mean = {name: mean_known([entry[name] for entry in items.values()]) for name in ("vus_pr", "auc")}
        mean |= {**_of_alarms(together), **_of_causes(together)}
        return Summary(items, {name: mean[name] for name in self.metrics}, {"promises": _promises(results)})

    def _files(self, folder: Path) -> tuple[HostFiles, ...]:
        return host_files(folder, self.name, self.pattern)

    def _frames(self, host: Host) -> tuple[Frame, Frame]:
        """The history and what came right after it."""
        layout = Layout(host.name, tuple(Channel(_channel(i), _channel(i), "", Kind.GAUGE, host.name) for i in range(host.test.shape[1])))
        rows = np.arange(len(host.train) + len(host.test), dtype=np.int64)
        time_ns = EPOCH_NS + rows * int(self.step_s * 1e9)
        cut = len(host.train)
        return Frame(layout, time_ns[:cut], host.train), Frame(layout, time_ns[cut:], host.test)

    def _alarms(self, trial: Trial, labels: NDArray[np.bool_], budget: float) -> tuple[dict[str, Any], dict[str, list[float]]]:
        """What the alarms within the budget find, and false alarms beside promises: of each, how many there were and could be."""
        days = len(labels) * self.step_s / DAY_S
        normal_days = float((~labels).sum()) * self.step_s / DAY_S
        found: dict[str, Any] = {}
        promises: dict[str, list[float]] = {}
        for per_day in dict.fromkeys((budget, *PROMISES)):
            met = meet(trial.alarms(per_day), labels)
            promises[f"{per_day:g}"] = [float(met.false_alarms), per_day * normal_days]
            if per_day == budget:
                delays_s = [float(rows) * self.step_s for rows in met.delay_rows if np.isfinite(rows)]
                found = {"found": [bool(f) for f in met.found], "delays_s": delays_s, "false": met.false_alarms, "days": days}
        return found, promises


def _channel(index: int) -> str:
    """Channels count from 1, as in the files of causes."""
    return f"dim {index + 1}"


def _causes(trial: Trial, host: Host) -> dict[str, list[float]]:
    """Of each event with known causes: whether the first of the ranking is one, the hit rate, and the former early on."""
    found: dict[str, list[float]] = {"first": [], "hits": [], "first_early": []}
    for first, last, causes in zip(*runs(host.labels), host.causes, strict=True):
        ranked = trial.ranked(int(first), int(last))
        early = trial.ranked(int(first), min(int(last), int(first) + FIRST_ROWS - 1))
        if not causes or ranked is None or early is None:
            continue
        names = {_channel(cause) for cause in causes}
        found["first"].append(float(is_top(ranked, names)))
        found["hits"].append(hit_rate(ranked, names))
        found["first_early"].append(float(is_top(early, names)))
    return found


def _of_alarms(parts: Mapping[str, Any]) -> dict[str, float]:
    return {
        "event_recall": _mean(parts["found"]),
        "false_per_day": parts["false"] / parts["days"],
        "median_delay_s": float(np.median(parts["delays_s"])) if parts["delays_s"] else float("nan"),
    }


def _of_causes(parts: Mapping[str, Any]) -> dict[str, float]:
    return {"top1": _mean(parts["first"]), "hit_rate_100": _mean(parts["hits"]), "top1_first_rows": _mean(parts["first_early"])}


def _promises(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """By promise: false alarms on normal stretches over those promised, of all hosts together and of the worst one."""
    found = {}
    for per_day in results[0].parts["promises"]:
        counts = np.array([result.parts["promises"][per_day] for result in results])
        found[per_day] = {
            "realised_ratio": float(counts[:, 0].sum() / counts[:, 1].sum()),
            "worst": float((counts[:, 0] / counts[:, 1]).max()),
        }
    return found


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
