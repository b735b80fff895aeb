"""What the tutorial of `shiftwatch evaluate` shows works as it stands there."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from detectors.evaluation import runner, trial
from detectors.evaluation.suite import load_suite
from detectors.finding import Detector
from tests.detectors import evaluation_data as made

TUTORIAL = Path(__file__).resolve().parents[1] / "docs" / "tutorial" / "evaluate.md"


@pytest.fixture
def shown() -> type[Any]:
    code = re.search(r"```python\n(.*?)```", TUTORIAL.read_text(), flags=re.DOTALL)
    assert code is not None
    module = ModuleType("my_package")
    exec(compile(code[1], str(TUTORIAL), "exec", dont_inherit=True), module.__dict__)
    found: type[Any] = module.MedianDistance
    return found


def test_its_detector_is_measured_beside_ours(shown: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(shown("median_distance", shown.options_model()), Detector)
    point = EntryPoint("median_distance", "my_package:MedianDistance", "shiftwatch.detectors")
    monkeypatch.setattr(EntryPoint, "load", lambda self: shown if self.name == "median_distance" else original(self))
    monkeypatch.setattr(trial, "entry_points", lambda group: [*entry_points(group=group), point])
    made.write_npz(tmp_path, "machine-1-1", 1)
    report = runner.evaluate(load_suite("smd"), tmp_path, ("median_distance", "random"), processes=1)
    figures = {name: summary.mean for name, summary in report.summaries.items()}
    assert figures["median_distance"]["vus_pr"] > figures["random"]["vus_pr"]
    assert figures["median_distance"]["top1"] > 0


def test_its_columns_are_those_of_the_table() -> None:
    text = TUTORIAL.read_text()
    for suite in ("smd", "asd", "nab"):
        for metric in load_suite(suite).metrics:
            assert {"vus_pr": "VUS-PR", "auc": "AUC", "hit_rate_100": "HitRate@100%", "nab": "NAB"}.get(metric, metric) in text


original = EntryPoint.load
