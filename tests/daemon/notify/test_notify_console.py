"""What the console says of an incident."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from daemon.notify.console import ConsoleReceiver, lines
from daemon.notify.receiver import Told
from daemon.records import Incident, IncidentState
from tests.daemon.notify.office import OPEN, RESOLVED
from tests.daemon.reports import S

ZURICH = ZoneInfo("Europe/Zurich")
AT = replace(OPEN, started_ns=1_480_508_388 * S, updated_ns=1_480_508_760 * S)


def test_says_what_where_since_when_why_and_what_to_do() -> None:
    first, why, do = lines(AT, ZURICH).split("\n")
    assert first == "13:26:00  warning   ch03 has tripped · DEMO/HV/ch03 · since 13:19:48 (6 min)  [3fa4]"
    assert (why.strip(), do.strip()) == ("Sure.", "Do: Call HV.")


def test_names_who_is_on_it() -> None:
    owned = replace(AT, state=IncidentState.ACKNOWLEDGED, owner="Ada")
    assert "on it: Ada" in lines(owned, ZURICH).split("\n")[0]


def test_one_line_once_it_is_over() -> None:
    ended = replace(RESOLVED, started_ns=AT.started_ns, updated_ns=AT.started_ns + 40 * S)
    assert lines(ended, ZURICH) == "13:20:28  resolved  after 40 s: ch03 has tripped  [3fa4]"


@pytest.mark.parametrize("incident", [AT, RESOLVED])
def test_one_object_a_line_as_json(incident: Incident) -> None:
    stream = io.StringIO()
    receiver = ConsoleReceiver.of(ZURICH, as_json=True, stream=stream)
    assert receiver.tell(incident, Told("kept")) == "kept"
    receiver.tell(incident, Told())
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [incident.as_json()] * 2
