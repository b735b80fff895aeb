"""A reading that stays at another level: one alarm, then a question, and what "Not a problem" makes of it, through all stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.frame import Channel, Frame, Layout
from daemon import messages
from daemon.bus.memory import MemoryBus
from daemon.collect.publisher import Publisher
from daemon.correlate.stage import CorrelateStage
from daemon.detect import judges
from daemon.detect.stage import DetectStage
from daemon.pipeline import knowledge_of
from daemon.records import Incident, IncidentState, Label, LabelKind
from daemon.settings import parse
from daemon.store.store import Store
from detectors.finding import Certainty
from detectors.robust_z import RobustZDetector

S = 1_000_000_000
STEP_NS = 600 * S
START_NS = 1_700_000_000 * S // STEP_NS * STEP_NS
DAY_ROWS = 144

CONFIG = """
experiment = "LAB"
false_alarms_per_day = 0.1
[source.hv]
collector = "pushed"
place = "LAB/TPC"
period_s = 600
stale_after_s = 1e6
longest_gap_s = 1e6
detectors = ["robust_z"]
[learning]
rows = 432
[detector.robust_z]
raise_rows = 2
clear_rows = 3
[correlation]
reopen_window_s = 600
"""


class Lab:
    """Detect and correlate on a bus; currents of three modules, one row every ten minutes, that stay where they are put."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = parse(CONFIG)
        self.rng = np.random.default_rng(3)
        self.bus = MemoryBus(self.settings.bus.memory)
        self.publisher = Publisher(self.bus, "hv", "frames", START_NS, lambda: self.now_ns)
        columns = tuple(Channel(f"IMon {name}", "current", "A", place=f"LAB/TPC/{name}") for name in ("A", "B", "C"))
        self.layout = Layout("hv", columns)
        self.now_ns = START_NS
        self.offset = np.zeros(3)
        self.start()

    def start(self) -> None:
        self.store = Store(f"sqlite:///{self.folder}/lab.db")
        self.detect = DetectStage(self.settings, self.bus, self.store)
        self.correlate = CorrelateStage(self.settings, self.bus, self.store, knowledge_of(self.settings))
        self.rest()

    def stop(self, *, crash: bool = False) -> None:
        for stage in (self.detect, self.correlate):
            stage.abandon() if crash else stage.close()
        self.store.close()

    def restart(self, *, crash: bool) -> None:
        self.stop(crash=crash)
        self.start()

    def rest(self) -> None:
        while self.detect.step(0.0) + self.correlate.step(0.0):
            pass

    def days(self, days: float, **offsets: float) -> None:
        """So long the currents are `offsets` (in units of their spread) above what they were at first."""
        self.offset = np.array([offsets.get(name, 0.0) for name in ("A", "B", "C")])
        for _ in range(round(days * DAY_ROWS / 24)):  # blocks of 24 rows
            time_ns = self.now_ns + STEP_NS * np.arange(1, 25, dtype=np.int64)
            self.now_ns = int(time_ns[-1])
            self.publisher.frame(Frame(self.layout, time_ns, 5 + self.offset + self.rng.normal(size=(24, 3))))
            self.publisher.heartbeat(self.now_ns)
            self.rest()

    def say(self, incident: Incident, kind: LabelKind) -> None:
        label = Label(f"{incident.id}/{kind}", incident.id, kind, "jane", self.now_ns)
        self.bus.publish("feedback", incident.id, messages.encode(label))
        self.rest()

    def about(self, place: str) -> list[Incident]:
        return [i for i in self.store.incidents() if i.cause_place == place and not i.merged_into]

    def questions(self) -> int:
        return sum(alarms["questions"] for stream in self.detect.status()["streams"] for alarms in stream["alarms"])


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    made.days(10)
    yield made
    made.store.close()


def test_it_is_one_incident_that_asks_and_ends_with_the_answer(lab: Lab) -> None:
    lab.days(2, A=20)
    (incident,) = lab.about("LAB/TPC/A")
    assert (incident.state, incident.certainty) == (IncidentState.OPEN, Certainty.UNSURE)
    assert "at this new level for 24" in incident.reason
    assert "is it the new normal? 'Not a problem' says yes" in incident.reason
    lab.say(incident, LabelKind.NOT_A_PROBLEM)
    assert not lab.questions()
    lab.days(3, A=20)
    (after,) = lab.about("LAB/TPC/A")
    assert (after.id, after.state) == (incident.id, IncidentState.RESOLVED)


def test_after_the_answer_what_is_unusual_at_the_new_level_is_found(lab: Lab) -> None:
    lab.days(2, A=20)
    lab.say(lab.about("LAB/TPC/A")[0], LabelKind.NOT_A_PROBLEM)
    lab.days(1, A=20)
    lab.days(0.5, A=60)
    assert [i.state for i in lab.about("LAB/TPC/A")].count(IncidentState.OPEN) == 1


def test_who_says_that_it_is_real_is_not_taken_for_a_yes(lab: Lab) -> None:
    lab.days(2, A=20)
    asked = lab.questions()
    lab.say(lab.about("LAB/TPC/A")[0], LabelKind.REAL)
    assert lab.questions() == asked > 0
    assert lab.about("LAB/TPC/A")[0].state is IncidentState.OPEN


def test_readings_that_return_answer_it_themselves(lab: Lab) -> None:
    lab.days(2, A=20)
    assert lab.questions()
    lab.days(3)
    assert not lab.questions()
    assert [i.state for i in lab.about("LAB/TPC/A")] == [IncidentState.RESOLVED]


def test_an_alarm_that_was_called_no_problem_does_not_ask_a_day_later(lab: Lab) -> None:
    lab.days(0.5, A=20)
    (incident,) = lab.about("LAB/TPC/A")
    assert incident.reason == ""
    lab.say(incident, LabelKind.NOT_A_PROBLEM)
    lab.days(3, A=20)
    assert not lab.questions()
    assert [i.state for i in lab.about("LAB/TPC/A")] == [IncidentState.RESOLVED]


@pytest.mark.parametrize("crash", [True, False])
def test_the_answer_outlasts_a_restart(lab: Lab, crash: bool) -> None:
    lab.days(2, A=20)
    lab.restart(crash=crash)
    assert lab.questions()
    lab.say(lab.about("LAB/TPC/A")[0], LabelKind.NOT_A_PROBLEM)
    lab.restart(crash=crash)
    lab.days(2, A=20)
    assert not lab.questions()
    assert [i.state for i in lab.about("LAB/TPC/A")] == [IncidentState.RESOLVED]


def test_an_answer_that_was_given_while_nobody_detected_is_heard_afterwards(lab: Lab) -> None:
    lab.days(2, A=20)
    lab.detect.close()
    incident = lab.about("LAB/TPC/A")[0]
    label = Label("said", incident.id, LabelKind.NOT_A_PROBLEM, "jane", lab.now_ns)
    lab.bus.publish("feedback", incident.id, messages.encode(label))
    while lab.correlate.step(0.0):
        pass
    lab.detect = DetectStage(lab.settings, lab.bus, lab.store)
    lab.days(1, A=20)
    assert not lab.questions()


def test_a_state_that_cannot_be_read_is_set_aside_and_what_it_had_found_ends(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab.days(0.5, A=20)
    assert [i.state for i in lab.about("LAB/TPC/A")] == [IncidentState.OPEN]
    lab.stop()
    monkeypatch.setattr(judges, "STATE_VERSION", 99)
    lab.start()
    assert "state set aside, learning anew source=hv detector=robust_z" in caplog.text
    lab.days(1)
    assert [i.state for i in lab.about("LAB/TPC/A")] == [IncidentState.RESOLVED]
    assert "learning" in lab.detect.status()["streams"][0]["state"]


def test_a_model_of_another_version_is_set_aside(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_detector: RobustZDetector, _state: Mapping[str, Any]) -> None:
        raise ValueError("model of version 1, this is version 99")

    monkeypatch.setattr(RobustZDetector, "restore", refuse)
    lab.restart(crash=False)
    lab.days(1)
    assert "learning" in lab.detect.status()["streams"][0]["state"]
