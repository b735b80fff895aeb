"""`shiftwatch optimizer` without a batch system: simulations of recorded workloads, and what it says when it is off."""

from __future__ import annotations

import getpass
import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from daemon.commands.optimizer import optimizer

HEADER = "; MaxProcs: 4\n"


def line(number: int, submit: int, run: int, processors: int) -> str:
    """A job in the Standard Workload Format that requests what it uses."""
    return f"{number} {submit} -1 {run} {processors} -1 -1 {processors} {run} -1 1 1 1 1 1 1 -1 -1\n"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A job that fills the machine for 100 s, then a wide one of 1000 s and a narrow one of 10 s."""
    path = tmp_path / "small.swf"
    path.write_text(HEADER + line(1, 0, 100, 4) + line(2, 1, 1000, 4) + line(3, 2, 10, 1))
    return path


def run(*arguments: str, exit_code: int = 0) -> str:
    done = CliRunner().invoke(optimizer, list(arguments))
    assert done.exit_code == exit_code, done.output
    return done.output


def test_the_measures_are_those_of_the_schedule(trace: Path) -> None:
    fcfs, sjf = (json.loads(row) for row in run("simulate", str(trace), "--policy", "fcfs", "--policy", "sjf", "--json").splitlines())
    assert fcfs["bounded_slowdown"] == pytest.approx((1 + 1099 / 1000 + 1108 / 10) / 3)
    assert (fcfs["longest_wait_s"], fcfs["jobs"], fcfs["processors"]) == (1098, 3, 4)
    assert sjf["bounded_slowdown"] == pytest.approx((1 + 1109 / 1000 + 108 / 10) / 3)
    assert sjf["longest_wait_s"] == 109


def test_a_table_for_people(trace: Path) -> None:
    shown = run("simulate", str(trace), "--backfill")
    assert shown.startswith("3 jobs on 4 processors, EASY backfilling\n")
    assert [row.split()[0] for row in shown.splitlines()[2:]] == ["fcfs", "sjf", "saf", "f1", "f2", "f3", "f4"]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (line(1, 0, 10, 1), (), "its header does not say how many processors"),
        (HEADER, (), "no job that ran"),
        ("", (), "no job that ran"),
        ("hello\n", (), "small.swf:1: 1 field where"),
        (HEADER + line(1, 0, 10, 8), (), "a job uses 8 processors, the machine has 4"),
        (HEADER + "1 2 3\n", (), "small.swf:2: 3 fields"),
        (HEADER + line(1, 0, 10, 2), ("--processors", "1"), "a job uses 2 processors, the machine has 1"),
    ],
)
def test_what_cannot_be_simulated_is_said(trace: Path, text: str, options: tuple[str, ...], words: str) -> None:
    trace.write_text(text)
    assert words in run("simulate", str(trace), *options, exit_code=1)


def test_a_trace_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "none.swf" in run("simulate", str(tmp_path / "none.swf"), exit_code=1)


@pytest.mark.parametrize(
    "content",
    [b"hello", gzip.compress(b"x" * 5000, mtime=0)[:30], gzip.compress(b"x", mtime=0)[:10] + bytes(range(256))],
    ids=["no gzip", "cut off", "spoilt"],
)
def test_a_trace_that_gzip_cannot_read_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cut.swf.gz"
    path.write_bytes(content)
    assert "cut.swf.gz: not a whole file of gzip" in run("simulate", str(path), exit_code=1)


def test_jobs_that_are_left_out_are_counted(trace: Path) -> None:
    trace.write_text(HEADER + line(1, 0, 100, 4) + line(2, 1, -1, 4))
    assert run("simulate", str(trace)).startswith("1 jobs on 4 processors, no backfilling; 1 that never ran are left out\n")


def test_a_user_without_a_name_can_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a user id of its own."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nobody)
    config = tmp_path / "shiftwatch.toml"
    config.write_text(f'[store]\nurl = "sqlite:///{tmp_path}/site.db"\n')
    assert "Started" in run("start", "-c", str(config))


@pytest.mark.parametrize("command", ["status", "stop"])
def test_without_a_cluster_it_says_that_it_is_off(tmp_path: Path, command: str) -> None:
    config = tmp_path / "shiftwatch.toml"
    config.write_text(f'[store]\nurl = "sqlite:///{tmp_path}/site.db"\n')
    assert "the optimizer is off: set optimizer.cluster" in run(command, "-c", str(config), exit_code=1)
