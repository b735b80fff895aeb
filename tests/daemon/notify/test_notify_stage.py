"""Each receiver is told once of each change that matters: after restarts, repeats and failures of its own or of others."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon import messages
from daemon.bus.memory import MemoryBus
from daemon.notify.stage import FIRST_PAUSE_S, LONGEST_PAUSE_S, NotifyStage, ReceiverError
from daemon.records import Incident, IncidentState
from daemon.store.store import Fenced, Store
from detectors.finding import Certainty, Severity
from tests.daemon.reports import S

OPEN = Incident(
    id="3fa4",
    revision=1,
    state=IncidentState.OPEN,
    severity=Severity.WARNING,
    certainty=Certainty.SURE,
    condition="hv_trip",
    cause_place="DEMO/HV/ch03",
    cause_channel="ch03",
    sentence="ch03 has tripped",
    why="Sure.",
    decision="Call HV.",
    runbook="hv-trip",
    places=("DEMO/HV/ch03",),
    victims=(),
    detectors=("limits",),
    findings=("a",),
    started_ns=1000 * S,
    opened_ns=1010 * S,
    updated_ns=1010 * S,
)
DETAIL = replace(OPEN, revision=2, findings=("a", "b"))
WORSE = replace(OPEN, revision=3, severity=Severity.CRITICAL)
OWNED = replace(WORSE, revision=4, state=IncidentState.ACKNOWLEDGED, owner="Ada")
RESOLVED = replace(OWNED, revision=5, state=IncidentState.RESOLVED, resolved_ns=1100 * S)
OTHER = replace(OPEN, id="77b0", cause_place="DEMO/DAQ")


class Listener:
    """A receiver that remembers what it was told, and fails when it is made to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.told: list[tuple[str, int]] = []
        self.references: list[str] = []
        self.failure: Exception | None = None
        self.refuses = ""
        self.attempts = 0

    def tell(self, incident: Incident, reference: str) -> str:
        self.attempts += 1
        if self.failure is not None and self.refuses in ("", incident.id):
            raise self.failure
        self.told.append((incident.id, incident.revision))
        self.references.append(reference)
        return f"post {incident.id}"


class Office:
    """The notify stage with two receivers, and a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(f"sqlite:///{folder}/told.db")
        self.bus = MemoryBus()
        self.slack, self.console = Listener("slack"), Listener("console")
        self.now_s = 0.0
        self.stage = self.new_stage()
        self.work()

    def new_stage(self) -> NotifyStage:
        return NotifyStage(self.bus, self.store, [self.slack, self.console], now_s=lambda: self.now_s)

    def publish(self, *incidents: Incident) -> None:
        """As the correlate stage does: the database first."""
        lease = self.store.acquire("correlate", "test")
        for incident in incidents:
            with self.store.transaction(lease) as connection:
                self.store.put_incident(connection, incident)
            self.bus.publish("incidents", incident.id, messages.encode(incident))

    def say(self, *incidents: Incident) -> None:
        for incident in incidents:
            self.publish(incident)
            self.work()

    def work(self) -> None:
        while self.stage.step(0.0):
            pass

    def later(self, seconds: float) -> None:
        self.now_s += seconds
        self.work()

    def restart(self, *, new_bus: bool = False) -> None:
        """A new stage; with a new bus nothing is left of what was on it, as after the end of the process."""
        self.stage.close()
        if new_bus:
            self.bus.close()
            self.bus = MemoryBus()
        self.now_s += 1000
        self.stage = self.new_stage()
        self.work()

    def close(self) -> None:
        self.stage.close()
        self.bus.close()
        self.store.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


def revisions(listener: Listener) -> list[int]:
    return [revision for _, revision in listener.told]


def test_each_change_that_matters_is_told_once(office: Office) -> None:
    office.say(OPEN, DETAIL, WORSE, OWNED, RESOLVED)
    assert revisions(office.slack) == revisions(office.console) == [1, 3, 4, 5]
    assert office.slack.references == ["", "post 3fa4", "post 3fa4", "post 3fa4"]


@pytest.mark.parametrize("new_bus", [False, True])
def test_nothing_is_told_again_after_a_restart_or_a_repeat(office: Office, new_bus: bool) -> None:
    office.say(OPEN)
    office.restart(new_bus=new_bus)
    office.say(OPEN, WORSE)
    office.say(OPEN, WORSE)
    office.restart(new_bus=new_bus)
    assert revisions(office.slack) == [1, 3]
    assert office.slack.references == ["", "post 3fa4"]


def test_what_became_part_of_another_incident_is_told_where_it_was_told_before(office: Office) -> None:
    merged = replace(RESOLVED, merged_into="77b0")
    office.slack.failure = ReceiverError("down")
    office.say(OPEN, merged)
    assert revisions(office.console) == [1, 5]
    office.slack.failure = None
    office.later(LONGEST_PAUSE_S)
    assert office.slack.told == []


class TestFailures:
    @pytest.mark.parametrize("failure", [ReceiverError("down"), OSError(111, "refused"), RuntimeError("bug")])
    def test_one_that_fails_is_told_later_and_stops_no_other(self, office: Office, failure: Exception) -> None:
        office.slack.failure = failure
        office.say(OPEN, OTHER)
        assert [name for name, _ in office.console.told] == ["3fa4", "77b0"]
        office.slack.failure = None
        office.later(LONGEST_PAUSE_S)
        assert sorted(office.slack.told) == [("3fa4", 1), ("77b0", 1)]
        office.later(LONGEST_PAUSE_S)
        assert len(office.slack.told) == 2

    def test_it_is_left_alone_for_longer_and_longer(self, office: Office) -> None:
        office.slack.failure = ReceiverError("down")
        office.say(OPEN, OTHER)
        office.later(0.9 * FIRST_PAUSE_S)
        assert office.slack.attempts == 1
        office.later(0.1 * FIRST_PAUSE_S)
        assert office.slack.attempts == 2
        office.later(1.9 * FIRST_PAUSE_S)
        assert office.slack.attempts == 2
        for _ in range(20):
            office.later(LONGEST_PAUSE_S)
        assert office.slack.attempts == 22

    def test_what_it_was_before_is_forgotten_once_it_works(self, office: Office) -> None:
        office.slack.failure = ReceiverError("down")
        office.say(OPEN)
        for _ in range(5):
            office.later(LONGEST_PAUSE_S)
        office.slack.failure = None
        office.later(LONGEST_PAUSE_S)
        office.slack.failure = ReceiverError("down again")
        office.say(WORSE)
        office.slack.failure = None
        office.later(FIRST_PAUSE_S)
        assert revisions(office.slack) == [1, 3]

    def test_of_several_changes_meanwhile_it_is_told_the_last(self, office: Office) -> None:
        office.slack.failure = ReceiverError("down")
        office.say(OPEN, WORSE, OWNED)
        office.slack.failure = None
        office.later(LONGEST_PAUSE_S)
        assert revisions(office.slack) == [4]

    def test_what_was_taken_back_meanwhile_is_not_told(self, office: Office) -> None:
        office.say(OPEN)
        office.slack.failure = ReceiverError("down")
        office.say(WORSE, replace(OPEN, revision=4))
        office.slack.failure = None
        office.later(LONGEST_PAUSE_S)
        assert revisions(office.slack) == [1]

    def test_an_incident_that_it_always_refuses_holds_up_none_of_the_others(self, office: Office) -> None:
        office.slack.failure, office.slack.refuses = ReceiverError("too long"), OPEN.id
        office.say(OPEN, OTHER)
        for _ in range(3):
            office.later(LONGEST_PAUSE_S)
        assert office.slack.told == [("77b0", 1)]
        assert office.stage.status()["owed"] == {"slack": 1, "console": 0}

    @pytest.mark.parametrize("new_bus", [False, True])
    @pytest.mark.parametrize("last", [OPEN, RESOLVED], ids=["lasts", "over"])
    def test_it_is_told_after_a_restart_too(self, office: Office, new_bus: bool, last: Incident) -> None:
        office.slack.failure = ReceiverError("down")
        office.say(*{OPEN.revision: OPEN, last.revision: last}.values())
        office.slack.failure = None
        office.restart(new_bus=new_bus)
        assert office.slack.told == [(OPEN.id, last.revision)]
        office.restart(new_bus=new_bus)
        assert len(office.slack.told) == 1

    def test_the_log_has_no_words_of_a_foreign_error(self, office: Office, caplog: pytest.LogCaptureFixture) -> None:
        office.slack.failure = OSError("POST https://hooks.example/T0/secret-token failed")
        with caplog.at_level(logging.DEBUG):
            office.say(OPEN)
        assert "OSError" in caplog.text
        assert "secret-token" not in caplog.text


class TestStart:
    def test_what_nobody_was_told_before_the_process_ended_is_told(self, office: Office) -> None:
        office.publish(OPEN)
        office.restart(new_bus=True)
        assert office.slack.told == office.console.told == [("3fa4", 1)]

    def test_a_new_receiver_hears_of_what_lasts_and_not_of_what_is_over(self, office: Office) -> None:
        office.say(RESOLVED, OTHER)
        office.slack = Listener("pager")
        office.restart(new_bus=True)
        assert office.slack.told == [("77b0", 1)]

    def test_one_is_active_and_the_other_takes_over(self, office: Office) -> None:
        standby = office.new_stage()
        standby.step(0.0)
        office.say(OPEN)
        assert standby.status()["active"] is False
        office.stage.close()
        office.stage = standby
        office.say(WORSE)
        assert revisions(office.slack) == [1, 3]

    def test_one_that_was_replaced_does_not_write(self, office: Office) -> None:
        office.store.acquire("notify", "somebody else")
        with pytest.raises(Fenced):
            office.say(OPEN)
        assert office.store.delivered(OPEN.id, "slack")[0] == 0

    def test_what_is_no_incident_is_passed_over(self, office: Office) -> None:
        office.bus.publish("incidents", "x", b"{}")
        office.bus.publish("incidents", "x", None)
        office.say(OPEN)
        assert revisions(office.slack) == [1]


STEPS = st.lists(st.sampled_from(["next", "down", "up", "restart", "new process", "later"]), max_size=25)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_whatever_happens_everybody_hears_how_it_ended_and_nothing_twice(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    office = Office(tmp_path_factory.mktemp("office"))
    changes = iter((OPEN, DETAIL, WORSE, OWNED, RESOLVED))
    for step in steps:
        if step == "next":
            office.say(*(change for change in (next(changes, None),) if change))
        elif step in ("down", "up"):
            office.slack.failure = ReceiverError("down") if step == "down" else None
        elif step == "later":
            office.later(10)
        else:
            office.restart(new_bus=step == "new process")
    office.slack.failure = None
    office.say(*changes)
    office.later(LONGEST_PAUSE_S)
    for listener in (office.slack, office.console):
        assert revisions(listener) == sorted(set(revisions(listener)))
        assert revisions(listener)[-1] == RESOLVED.revision
    office.close()
