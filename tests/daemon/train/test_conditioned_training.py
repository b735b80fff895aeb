"""Models of detectors that take out what conditions account for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from daemon.train.outcome import Request
from daemon.training import train_all
from detectors.conditional import ConditionModel
from detectors.model_store import Model, ModelName, ModelStore
from tests.daemon.modelling import START_NS, STEP_NS, Site, normal

CONDITIONS = """
            [detector.robust_z]
            conditions = ["load"]
            season = true
            [source.farm]
            collector = "table"
            files = "{folder}/load.csv"
            role = "conditions"
            period_s = 2
"""
ROWS = 1_500
S = 1_000_000_000


def trained(site: Site) -> Model:
    """The model that training has put into use."""
    (outcome,) = train_all(site.settings, Request())
    assert outcome.state == "in_use"
    return ModelStore(site.settings.models.path, 3).load(ModelName("table", "robust_z"), 1)


def test_a_model_knows_the_conditions_of_another_source_and_the_hour(tmp_path: Path) -> None:
    site = Site(tmp_path, extra=CONDITIONS.format(folder=tmp_path))
    time_ns = START_NS + np.arange(ROWS) * STEP_NS
    load = np.random.default_rng(1).uniform(0.0, 1.0, ROWS)
    values = normal(ROWS)
    values[:, 0] += 20.0 * load
    values[:, 1] += 10.0 * np.sin(2 * np.pi * time_ns / 86_400e9)
    site.record(values)
    rows = zip(time_ns / S, load, strict=True)
    (tmp_path / "load.csv").write_text("time,load\n" + "".join(f"{at},{value:.6f}\n" for at, value in rows))
    model = ConditionModel(["load"], season=True)
    state = trained(site).state["conditions"]
    model.restore(state)
    assert [model.depends_on(key) for key in state["keys"]] == [("load",), ("time of day",), (), ()]
