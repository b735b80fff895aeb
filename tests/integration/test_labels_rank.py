"""From readings to an order by labels, through the real stages: incidents, labels by the feedback topic, the training process, the page."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon import messages
from daemon.clock import SystemClock
from daemon.ranking.standing import Ranking
from daemon.records import Incident, Label, LabelKind
from daemon.store.cases import cases_of, labelled_cases
from daemon.store.store import Store
from daemon.train.stage import TrainStage
from detectors.finding import Certainty, Finding
from tests.daemon.reports import cleared, finding, raised
from tests.integration.embedded import Embedded, S

CONFIG = """
experiment = "LAB"
[store]
url = "sqlite:///{folder}/embedded.db"
[http]
enabled = false
[learning]
retrain = "daily"
[models]
path = "{folder}/models"
[correlation]
max_wait_s = 0
reopen_window_s = 0
join_window_s = 0
"""
PLACES = ("LAB/pump", "LAB/hv")


class Lab(Embedded):
    """Detectors elsewhere send their findings; shifters label what comes of them."""

    agreeing = 1
    """Detectors that find it."""

    def find(self, number: int) -> Incident:
        """Something is found at one of the places and is over after a while; its incident."""
        self.clock.pass_s(10.0)
        place = PLACES[number % 2]
        found = episode(place, number, self.clock.now_ns(), self.agreeing)
        self._publish("findings", raised(found))
        self.clock.pass_s(30.0)
        self._publish("findings", cleared(found, self.clock.now_s))
        self.clock.pass_s(570.0)
        self.rest()
        return self.store.incidents()[-1]

    def say(self, incident: Incident, kind: LabelKind) -> None:
        self.clock.pass_s(10.0)
        self._publish("feedback", Label(f"{incident.id}/{kind}", incident.id, kind, "Ada", self.clock.now_ns()))
        self.rest()

    def shift(self, episodes: int, first: int = 0, *, labelled: bool = True) -> None:
        """A shift with so many episodes: those of the pump are nothing, but for one in ten."""
        for number in range(first, first + episodes):
            incident = self.find(number)
            if labelled:
                is_real = (incident.cause_place == PLACES[1]) != (number % 10 == 3)
                self.say(incident, LabelKind.REAL if is_real else LabelKind.NOT_A_PROBLEM)

    def train(self) -> list[str]:
        """The schedule is due; what came of it."""
        stage = TrainStage(self.settings, SystemClock())
        try:
            stage._due.set()
            assert stage.step(0.0) == 1
            deadline_s = time.monotonic() + 60
            while stage.status()["training"]:
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
            status = stage.status()
        finally:
            stage.close()
        assert status["problem"] == ""
        return list(status["outcomes"])

    def standing(self) -> str:
        """As a page that has just been started sees it."""
        store = Store(self.settings.store.resolve())
        try:
            return Ranking(store).now().why
        finally:
            store.close()

    def _publish(self, topic: str, message: messages.Message) -> None:
        self.bus.publish(topic, "lab", messages.encode(message))
        self.bus.publish("findings", "lab", messages.encode(messages.Progress("lab", self.clock.now_ns())))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(CONFIG, tmp_path)
    yield made
    made.close()


def episode(place: str, number: int, at_ns: int, agreeing: int) -> Finding:
    """Something of a detector that learns; how rare it is says nothing about whether it is real."""
    likely = finding(place, since=at_ns / S, source="lab", name=f"{place} {number}", certainty=Certainty.LIKELY)
    return replace(likely, tail_probability=10.0 ** -(4 + number * 7 % 5), detectors=tuple(f"d{i}" for i in range(agreeing)))


def test_a_shift_labels_and_the_order_learns_from_it(lab: Lab) -> None:
    lab.shift(6)
    assert len(lab.incidents()) == len(labelled_cases(lab.store)) == len(cases_of(lab.store, [i.id for i in lab.incidents()])) == 6
    (outcome,) = lab.train()
    assert outcome == "incidents/ranking: kept_out, not used: 6 labels, 2 of them real, are too few to prove it on"
    assert lab.standing().startswith("not used: 6 labels")
    lab.shift(44, 6)
    (outcome,) = lab.train()
    assert outcome.startswith("incidents/ranking: in_use, used: real ones before others in ")
    assert outcome.endswith(lab.standing()), "it stays after a restart"


def test_after_a_change_it_steps_back_until_there_are_new_labels(lab: Lab) -> None:
    lab.shift(60)
    lab.train()
    assert lab.standing().startswith("used: ")
    lab.agreeing = 6
    lab.shift(60, 60, labelled=False)
    assert lab.standing().startswith("not used now: recent findings differ in detectors from those that were labelled")
    (outcome,) = lab.train()
    assert "kept_out, not used now: " in outcome
    lab.shift(60, 120)
    (outcome,) = lab.train()
    assert "in_use, used: " in outcome
    assert "of 120 labels only the last 60 count, those before are not like recent incidents" in outcome
    assert lab.standing().startswith("used: ")


def test_a_label_of_the_page_is_one_that_is_learned_from(lab: Lab) -> None:
    incident = lab.find(1)
    lab.say(incident, LabelKind.ACKNOWLEDGE)
    assert labelled_cases(lab.store) == []
    lab.say(incident, LabelKind.REAL)
    lab.say(incident, LabelKind.NOT_A_PROBLEM)
    (only,) = labelled_cases(lab.store)
    assert (only.is_real, only.case.place, only.case.duration_s) == (False, PLACES[1], 29.0)


def test_what_watches_and_shows_imports_nothing_that_trains() -> None:
    modules = (
        "daemon.pipeline, daemon.correlate.stage, daemon.detect.stage, daemon.web.stage, daemon.train.stage, daemon.commands.incidents"
    )
    heavy = ("pandas", "sklearn", "detectors.reranker_training")
    code = f"import sys, {modules}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
