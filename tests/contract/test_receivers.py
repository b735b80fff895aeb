"""What every receiver promises, whatever its protocol."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from daemon import plugins
from daemon.notify.receiver import Receiver, ReceiverError, Told
from daemon.records import Incident, IncidentState, TimelineEntry
from daemon.secret_files import SecretError
from detectors.finding import Certainty, Severity
from tests.faulty_network import Fault
from tests.receiver_cases import CASES, Case, example, surroundings

NOW_NS = time.time_ns()
S = 1_000_000_000
OPEN = Incident(
    id="3fa4c0de",
    revision=1,
    state=IncidentState.OPEN,
    severity=Severity.WARNING,
    certainty=Certainty.SURE,
    condition="fed_stuck",
    cause_place="CMS/Tracker/FED101",
    cause_channel="FED101",
    sentence="No triggers: FED 101 is stuck in WARNING",
    why="It went to warning 4 s before the rate fell.",
    decision="Stop and start the run.",
    runbook="fed-stuck",
    places=("CMS/Tracker/FED101",),
    victims=(),
    detectors=("daq",),
    findings=("a",),
    started_ns=NOW_NS - 600 * S,
    opened_ns=NOW_NS - 590 * S,
    updated_ns=NOW_NS - 590 * S,
)
WORSE = replace(OPEN, revision=2, severity=Severity.CRITICAL, cause_place="CMS/Tracker/FED102", sentence="FED 102 is the cause")
OWNED = replace(WORSE, revision=3, state=IncidentState.ACKNOWLEDGED, owner="Ada", timeline=(TimelineEntry(NOW_NS, "Ada", "acknowledge"),))
RESOLVED = replace(OWNED, revision=4, state=IncidentState.RESOLVED, resolved_ns=NOW_NS - 120 * S)
OTHER = replace(OPEN, id="77b0c0de")
HOSTILE = replace(
    OPEN,
    id="bad0c0de",
    sentence="<script>alert(1)</script> spark\n⚡ | \0 \x1b[31m [x](y) ' \" &#60; \ud800",
    why="x" * 100_000,
    cause_place='A|B/"C"\n<b>',
    owner="Ada\nsaid: <i>",
    decision="$(reboot) \0 `ls` " + "y" * 5000,
)


@pytest.fixture(params=CASES, ids=lambda case: case.__name__)
def case(request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Case]:
    built: Case = request.param(tmp_path)
    with caplog.at_level(logging.DEBUG):
        yield built
    built.close()
    assert not [secret for secret in built.secrets if secret in caplog.text]


@pytest.fixture
def receiver(case: Case) -> Iterator[Receiver]:
    built = case.build()
    yield built
    built.close()


FIRST = Told()


def refused(case: Case, receiver: Receiver, incident: Incident, told: Told = FIRST) -> ReceiverError:
    with pytest.raises(ReceiverError) as caught:
        receiver.tell(incident, told)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert len(message) < 600
    assert not [secret for secret in case.secrets if secret in message]
    return caught.value


@pytest.mark.parametrize("case_type", CASES, ids=lambda case: case.__name__)
def test_documented_example_is_valid(case_type: type[Case]) -> None:
    kind = case_type.kind
    assert plugins.load("receivers", kind.__module__.rpartition(".")[2]) is kind
    options = kind.options_model.model_validate(example(kind))
    with suppress(SecretError):  # the example's files are not there
        kind("documented", options, surroundings([])).close()


def test_an_incident_is_told_once_and_kept_up_to_date_until_it_is_over(case: Case, receiver: Receiver) -> None:
    reference = receiver.tell(OPEN, Told())
    assert case.count(OPEN) == 1
    assert OPEN.sentence in case.says(OPEN)
    reference = receiver.tell(WORSE, Told(reference))
    assert case.count(OPEN) == 1
    assert "critical" in case.says(OPEN)
    assert WORSE.sentence in case.says(OPEN)
    reference = receiver.tell(OWNED, Told(reference))
    assert not case.is_over(OPEN) or case.count(OPEN) != 1
    reference = receiver.tell(RESOLVED, Told(reference))
    assert case.is_over(OPEN)
    assert case.count(OPEN) <= 1
    assert 0 < len(reference) <= 2000


def test_the_same_again_changes_nothing(case: Case, receiver: Receiver) -> None:
    reference = receiver.tell(OPEN, Told())
    assert receiver.tell(OPEN, Told(reference)) == reference
    assert receiver.tell(OPEN, Told(reference, in_doubt=True)) == reference
    assert case.count(OPEN) == 1


def test_another_one_is_another_one(case: Case, receiver: Receiver) -> None:
    first, second = receiver.tell(OPEN, Told()), receiver.tell(OTHER, Told())
    receiver.tell(replace(RESOLVED, id=OTHER.id), Told(second))
    assert case.count(OPEN) == 1
    assert case.is_over(OTHER)
    assert OTHER.id not in first


def test_it_goes_on_after_a_restart(case: Case) -> None:
    before = case.build()
    reference = before.tell(OPEN, Told())
    before.close()
    after = case.build()
    after.tell(RESOLVED, Told(reference))
    after.close()
    assert case.is_over(OPEN)


def test_what_became_part_of_another_incident_is_over(case: Case, receiver: Receiver) -> None:
    reference = receiver.tell(OPEN, Told())
    receiver.tell(replace(RESOLVED, merged_into=OTHER.id), Told(reference))
    assert case.count(OPEN) == 0 or OTHER.id in case.says(OPEN)


def test_what_was_merged_before_anybody_heard_of_it_is_not_told(case: Case, receiver: Receiver) -> None:
    case.network.fault("refused")
    refused(case, receiver, OPEN)
    case.network.fault("none")
    reference = receiver.tell(replace(RESOLVED, merged_into=OTHER.id), Told(in_doubt=True))
    assert case.count(OPEN) == 0
    assert len(reference) <= 2000


def test_a_lost_answer_makes_no_second_message(case: Case, receiver: Receiver) -> None:
    case.network.fault("lost")
    refused(case, receiver, OPEN)
    assert case.count(OPEN) == 1
    case.network.fault("none")
    reference = receiver.tell(OPEN, Told(in_doubt=True))
    assert case.count(OPEN) == 1
    case.network.fault("lost")
    refused(case, receiver, RESOLVED, Told(reference))
    case.network.fault("none")
    receiver.tell(RESOLVED, Told(reference, in_doubt=True))
    assert case.is_over(OPEN)
    assert case.count(OPEN) <= 1


@pytest.mark.parametrize("fault", ["refused", "cut", "silent", "echo"])
def test_an_outage_is_an_error_in_one_line_and_heals(case: Case, receiver: Receiver, fault: Fault) -> None:
    reference = receiver.tell(OTHER, Told())
    case.network.fault(fault)
    refused(case, receiver, OPEN)
    refused(case, receiver, replace(WORSE, id=OTHER.id), Told(reference))
    case.network.fault("none")
    receiver.tell(OPEN, Told(in_doubt=True))
    receiver.tell(replace(RESOLVED, id=OTHER.id), Told(reference, in_doubt=True))
    assert case.count(OPEN) == 1
    assert case.is_over(OTHER)


def test_hostile_text_is_taken_and_does_no_harm(case: Case, receiver: Receiver) -> None:
    reference = receiver.tell(HOSTILE, Told())
    assert case.count(HOSTILE) == 1
    assert "spark" in case.says(HOSTILE)
    for part in ("\0", "\x1b", "\\u0000", "\\u001b"):
        assert part not in case.says(HOSTILE)
    assert len(reference) <= 2000
    receiver.tell(replace(RESOLVED, id=HOSTILE.id, sentence=HOSTILE.sentence), Told(reference))
    assert case.is_over(HOSTILE)


def test_a_reference_has_no_secret(case: Case, receiver: Receiver) -> None:
    reference = receiver.tell(OPEN, Told())
    assert not [secret for secret in case.secrets if secret in reference]


def test_a_secret_that_cannot_be_read_is_named_by_its_key(case: Case) -> None:
    case.changed()
    for path in case.folder.glob("secret-*"):
        path.write_text("")
    case.secret = lambda value: str(case.secret_path(value))  # type: ignore[method-assign]  # it stays empty
    with pytest.raises((SecretError, ReceiverError), match=r"receiver\.tested\.\w+_file: empty"):
        case.build().tell(OPEN, Told())


def test_it_may_be_closed_twice(case: Case) -> None:
    built = case.build()
    built.tell(OPEN, Told())
    built.close()
    built.close()
