"""No receiver has the stage for itself: one that is slow, always refuses or has to be told over and over delays none of the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.notify.post import FIRST_PAUSE_S, LONGEST_PAUSE_S
from daemon.notify.receiver import ReceiverError, Told
from daemon.notify.stage import TURN_S
from daemon.records import Incident, IncidentState
from daemon.runner import STUCK_AFTER_S
from tests.daemon.notify.office import OPEN, OTHER, RESOLVED, Listener, Office, Silencer, revisions

STORM = [replace(OPEN, id=f"a{number:03d}") for number in range(60)]


class Slow(Listener):
    """Takes seconds to be told, as a channel with a rate limit."""

    def __init__(self, name: str, office: Office, seconds: float) -> None:
        super().__init__(name)
        self.office, self.seconds = office, seconds

    def tell(self, incident: Incident, told: Told) -> str:
        self.office.now_s += self.seconds
        return super().tell(incident, told)


@pytest.fixture
def silencer(office: Office) -> Silencer:
    office.silencer = Silencer("alertmanager")
    office.restart()
    return office.silencer


def test_in_a_storm_a_slow_receiver_holds_up_nobody(office: Office, silencer: Silencer) -> None:
    office.slack = Slow("slack", office, 3.0)
    office.restart()
    office.publish(*STORM)
    began_s = office.now_s
    office.stage.step(0.0)
    assert len(office.console.told) == len(silencer.told) == len(STORM)
    assert office.now_s - began_s <= TURN_S + office.slack.seconds < STUCK_AFTER_S
    for _ in STORM:
        office.stage.step(0.0)
    assert sorted(office.slack.told) == [(incident.id, 1) for incident in STORM]
    assert len(silencer.alive) > 2, "what lasts is told in between"


def test_what_a_slow_receiver_was_not_told_yet_is_told_after_a_restart(office: Office) -> None:
    office.slack = Slow("slack", office, 3.0)
    office.restart()
    office.publish(*STORM)
    office.stage.step(0.0)
    assert 0 < len(office.slack.told) < len(STORM)
    office.slack.seconds = 0.0
    office.restart(new_bus=True)
    assert sorted(office.slack.told) == [(incident.id, 1) for incident in STORM]


class TestKeepingAlive:
    def test_an_incident_that_is_always_refused_does_not_let_the_others_expire(self, office: Office, silencer: Silencer) -> None:
        office.say(OTHER)
        silencer.failure, silencer.refuses = ReceiverError("bad label"), OPEN.id
        office.say(OPEN)
        for _ in range(20):
            office.later(LONGEST_PAUSE_S)
        silencer.alive.clear()
        for _ in range(10):
            office.later(LONGEST_PAUSE_S)
        assert silencer.alive == [[OPEN.id, OTHER.id]] * 10

    def test_after_a_failure_it_is_not_put_off_for_the_whole_period(self, office: Office, silencer: Silencer) -> None:
        office.say(OTHER)
        silencer.failure = ReceiverError("restarts")
        office.later(silencer.keep_alive_s)
        silencer.failure = None
        silencer.alive.clear()
        office.later(FIRST_PAUSE_S)
        assert silencer.alive == [[OTHER.id]]

    def test_all_that_lasts_is_kept_alive_however_much_it_is(self, office: Office, silencer: Silencer) -> None:
        many = [replace(OPEN, id=f"{number:04x}") for number in range(1100)]
        with office.store.transaction() as connection:
            for incident in many:
                office.store.put_incident(connection, incident)
        office.later(silencer.keep_alive_s)
        assert len(silencer.alive[-1]) == len(many)


class TestTakingOver:
    def test_what_was_owed_is_told_however_much_has_happened_since(self, office: Office) -> None:
        office.slack.failure = ReceiverError("down")
        office.say(OPEN, RESOLVED)
        later = [replace(RESOLVED, id=f"{number:04x}", opened_ns=OPEN.opened_ns + number) for number in range(1100)]
        with office.store.transaction() as connection:
            for incident in later:
                office.store.put_incident(connection, incident)
        office.slack.failure = None
        office.restart(new_bus=True)
        assert office.slack.told == [(OPEN.id, RESOLVED.revision)]

    def test_a_new_receiver_hears_of_what_has_lasted_for_long(self, office: Office) -> None:
        office.say(OPEN)
        later = [replace(RESOLVED, id=f"{number:04x}", opened_ns=OPEN.opened_ns + number) for number in range(1100)]
        with office.store.transaction() as connection:
            for incident in later:
                office.store.put_incident(connection, incident)
        office.slack = Listener("pager")
        office.restart(new_bus=True)
        assert office.slack.told == [(OPEN.id, OPEN.revision)]


def test_no_text_of_an_incident_can_pass_for_a_reference(office: Office) -> None:
    owned = replace(OPEN, revision=2, state=IncidentState.ACKNOWLEDGED, owner="Ada\nB\x00b", cause_place="DEMO/\n/x")
    office.say(owned)
    office.say(replace(owned, revision=3), replace(owned, revision=4, state=IncidentState.RESOLVED))
    assert revisions(office.slack) == [2, 4], "nothing that matters has changed between"
    assert office.slack.references == ["", "post 3fa4"]
    assert "\x00" not in office.store.delivered(OPEN.id, "slack")[1]


def test_all_receivers_are_closed_whatever_one_of_them_does(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.others = [Listener("pager")]
    office.restart()
    monkeypatch.setattr(office.console, "close", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        office.stage.close()
    assert office.slack.closed
    assert office.others[0].closed
    monkeypatch.undo()
