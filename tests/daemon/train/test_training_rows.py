"""Rows to train from: out of the history, without muted times, with what was rare among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from collectors.frame import Channel, Frame, Kind, Layout
from daemon.bus.memory import MemoryBus
from daemon.settings import Settings, parse
from daemon.train.outcome import Request
from daemon.training import train_all
from daemon.training_rows import TrainingRows
from tests.daemon.historic import START_NS, Producer, S, drain, stage

HV = Layout("hv", tuple(Channel(f"ch{i}", "voltage", "V", place=f"LAB/hv/ch{i}") for i in range(3)))
BEAM = Layout("lhc", (Channel("beam", "beam mode", "", Kind.STATE, "LAB", ("none", "ramp", "stable")),))
ROWS = 1000


def settings(folder: Path) -> Settings:
    return parse(f"""
        [store]
        url = "sqlite:///{folder}/s.db"
        [history]
        path = "{folder}/history"
        [models]
        path = "{folder}/models"
        [source.hv]
        collector = "pushed"
        detectors = ["robust_z", "limits"]
        [[source.hv.mute]]
        condition = "beam"
        values = ["none"]
        [source.lhc]
        collector = "pushed"
        role = "conditions"
    """)


def write_history(folder: Path) -> None:
    """The beam is not there for the first 200 rows, stable for 700 and ramps for 100."""
    bus = MemoryBus()
    history = stage(bus, folder / "history")
    values = 10 + np.random.default_rng(1).normal(size=(ROWS, 3))
    values[:200] += 40.0
    Producer(bus).send(Frame(HV, START_NS + np.arange(ROWS) * 10 * S, values))
    changes = Frame(BEAM, START_NS + np.array([0, 200, 900]) * 10 * S, np.array([[0.0], [2.0], [1.0]]))
    Producer(bus, topic="conditions").send(changes)
    drain(history)
    history.close()


def test_muted_rows_are_left_out(tmp_path: Path) -> None:
    write_history(tmp_path)
    (rows,) = TrainingRows(settings(tmp_path), None, None).of("hv")
    assert np.flatnonzero(rows.muted).tolist() == list(range(200))
    assert len(rows.sample) == 800
    assert rows.sample.values.max() < 20


def test_an_interval(tmp_path: Path) -> None:
    write_history(tmp_path)
    (rows,) = TrainingRows(settings(tmp_path), START_NS + 3000 * S, START_NS + 4000 * S).of("hv")
    assert len(rows.frame) == 100
    assert list(TrainingRows(settings(tmp_path), START_NS + 10**7 * S, None).of("hv")) == []


def test_what_was_rare_is_said_and_rules_are_not_trained(tmp_path: Path) -> None:
    write_history(tmp_path)
    (outcome,) = train_all(settings(tmp_path), Request())
    assert (outcome.stream, outcome.detector, outcome.state) == ("hv", "robust_z", "in_use")
    assert outcome.rows + outcome.held_back_rows == 800
    assert "under-represented beam: none 0% instead of 20%" in outcome.report
    assert "20% of the rows were left out: incidents, muted times" in outcome.report
