"""Runs detectors over all items of a suite, on all cores, with the same result whatever their number."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import product
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import Final

import numpy as np

from detectors.evaluation.bootstrap import interval, mean_known
from detectors.evaluation.suite import Result, Suite, SuiteError, Summary, Task, load_suite
from detectors.evaluation.trial import check_known

ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Each process computes on one core; more threads than cores only hinder each other."""


@dataclass(frozen=True, slots=True)
class Gain:
    """A detector's figure of merit minus the baseline's on the same items: mean, and where it lies with 95 %."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a suite. summaries: by detector, in the order asked for; intervals, gains: of the figure of merit, by detector."""

    suite: Suite
    version: str
    budget_per_day: float
    seed: int
    summaries: dict[str, Summary]
    intervals: dict[str, tuple[float, float]]
    gains: dict[str, Gain]


def evaluate(
    suite: Suite,
    folder: Path,
    detectors: Sequence[str] = (),
    *,
    seed: int = 0,
    budget_per_day: float | None = None,
    processes: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Report:
    """All figures. Raises SuiteError, which names the item and the detector.

    detectors: by default all of the suite; the baseline always runs too. processes: all cores by default.
    """
    check_known(detectors)
    items = suite.items(folder)
    budget = suite.budget_per_day if budget_per_day is None else budget_per_day
    names = list(dict.fromkeys(detectors or suite.detectors))
    running = names if suite.baseline in names else [*names, suite.baseline]
    tasks = [Task(suite.name, folder, item, name, seed, budget) for item, name in product(items, running)]
    found: dict[tuple[str, str], Result] = {}
    for result in _results(tasks, processes or os.cpu_count() or 1):
        found[result.detector, result.item] = result
        progress(len(found), len(tasks))
    by_name = {name: [found[name, item] for item in items] for name in running}
    summaries = {name: suite.summarise(results) for name, results in by_name.items()}
    merit = suite.metrics[0]
    figures = {name: [summary.items[item][merit] for item in items] for name, summary in summaries.items()}
    gains = {name: _gain(figures[name], figures[suite.baseline], seed) for name in names if name != suite.baseline}
    intervals = {name: interval(figures[name], seed) for name in names}
    return Report(suite, suite.version(folder), budget, seed, {name: summaries[name] for name in names}, intervals, gains)


def _gain(values: Sequence[float], baseline: Sequence[float], seed: int) -> Gain:
    """Over the items for which both have a figure."""
    differences = [float(d) for d in np.subtract(values, baseline) if np.isfinite(d)]
    return Gain(mean_known(differences), *interval(differences, seed))


def _results(tasks: Sequence[Task], processes: int) -> Iterator[Result]:
    """As they come. The processes are new ones and not forks: forks of a process with threads may hang."""
    if processes == 1 or len(tasks) == 1:
        yield from map(_measure, tasks)
        return
    before, others = {name: os.environ.get(name) for name in ONE_THREAD}, set(multiprocessing.active_children())
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    pool = ProcessPoolExecutor(min(processes, len(tasks)), multiprocessing.get_context("spawn"), _end_with_parent)
    try:
        for future in as_completed([pool.submit(_measure, task) for task in tasks]):
            yield future.result()
    except BrokenProcessPool:
        raise SuiteError("a process of the evaluation was killed, perhaps for want of memory; fewer --processes need less") from None
    except BaseException:  # interrupted, or one that failed: what the others still compute is of no use
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _end_with_parent() -> None:
    """In each process: Ctrl-C is for the one that started it, and when that is gone, however it ended, this one ends too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait([parent.sentinel])
            os._exit(1)

        Thread(target=watch, daemon=True).start()


def _measure(task: Task) -> Result:
    """Whatever a detector may raise is told in one line with the item and the place in the code: it may be somebody's first one."""
    try:
        return load_suite(task.suite).measure(task)
    except SuiteError as error:
        raise SuiteError(f"{task.item}, {task.detector}: {error}") from None
    except Exception as error:  # noqa: BLE001 - see above
        at = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())
        raise SuiteError(f"{task.item}, {task.detector}: {type(error).__name__}: {said} ({at.filename}, line {at.lineno})") from None
