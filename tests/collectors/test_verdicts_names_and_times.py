"""Verdicts whose names, times and numbers are odd: one wrong check or document costs nothing but itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from collectors.collector import Origin, Rejected
from collectors.frame import Channel, Frame, Kind
from collectors.verdicts import VerdictsCollector, VerdictsOptions

S = 1_000_000_000
NOW_NS = 1_700_000_000 * S
YEAR_S = 31_536_000


class Clock:
    now_ns = NOW_NS

    def __call__(self) -> int:
        return self.now_ns


def read(collector: VerdictsCollector) -> tuple[list[Frame], list[str]]:
    items = list(collector.collect())
    return [i for i in items if isinstance(i, Frame)], [f"{i.subject}: {i.reason}" for i in items if isinstance(i, Rejected)]


def build(folder: Path, clock: Clock, **options: Any) -> VerdictsCollector:
    made = VerdictsOptions.model_validate({"files": f"{folder}/*.json", "verdict": "verdict", **options})
    return VerdictsCollector(Origin("qc", "LAB", clock), made)


def write(path: Path, document: object, at_ns: int = NOW_NS) -> None:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    os.utime(path, ns=(at_ns, at_ns))


def value(frame: Frame, name: str) -> float:
    return float(frame.values[-1, frame.layout.position(name)])


def test_a_number_that_no_float_holds_costs_its_check_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.json", f'[{{"name": "huge", "verdict": 1{"0" * 400}}}, {{"name": "other", "verdict": "bad"}}]')
    (frame,), rejected = read(build(tmp_path, Clock()))
    assert value(frame, "other") == 3
    assert np.isnan(value(frame, "huge"))
    assert len(rejected) == 1
    assert "is no verdict that is known" in rejected[0]


def test_a_path_that_cannot_be_worked_out_costs_its_check_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.json", '[{"name": "a", "verdict": "good", "x": 1e999}, {"name": "b", "verdict": "bad", "x": 1.5}]')
    (frame,), _ = read(build(tmp_path, Clock(), score="ceil(x)"))
    assert (value(frame, "a"), value(frame, "b"), value(frame, "b/score")) == (1, 3, 2)


def test_a_check_that_is_called_as_the_score_of_another_keeps_its_verdict(tmp_path: Path) -> None:
    for order in (("a", "a/score"), ("a/score", "a")):
        write(tmp_path / "a.json", [{"name": name, "verdict": "bad", "x": 7} for name in order])
        (frame,), rejected = read(build(tmp_path, Clock(), score="x"))
        channels = {column.name: column for column in frame.layout.columns}
        assert set(channels) == {"a", "a/score", "a/score/score"}
        column = channels["a/score"]
        assert isinstance(column, Channel)
        assert (column.kind, value(frame, "a/score"), value(frame, "a/score/score")) == (Kind.STATE, 3, 7)
        assert rejected == [f"{tmp_path}/a.json: a/score is a check, and would be the score of a"]


def test_a_document_from_the_future_does_not_hide_what_comes_after_it(tmp_path: Path) -> None:
    clock = Clock()
    collector = build(tmp_path, clock, rows="checks", document_time="time")
    write(tmp_path / "a.json", {"time": NOW_NS // S + YEAR_S, "checks": [{"name": "a", "verdict": "good"}]})
    (ahead,), _ = read(collector)
    assert ahead.time_ns.tolist() == [NOW_NS + YEAR_S * S], "the framework says that the clock is wrong"
    clock.now_ns += 60 * S
    write(tmp_path / "a.json", {"time": clock.now_ns // S, "checks": [{"name": "a", "verdict": "bad"}]}, clock.now_ns)
    (frame,), rejected = read(collector)
    assert rejected == []
    assert (frame.time_ns.tolist(), value(frame, "a")) == ([clock.now_ns], 3)


def test_messages_of_checks_that_are_gone_are_not_kept(tmp_path: Path) -> None:
    collector = build(tmp_path, Clock(), message="said")
    for run in range(50):
        write(tmp_path / "a.json", [{"name": f"run{run}", "verdict": "bad", "said": "too high"}], NOW_NS + run * S)
        read(collector)
    assert list(collector._messages) == ["run49"]
