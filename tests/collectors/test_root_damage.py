"""Damaged ROOT files, and what cannot be true in whole ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.collector import CollectError, Rejected
from collectors.dqm.root_files import RootFile
from collectors.frame import Frame, Quality
from collectors.root import RootOptions
from tests.collectors.root_writing import collector, frames, histogram, rejections, write


def test_truncated_file_is_rejected_and_the_others_go_on(tmp_path: Path) -> None:
    write(tmp_path / "DQM_V0001_Hcal_R000000001.root", h=histogram([0.0, 1, 0]))
    path = Path(write(tmp_path / "DQM_V0001_Ecal_R000000001.root", e=histogram([0.0, 1, 0])))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    source = collector(str(tmp_path / "*.root"))
    collected = list(source.collect())
    assert [r.subject for r in rejections(iter(collected))] == [str(path)]
    assert "truncated" in rejections(iter(collected))[0].reason
    assert [f.layout.histograms[0].path for f in frames(iter(collected))] == ["h"]
    assert not list(source.collect())
    path.write_bytes(whole)
    assert [f.layout.histograms[0].path for f in frames(source.collect())] == ["e"]


def test_damaged_object_is_rejected_and_its_columns_stay(tmp_path: Path) -> None:
    file = tmp_path / "a.root"
    source = collector(write(file, good=histogram([0.0, 1, 0]), odd=histogram(np.arange(300.0))))
    (before,) = frames(source.collect())
    with RootFile(str(file)) as opened:
        key = dict(opened.objects())["odd"]
    data = bytearray(file.read_bytes())
    at = key.seek + key.header_bytes
    data[at + 20 : at + 40] = bytes(20)
    file.write_bytes(data)
    after = list(source.collect())
    assert [r.subject for r in rejections(iter(after))] == [f"{file}:odd"]
    (frame,) = frames(iter(after))
    assert frame.layout is before.layout
    assert frame.layout.view(frame, "good").tolist() == [[1]]
    assert np.isnan(frame.layout.view(frame, "odd")).all()
    assert frame.quality is not None
    assert set(frame.quality[0, frame.layout.position("odd") :]) == {Quality.INVALID}


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_cannot_be_true_are_rejected(tmp_path: Path, number: float) -> None:
    path = write(
        tmp_path / "a.root", a=histogram([0.0, 1, 0]), b=histogram([0.0, number, 0], entries=1), c=histogram([0.0, 1, 0], entries=-1)
    )
    collected = list(collector(path).collect())
    assert [r.subject for r in rejections(iter(collected))] == [f"{path}:b", f"{path}:c"]
    (frame,) = frames(iter(collected))
    assert frame.layout.view(frame, "a").tolist() == [[1]]
    assert np.isnan(frame.layout.view(frame, "b")).all()
    assert np.isnan(frame.layout.entries(frame, "c")).all()


def test_no_file_is_an_error_that_names_the_pattern(tmp_path: Path) -> None:
    with pytest.raises(CollectError, match=r"no file matches .*nothing_\*\.root"):
        list(collector(str(tmp_path / "nothing_*.root")).collect())


@pytest.mark.parametrize("options", [{"run_pattern": "R(\\d+)"}, {"rename": {"(": ""}}, {"places": {"a*": "{2}"}}, {"fils": "x"}])
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"run_pattern|rename|places|fils"):
        RootOptions.model_validate({"files": "x", **options})


@settings(max_examples=60, deadline=None)
@given(damage=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6), cut=st.floats(0.1, 1))
def test_no_damage_stops_the_collector(tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[float, bytes]], cut: float) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.root"
    write(path, None, h=histogram([0.0, 1, 0], labels=("x",)), d__w=histogram([0.0, 1.5, 0], sum_w2=[0, 2, 0]))
    data = bytearray(path.read_bytes())
    for where, what in damage:
        at = int(where * (len(data) - len(what)))
        data[at : at + len(what)] = what
    path.write_bytes(data[: int(cut * len(data))])
    for item in collector(str(path)).collect():
        assert isinstance(item, Frame | Rejected)
