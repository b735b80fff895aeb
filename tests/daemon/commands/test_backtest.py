"""`shiftwatch backtest`: how many incidents there would have been, what labels say of them, and errors in one line."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from collectors.frame import Frame, Layout
from daemon.backtest.events import Event, EventsError, meet, moment_ns, read_events
from daemon.backtest.recorded import HistorySource
from daemon.bus.memory import MemoryBus, MemoryOptions
from daemon.history.reader import History
from daemon.records import Incident, IncidentState
from daemon.settings import load
from detectors.finding import Certainty, Severity
from tests.daemon import historic
from tests.daemon.modelling import START_NS, STEP_NS, Site, normal
from tests.detectors import sample_frames as sample

S = 1_000_000_000
ROWS, FAULTS = 1500, (900, 1200)
FAULT_ROWS = 12


def site(folder: Path) -> Site:
    """A recorded table of normal rows with two faults in one channel."""
    values = normal(ROWS)
    for first in FAULTS:
        values[first : first + FAULT_ROWS, 1] += 40.0
    made = Site(folder)
    made.record(values)
    return made


def time_of(row: int) -> float:
    return (START_NS + row * STEP_NS) / S


def labels(folder: Path, *intervals: tuple[int, int]) -> Path:
    path = folder / "known.csv"
    path.write_text("start,end,name\n" + "".join(f"{time_of(a)},{time_of(b)},trip\n" for a, b in intervals))
    return path


def said(done: Result) -> list[dict[str, object]]:
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_faults_are_found_at_every_budget_and_labels_say_so(tmp_path: Path) -> None:
    made = site(tmp_path)
    known = labels(tmp_path, *((first, first + FAULT_ROWS) for first in FAULTS))
    found = said(made.run("backtest", "--data", str(tmp_path), "--labels", str(known), "--json"))
    assert [trial["budget_per_day"] for trial in found] == [0.1, 1.0, 10.0]
    for trial in found:
        assert trial["recall"] == 1.0
        assert trial["median_delay_s"] <= 3 * STEP_NS / S  # type: ignore[operator]
    counts = [trial["incidents"] for trial in found]
    assert counts[0] >= len(FAULTS)  # type: ignore[operator]
    assert counts == sorted(counts), "a larger budget never has fewer incidents here"  # type: ignore[type-var]


def test_the_table_says_from_when_on_it_counts(tmp_path: Path) -> None:
    made = site(tmp_path)
    done = made.run("backtest", "--data", str(tmp_path), "--budget", "1")
    assert done.exit_code == 0, done.output
    head, row, watched = done.stdout.splitlines()
    assert head.split() == ["budget", "a", "day", "incidents", "a", "day"]
    assert row.split()[0] == "1"
    assert "Before that the detectors were learning" in watched


def test_nothing_of_the_live_daemon_is_touched_and_its_database_is_not_made(tmp_path: Path) -> None:
    made = site(tmp_path)
    made.run("backtest", "--data", str(tmp_path), "--budget", "1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shiftwatch.toml", "table.csv"]


def test_only_rows_between_the_times_are_taken(tmp_path: Path) -> None:
    made = site(tmp_path)
    until = str(time_of(FAULTS[1] - 50))
    (trial,) = said(made.run("backtest", "--data", str(tmp_path), "--to", until, "--budget", ".1", "--json"))
    assert trial["rows"] == FAULTS[1] - 50
    (late,) = said(made.run("backtest", "--data", str(tmp_path), "--from", until, "--budget", ".1", "--json"))
    assert late["rows"] == ROWS - (FAULTS[1] - 50)


def test_a_plot_is_a_picture(tmp_path: Path) -> None:
    made = site(tmp_path)
    known = labels(tmp_path, (FAULTS[0], FAULTS[0] + FAULT_ROWS))
    picture = tmp_path / "budget.png"
    done = made.run("backtest", "--data", str(tmp_path), "--labels", str(known), "--plot", str(picture), "--budget", "1")
    assert done.exit_code == 0, done.output
    with Image.open(picture) as image:
        assert image.width > 1000


def test_the_history_of_a_daemon_is_tried_too(tmp_path: Path) -> None:
    made = site(tmp_path)
    settings = load(made.config)
    rows = normal(800)
    rows[600:612, 0] -= 30.0
    layout = Layout("table", tuple(sample.gauge(f"ch{i}", place="LAB/hv") for i in range(rows.shape[1])))
    bus = MemoryBus(MemoryOptions())
    stage = historic.stage(bus, settings.history.path)  # type: ignore[arg-type]  # it is set
    producer = historic.Producer(bus)
    for first in range(0, len(rows), 100):
        time_ns = START_NS + STEP_NS * np.arange(first, first + 100, dtype=np.int64)
        producer.send(Frame(layout, time_ns, rows[first : first + 100]))
    historic.drain(stage)
    stage.close()
    (tmp_path / "table.csv").unlink()
    (trial,) = said(made.run("backtest", "--data", str(settings.history.path), "--budget", "1", "--json"))
    assert trial["rows"] == len(rows)
    assert any(abs(_opened_row(incident) - 600) <= 2 for incident in trial["list"])  # type: ignore[attr-defined]
    (tmp_path / "empty").mkdir()
    nothing = made.run("backtest", "--data", str(tmp_path / "empty"), "--budget", "1")
    assert nothing.exit_code == 1, "the history of the configuration is not what was asked for"
    assert "watched" not in nothing.output.lower()


def test_a_year_without_rows_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row with a clock at zero, say; each day of the history is asked for by itself."""
    layout = Layout("table", (sample.gauge("ch0", place="LAB/hv"),))
    bus = MemoryBus(MemoryOptions())
    stage = historic.stage(bus, tmp_path)
    producer = historic.Producer(bus)
    for time_ns in (0, START_NS):
        producer.send(Frame(layout, time_ns + STEP_NS * np.arange(5, dtype=np.int64), np.ones((5, 1))))
        historic.drain(stage)
        stage._close_files()
    stage.close()
    asked, read = [], History.read

    def counted(self: History, *arguments: object) -> tuple[Frame, ...]:
        asked.append(arguments)
        return read(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(History, "read", counted)
    source = HistorySource("table", History(tmp_path), ["table"], None, None)
    assert sum(len(frame) for frame in source.frames()) == 10
    assert len(asked) == 2


def _opened_row(incident: dict[str, str]) -> float:
    at_ns = np.datetime64(incident["opened"].removesuffix("Z"), "ns").astype(np.int64)
    return float(at_ns - START_NS) / STEP_NS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("begin,end\n1,2\n", "no column 'start'"),
        ("start,end\n1,2\n5,4\n", "known.csv:3: it ends before it starts"),
        ("start,end\nnoon,4\n", "known.csv:2: 'noon': a time is written like"),
    ],
)
def test_labels_that_cannot_be_read_are_named_by_line(tmp_path: Path, text: str, words: str) -> None:
    made = site(tmp_path)
    (tmp_path / "known.csv").write_text(text)
    done = made.run("backtest", "--data", str(tmp_path), "--labels", str(tmp_path / "known.csv"))
    assert done.exit_code == 2
    assert words in done.output
    with pytest.raises(EventsError):
        read_events(tmp_path / "known.csv", load(made.config).zone)


def test_too_few_rows_to_learn_from_are_no_days_without_incidents(tmp_path: Path) -> None:
    made = Site(tmp_path)
    made.record(normal(50))
    done = made.run("backtest", "--data", str(tmp_path), "--budget", "1")
    assert done.exit_code == 0, done.output
    assert "Nothing was watched" in done.stdout
    assert done.stdout.splitlines()[1].split() == ["1", "0", "-"]


def incident(opened_ns: int, resolved_ns: int | None) -> Incident:
    return Incident(
        f"i{opened_ns}", 1, IncidentState.OPEN, Severity.WARNING, Certainty.LIKELY, "outlier", "LAB", "", "", "", "", "",
        (), (), (), (), opened_ns, opened_ns, opened_ns, resolved_ns,
    )  # fmt: skip


def test_an_incident_finds_only_what_it_opened_in() -> None:
    events = [Event(100, 200), Event(300, 400), Event(500, 600)]
    met = meet([incident(10, None), incident(150, 160), incident(290, 310)], events, early_ns=20)
    assert met.found == (True, True, False), "one that is open all the time finds nothing; a little early is in time"
    assert met.delay_s == (50 / 1e9, 0.0, None)
    assert met.false_ids == {"i10"}


@pytest.mark.parametrize("text", ["2026-11-30", "20261130", "2026-11-30T00:00+00:00", "1795996800", "1795996800.0"])
def test_ways_to_write_a_time(text: str) -> None:
    assert moment_ns(text, UTC) == 1_795_996_800 * 1_000_000_000
