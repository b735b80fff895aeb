"""Each receiver is told once of each change that matters: after restarts, repeats and failures of its own or of others."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon import messages
from daemon.notify.post import DETAIL_PAUSE_S, FIRST_PAUSE_S, LONGEST_PAUSE_S
from daemon.notify.receiver import ReceiverError, Silence
from daemon.records import Incident, Label, LabelKind
from daemon.store.store import Fenced
from tests.daemon.notify.office import DETAIL, OPEN, OTHER, OWNED, RESOLVED, WORSE, Curious, Listener, Office, Silencer, revisions
from tests.daemon.reports import S


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
    assert (office.slack.told, office.slack.doubts) == ([(OPEN.id, 5)], [True]), "it may have heard of it before the failure"


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

    def test_what_was_taken_back_meanwhile_is_told_as_it_is_now(self, office: Office) -> None:
        office.say(OPEN)
        office.slack.failure = ReceiverError("down")
        office.say(WORSE, replace(OPEN, revision=4))
        office.slack.failure = None
        office.later(LONGEST_PAUSE_S)
        assert revisions(office.slack) == [1, 4], "whether it heard of the change is in doubt"

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


class TestDetails:
    @pytest.fixture(autouse=True)
    def curious(self, office: Office) -> None:
        office.slack = Curious("slack")
        office.restart()

    def test_who_wants_details_hears_of_them_a_few_at_a_time(self, office: Office) -> None:
        office.say(OPEN, DETAIL)
        assert revisions(office.slack) == [1]
        office.later(DETAIL_PAUSE_S)
        assert (revisions(office.slack), revisions(office.console)) == ([1, 2], [1])

    def test_what_matters_does_not_wait(self, office: Office) -> None:
        office.say(OPEN, DETAIL, WORSE)
        assert revisions(office.slack) == [1, 3]


class TestDoubt:
    def test_one_that_failed_is_in_doubt_when_it_is_told_again(self, office: Office) -> None:
        office.slack.failure = ReceiverError("the answer was lost")
        office.say(OPEN)
        office.slack.failure = None
        office.later(LONGEST_PAUSE_S)
        office.say(WORSE)
        assert office.slack.doubts == [True, False]

    def test_one_that_was_being_told_when_the_process_ended_is_in_doubt(self, office: Office) -> None:
        office.slack.failure = KeyboardInterrupt()  # type: ignore[assignment]  # the end in the middle of telling
        with pytest.raises(KeyboardInterrupt):
            office.say(OPEN)
        office.slack.failure = None
        office.restart(new_bus=True)
        assert (office.slack.told, office.slack.doubts) == ([(OPEN.id, 1)], [True])

    def test_the_pause_is_what_the_other_side_asks_for(self, office: Office) -> None:
        office.slack.failure = ReceiverError("rate limited", retry_after_s=30)
        office.say(OPEN)
        office.slack.failure = None
        office.later(29)
        assert office.slack.told == []
        office.later(1)
        assert revisions(office.slack) == [1]


class TestSilence:
    QUIET = replace(OPEN, silenced_until_ns=1600 * S)

    @pytest.fixture
    def silencer(self, office: Office) -> Silencer:
        office.silencer = Silencer("alertmanager")
        office.restart()  # a thousand seconds later
        return office.silencer

    def test_nobody_hears_of_what_is_silenced_until_its_time_is_over(self, office: Office) -> None:
        office.say(self.QUIET)
        office.later(599)
        assert office.slack.told == office.console.told == []
        office.later(1)
        assert revisions(office.slack) == revisions(office.console) == [1]

    def test_what_ends_meanwhile_is_never_told(self, office: Office) -> None:
        office.say(self.QUIET, replace(RESOLVED, silenced_until_ns=1600 * S))
        office.later(700)
        assert office.slack.told == []

    def test_a_message_that_is_there_is_kept_up_to_date_and_told_of_the_end(self, office: Office) -> None:
        office.slack = Curious("slack")
        office.restart()
        silenced = {"silenced_until_ns": 2600 * S}
        office.say(OPEN, replace(WORSE, **silenced), replace(RESOLVED, **silenced))  # type: ignore[arg-type]  # a field of its own
        assert (revisions(office.slack), revisions(office.console)) == ([1, 3, 5], [1, 5])

    def test_what_is_silenced_elsewhere_is_told_only_there(self, office: Office, silencer: Silencer) -> None:
        silencer.silenced[OPEN.id] = Silence(2600 * S, "Ada", "known")
        office.say(OPEN, OTHER)
        assert [name for name, _ in office.slack.told] == [OTHER.id]
        assert [name for name, _ in silencer.told] == [OPEN.id, OTHER.id]
        (label,) = [messages.decode(r.value) for r in office.feedback()]
        assert isinstance(label, Label)
        assert (label.incident, label.kind, label.who, label.comment, label.until_ns) == (
            *(OPEN.id, LabelKind.SILENCE, "Ada", "known", 2600 * S),
        )

    def test_one_that_is_taken_back_counts_no_more(self, office: Office, silencer: Silencer) -> None:
        silencer.silenced[OPEN.id] = Silence(2600 * S, "Ada", "known")
        office.say(OPEN)
        del silencer.silenced[OPEN.id]
        office.later(60)
        assert revisions(office.slack) == [1]
        assert [m.until_ns for r in office.feedback() if isinstance(m := messages.decode(r.value), Label)] == [2600 * S, 2060 * S]

    def test_silences_that_cannot_be_read_hide_nothing(self, office: Office, silencer: Silencer) -> None:
        silencer.silenced[OPEN.id], silencer.broken = Silence(2600 * S, "Ada", "known"), True
        office.say(OPEN)
        assert revisions(office.slack) == [1]

    def test_one_that_forgets_is_told_over_and_over_of_what_lasts(self, office: Office, silencer: Silencer) -> None:
        office.say(OPEN, OTHER, RESOLVED)
        silencer.alive.clear()
        office.later(60)
        office.later(59)
        office.later(1)
        assert silencer.alive == [[OTHER.id], [OTHER.id]]
        assert silencer.listens == 1


def test_receivers_are_closed_with_the_stage(office: Office) -> None:
    office.stage.close()
    assert office.slack.closed
    assert office.console.closed


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
