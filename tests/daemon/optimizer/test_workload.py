from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.optimizer.workload import parse_swf, read_swf

HEADER = "; Computer: Test bed\n; MaxNodes: 64\n; MaxProcs: 256\n; Note: uses EASY\n; Note: twice\n;\n"


def line(number: int = 1, submit_s: float = 0, run_s: float = 60, allocated: int = 4, requested: int = -1, requested_s: float = -1) -> str:
    return f"{number} {submit_s} -1 {run_s} {allocated} -1 -1 {requested} {requested_s} -1 1 -1 -1 -1 0 -1 -1 -1\n"


def test_a_trace_has_its_machine_and_its_jobs(tmp_path: Path) -> None:
    path = tmp_path / "log.swf"
    path.write_text(HEADER + line(1, 10, 60, 4, 8, 600) + "\n" + line(2, 20.5, 30, 2))
    trace = read_swf(path)
    assert trace.processors == 256
    assert trace.header["Computer"] == "Test bed"
    assert trace.header["Note"] == "uses EASY"
    assert trace.jobs.submit_s.tolist() == [10.0, 20.5]
    assert trace.jobs.processors.tolist() == [8, 2]  # requested; else allocated
    assert trace.jobs.requested_s.tolist() == [600.0, 30.0]  # else the run time
    assert trace.unusable == 0


def test_a_compressed_trace_is_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "log.swf.gz"
    path.write_bytes(gzip.compress((HEADER + line(7)).encode()))
    assert read_swf(path).jobs.id.tolist() == [7]


def test_jobs_that_never_ran_are_left_out_and_counted() -> None:
    trace = parse_swf([line(1), line(2, run_s=-1), line(3, allocated=-1), line(4)], "log")
    assert trace.jobs.id.tolist() == [1, 4]
    assert trace.unusable == 2


def test_jobs_are_sorted_by_submission() -> None:
    trace = parse_swf([line(1, 50), line(2, 10), line(3, 50)], "log")
    assert trace.jobs.id.tolist() == [2, 1, 3]


def test_an_empty_trace_has_no_jobs_and_no_machine() -> None:
    trace = parse_swf([], "log")
    assert len(trace.jobs) == 0
    assert trace.processors is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (HEADER + "1 2 3\n", r"a\.swf:7: 3 fields where .* has 18"),
        (line(1) + line(2).replace("60", "soon"), r"a\.swf:2: could not convert .*soon"),
        (line(1, run_s=float("nan")), r"a\.swf:1: field 4 is nan"),
        (line(1).replace("0 -1 60", "1e300 -1 60"), r"a\.swf:1: field 2 is 1e300"),
        ("; MaxProcs: many\n" + line(), r"a\.swf: header MaxProcs is 'many'"),
    ],
)
def test_an_error_names_file_and_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "a.swf"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        read_swf(path)


@given(st.lists(st.text(max_size=80) | st.lists(st.floats(-2, 1e6), min_size=18, max_size=18).map(lambda row: " ".join(map(str, row)))))
def test_any_text_is_a_trace_or_a_named_error(lines: list[str]) -> None:
    complaint = "log:"
    try:
        jobs = parse_swf(lines, "log").jobs
    except ValueError as error:
        complaint, jobs = str(error), parse_swf([], "log").jobs
    assert complaint.startswith("log:")
    assert (np.diff(jobs.submit_s) >= 0).all()
    assert (jobs.processors >= 1).all()
    assert (jobs.run_s >= 0).all()
    assert (jobs.requested_s >= 0).all()
