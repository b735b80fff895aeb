"""The shipped configuration for learned detectors, over recorded tables in place of its addresses: what conditions explain is no alarm."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from daemon.examples import example_text
from daemon.settings import parse
from daemon.train.outcome import Request
from daemon.training import train_all
from detectors.model_store import ModelName, ModelStore
from tests.daemon.modelling import START_NS, STEP_NS, S

ROWS = 600


def table(path: Path, columns: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]) -> None:
    lines = [",".join(["time", *columns])]
    lines += [
        ",".join([str((START_NS + i * STEP_NS) / S), *(f"{v:.6f}" for v in row)])
        for i, row in enumerate(np.column_stack(list(columns.values())))
    ]
    path.write_text("\n".join(lines) + "\n")


def test_the_shipped_example_trains_and_knows_its_conditions(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    outside = 5 * np.sin(np.arange(ROWS) / 40) + rng.normal(size=ROWS)
    beam = rng.integers(0, 2, ROWS).astype(float)
    table(tmp_path / "environment.csv", {"outside_temperature_celsius": outside, "beam_intensity": beam})
    table(tmp_path / "racks.csv", {f"t{i}": 20 + i + outside * (1 + i) + 5 * beam + rng.normal(size=ROWS) for i in range(4)})
    text = example_text("learned")
    for source in ("environment", "racks"):
        text = re.sub(
            rf"(\[source\.{source}\].*?\n)collector = .*?\nurl = .*?\n",
            rf'\1collector = "table"\nfiles = "{tmp_path}/{source}.csv"\n',
            text,
        )
    text = text.replace('include = ["outside_temperature_celsius", "beam_intensity"]\n', "").replace("sqlite:///", f"sqlite:///{tmp_path}/")
    text = text.replace('path = "history"', f'path = "{tmp_path}/history"').replace('path = "models"', f'path = "{tmp_path}/models"')
    settings = parse(text)
    (outcome,) = train_all(settings, Request("racks", "ensemble"))
    assert outcome.state == "shadow", outcome.why
    assert outcome.weights
    assert sum(outcome.weights.values()) > 0.99
    (driven,) = [line for line in outcome.report if line.startswith("score against outside_temperature_celsius")]
    assert "drives the score" not in driven, "it was taken out"
    assert ModelStore(settings.models.path).ledger(ModelName("racks", "ensemble")).shadow == outcome.version
