"""Files of records that are not what the options say: nothing of their content is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.collector import Collected, CollectError, Origin
from collectors.frame import Frame
from collectors.records import RecordsCollector
from collectors.tabular.records_options import RecordsOptions

NOW_NS = 1_800_000_000_000_000_000


def collected(options: dict[str, object]) -> list[Collected]:
    return list(RecordsCollector(Origin("transfers", "GRID", lambda: NOW_NS), RecordsOptions.model_validate(options)).collect())


def test_file_without_a_header_is_refused_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("2023-11-14T23:00:10,alice.smith,4000\n2023-11-14T23:00:20,bob,4000\n")
    with pytest.raises(CollectError) as raised:
        collected({"files": str(path), "time": "start", "size": "size"})
    assert "alice" not in str(raised.value)
    assert "start, size; give `names`" in str(raised.value)


def test_lists_group_like_any_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"t": "2023-11-14T23:00:10", "to": ["A", "B"]}\n{"t": "2023-11-14T23:00:11", "to": ["A", "B"]}\n')
    (frame,) = collected({"files": str(path), "time": "t", "group_by": ["to"]})
    assert isinstance(frame, Frame)
    assert frame.values[0, frame.layout.position('["A", "B"]/records')] == 2
