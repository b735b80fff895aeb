"""Whatever an incident holds, Slack accepts it, and it means nothing but itself there."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.notify.slack_text import ago, clock, escaped, link, plain
from daemon.records import Incident, IncidentState, TimelineEntry
from detectors.finding import Certainty, Severity
from tests.daemon.notify.slack_telling import INCIDENT, MIN, NOW_NS, Desk, S, Teller, resolved
from tests.slack_server import SlackServer

HOSTILE = st.sampled_from(
    ["<!here>", "<!channel>", "&amp;", "*", "_", "`", "~", "<@U123>", "<https://evil.example|page>", "|", "\n", "\x00", "…", "𝄞", "ü"]
)
TEXT = st.lists(st.text(max_size=30) | HOSTILE, max_size=4).map("".join) | st.builds(
    lambda part, n: part * n, HOSTILE | st.text(max_size=3), st.integers(0, 9000)
)
TIME = st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(NOW_NS - 3600 * S, NOW_NS)
ENTRIES = st.lists(st.builds(TimelineEntry, TIME, TEXT | st.just("shiftwatch"), TEXT), max_size=30).map(tuple)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
FIELDS = (
    "condition",
    "cause_place",
    "cause_channel",
    "sentence",
    "why",
    "decision",
    "runbook",
    "owner",
    "reason",
    "reading",
    "cause_finding",
)
INCIDENTS: st.SearchStrategy[Incident] = st.builds(
    Incident,
    **dict.fromkeys(FIELDS, TEXT),
    id=st.text(min_size=1, max_size=40),
    merged_into=st.just("") | TEXT,
    **dict.fromkeys(("places", "victims", "detectors", "findings"), TEXTS),
    **dict.fromkeys(("started_ns", "opened_ns", "updated_ns"), TIME),
    resolved_ns=st.none() | TIME,
    silenced_until_ns=st.none() | TIME,
    revision=st.integers(1, 2**31 - 1),
    state=st.sampled_from(IncidentState),
    severity=st.sampled_from(Severity),
    certainty=st.sampled_from(Certainty),
    timeline=ENTRIES,
)
SPECIAL = re.compile(r"<(?!!date\^\d+\^\{ago\}\||https://shift\.example\.org/)")


@pytest.fixture(scope="module")
def server() -> Iterator[SlackServer]:
    with SlackServer(burst=1_000_000) as running:
        yield running


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def mrkdwn_of(value: Any) -> Iterator[str]:
    """All texts that Slack interprets."""
    if isinstance(value, dict):
        if value.get("type") == "mrkdwn":
            yield value["text"]
        for inner in value.values():
            yield from mrkdwn_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from mrkdwn_of(inner)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(first=INCIDENTS, second=INCIDENTS)
def test_any_incident_is_accepted_whole_and_calls_nobody(
    server: SlackServer, folder: Path, caplog: pytest.LogCaptureFixture, first: Incident, second: Incident
) -> None:
    server.workspace.messages.clear()
    caplog.clear()
    teller = Teller(folder, server, Desk(incidents={second.id: second}), answers=True)
    teller.tell(first)
    teller.tell(replace(second, id=first.id, revision=first.revision + 1))
    assert "message simplified" not in caplog.text  # its form was never refused
    assert len(server.messages) == 1
    for message in server.workspace.messages:
        for text in (message["text"], *mrkdwn_of(message.get("blocks", []))):
            assert not SPECIAL.search(text), text
            assert not re.search(r"&(?!amp;|lt;|gt;)", text)


def test_an_address_that_escaping_makes_too_long_is_left_out(server: SlackServer, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    Teller(folder, server).tell(replace(INCIDENT, id="ampersands", runbook="&" * 800))
    assert "message simplified" not in caplog.text


def test_an_endless_incident_is_cut_and_links_to_its_page(server: SlackServer, folder: Path) -> None:
    endless = replace(
        INCIDENT,
        id="endless",
        sentence="a&b " * 9000,
        why="<why> " * 9000,
        decision="do " * 9000,
        cause_place="P/" * 9000,
        reason="r" * 9000,
    )
    server.workspace.messages.clear()
    Teller(folder, server).tell(endless)
    text = json.dumps(server.messages[0]["blocks"], ensure_ascii=False)
    assert len(text) < 9000
    assert text.count("…") >= 4
    assert "/incidents/endless" in text


def test_unusable_blocks_still_arrive_as_text(server: SlackServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.notify.slack.blocks", lambda *_: [{"type": "section"}])
    server.workspace.messages.clear()
    teller = Teller(folder, server, Desk(picture=None))
    teller.tell(replace(INCIDENT, id="broken"))
    teller.tell(resolved(replace(INCIDENT, id="broken")))
    (message,) = server.messages
    assert message["text"].startswith("Resolved after 8 min: No triggers")
    assert "blocks" not in message


@given(st.text() | HOSTILE, st.integers(1, 50))
def test_limits_hold_after_escaping(text: str, limit: int) -> None:
    assert len(escaped(text, limit)) <= limit
    assert len(plain(text, limit)) <= limit
    assert not re.search(r"&(?!amp;|lt;|gt;)|[<>]", escaped(text, limit))


def test_a_link_cannot_be_broken_out_of() -> None:
    assert link("https://x.example/a b|c>d", "a|b<c>") == "<https://x.example/a%20b%7Cc%3Ed|a/b&lt;c&gt;>"
    assert link("javascript:alert(1)", "page") == "page"


def test_ages_stay_right_by_themselves_unless_time_is_that_of_a_replay() -> None:
    assert ago(NOW_NS - 6 * MIN, NOW_NS, NOW_NS) == f"<!date^{(NOW_NS - 6 * MIN) // S}^{{ago}}|6 min ago>"
    assert ago(NOW_NS - 6 * MIN, NOW_NS, NOW_NS + 10**18) == "6 min ago"


def test_times_are_in_the_zone_of_the_experiment_with_the_date_where_it_matters() -> None:
    zone = Desk().surroundings().zone
    at_ns = 1480508388 * S
    assert clock(at_ns, zone, at_ns + 3600 * S) == "13:19:48"
    assert clock(at_ns, zone, at_ns + 86400 * S) == "2016-11-30 13:19:48"
