"""Silences that come from elsewhere, and what flaps: quiet is kept as long as somebody wants it, and no longer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon import messages
from daemon.notify.receiver import Silence
from daemon.records import Incident, IncidentState, Label
from tests.daemon.notify.office import OPEN, RESOLVED, Curious, Office, Silencer, revisions
from tests.daemon.reports import S

UNTIL_NS = 1600 * S
ADA = Silence(9000 * S, "Ada", "known")


@pytest.fixture
def silencer(office: Office) -> Silencer:
    office.silencer = Silencer("alertmanager")
    office.restart()
    return office.silencer


def passed_on(office: Office) -> list[int | None]:
    """Ends of the silences that were passed on as labels."""
    return [m.until_ns for r in office.feedback() if isinstance(m := messages.decode(r.value), Label)]


def correlate(office: Office, incident: Incident, revision: int) -> Incident:
    """What the correlate stage makes of the labels on the bus."""
    lease = office.store.acquire("correlate", "test")
    for record in office.feedback():
        label = messages.decode(record.value)
        assert isinstance(label, Label)
        with office.store.transaction(lease) as connection:
            office.store.put_label(connection, label)
        assert label.until_ns is not None
        silenced = label.until_ns if label.until_ns > label.time_ns else None
        incident = replace(incident, revision=revision, silenced_until_ns=silenced)
    office.say(incident)
    return incident


def test_one_of_two_places_is_enough(office: Office, silencer: Silencer) -> None:
    other = Silencer("second")
    office.others = [other]
    office.restart()
    silencer.silenced[OPEN.id] = ADA
    office.say(OPEN)
    for _ in range(3):
        office.later(60)
    assert office.slack.told == []
    assert passed_on(office) == [ADA.until_ns]
    other.broken = True
    del silencer.silenced[OPEN.id]
    office.later(60)
    assert passed_on(office) == [ADA.until_ns], "the other one may have it"
    other.broken = False
    office.later(60)
    assert len(passed_on(office)) == 2
    assert revisions(office.slack) == [1]


class TestRestart:
    def test_a_silence_is_passed_on_once(self, office: Office, silencer: Silencer) -> None:
        silencer.silenced[OPEN.id] = ADA
        office.say(OPEN)
        correlate(office, OPEN, 2)
        office.restart()
        office.later(60)
        assert passed_on(office) == [ADA.until_ns]
        assert office.slack.told == []

    def test_one_that_was_taken_back_meanwhile_counts_no_more(self, office: Office, silencer: Silencer) -> None:
        silencer.silenced[OPEN.id] = ADA
        office.say(OPEN)
        silenced = correlate(office, OPEN, 2)
        office.stage.close()
        del silencer.silenced[OPEN.id]
        office.stage = office.new_stage()
        office.work()
        assert len(passed_on(office)) == 2
        correlate(office, silenced, 3)
        assert revisions(office.slack) == [3]

    def test_one_that_a_person_asked_for_here_is_left_alone(self, office: Office, silencer: Silencer) -> None:
        office.say(replace(OPEN, silenced_until_ns=9000 * S))
        office.restart()
        office.later(60)
        assert passed_on(office) == []
        assert (office.slack.told, silencer.silenced) == ([], {})


class TestFlapping:
    @pytest.mark.parametrize("details", [False, True])
    def test_what_comes_back_in_silence_is_not_told_either(self, office: Office, details: bool) -> None:
        if details:
            office.slack = Curious("slack")
        office.restart()
        office.now_s = 0
        first, over = replace(OPEN, silenced_until_ns=UNTIL_NS), replace(RESOLVED, silenced_until_ns=UNTIL_NS)
        again = replace(first, revision=6)
        office.say(first, over, again, replace(over, revision=7), replace(first, revision=8))
        assert office.slack.told == office.console.told == []
        office.later(601)
        assert revisions(office.slack) == revisions(office.console) == [8]
        assert office.slack.references == [""]

    def test_what_was_left_out_is_not_told_later_either(self, office: Office) -> None:
        office.say(replace(OPEN, silenced_until_ns=UNTIL_NS), replace(RESOLVED, silenced_until_ns=UNTIL_NS))
        office.later(700)
        office.say(replace(RESOLVED, revision=6, silenced_until_ns=UNTIL_NS))
        office.restart(new_bus=True)
        assert office.slack.told == []
        office.say(replace(OPEN, revision=7, state=IncidentState.OPEN))
        assert revisions(office.slack) == [7]
