"""Against a real Alertmanager: alerts that stay, end and change; silences in both directions; clusters and clocks."""

from __future__ import annotations

import json
import logging
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from daemon.notify.alertmanager import AlertmanagerOptions, AlertmanagerReceiver
from daemon.notify.receiver import KeepsAlive, ReceiverError, Silencing, Told
from daemon.records import Incident, TimelineEntry, iso
from tests.contract.test_receivers import OPEN, OTHER, OWNED, RESOLVED, WORSE, S
from tests.prometheus_server import AlertmanagerServer, free_port
from tests.receiver_cases import surroundings

HOUR_NS = 3600 * S
Build = Callable[..., AlertmanagerReceiver]


@pytest.fixture
def build(alertmanager: AlertmanagerServer) -> Iterator[Build]:
    built: list[AlertmanagerReceiver] = []

    def make(now_ns: Callable[[], int] = time.time_ns, **options: Any) -> AlertmanagerReceiver:
        model = AlertmanagerOptions.model_validate({"urls": [alertmanager.url], "timeout_s": 5, **options})
        built.append(AlertmanagerReceiver("alertmanager", model, surroundings([], now_ns)))
        return built[-1]

    yield make
    for receiver in built:
        receiver.close()


def alert(server: AlertmanagerServer, incident: Incident) -> dict[str, Any]:
    (found,) = server.alerts(incident=incident.id)
    return found


def amtool(server: AlertmanagerServer, *arguments: str) -> str:
    command = ["amtool", f"--alertmanager.url={server.url}", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return answer.stdout


def quiet(incident: Incident, until_ns: int, who: str = "Ada") -> Incident:
    entry = TimelineEntry(time.time_ns(), who, f"silence until {iso(until_ns)}: known")
    return replace(incident, revision=incident.revision + 10, silenced_until_ns=until_ns, timeline=(entry,))


def active(server: AlertmanagerServer) -> list[dict[str, Any]]:
    return [silence for silence in server.silences() if silence["status"]["state"] == "active"]


def lasts_s(silence: dict[str, Any]) -> float:
    return (datetime.fromisoformat(silence["endsAt"]) - datetime.now(UTC)).total_seconds()


class TestAlerts:
    def test_says_what_where_why_and_what_to_do(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        build(labels={"team": "tracker"}).tell(OPEN, Told())
        found, page = alert(alertmanager, OPEN), f"http://127.0.0.1:9110/incidents/{OPEN.id}"
        assert found["labels"] == {
            "alertname": "ShiftwatchIncident",
            "incident": OPEN.id,
            "severity": "warning",
            "condition": "fed_stuck",
            "place": "CMS/Tracker/FED101",
            "certainty": "sure",
            "experiment": "DEMO",
            "team": "tracker",
        }
        assert found["annotations"] == {
            "summary": OPEN.sentence,
            "description": OPEN.why,
            "decision": OPEN.decision,
            "runbook_url": "http://127.0.0.1:9110/runbooks/fed-stuck",
            "dashboard_url": page,
        }
        assert found["generatorURL"] == page
        assert found["startsAt"] == iso(OPEN.started_ns)

    def test_what_becomes_worse_is_one_alert(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        receiver = build()
        reference = receiver.tell(OPEN, Told())
        reference = receiver.tell(WORSE, Told(reference))
        assert alert(alertmanager, OPEN)["labels"]["severity"] == "critical"
        receiver.tell(replace(OPEN, revision=9), Told(reference))
        assert alert(alertmanager, OPEN)["labels"]["severity"] == "warning"

    def test_nothing_starts_in_the_future(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        ahead = replace(OPEN, started_ns=time.time_ns() + HOUR_NS)
        build().tell(ahead, Told())
        assert datetime.fromisoformat(alert(alertmanager, ahead)["startsAt"]) <= datetime.now(UTC)

    def test_a_monitor_that_died_leaves_no_alert(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        build(keep_alive_s=0.2, expires_after_s=0.5).tell(OPEN, Told())
        deadline_s = time.monotonic() + 30
        while alertmanager.alerts(incident=OPEN.id):
            assert time.monotonic() < deadline_s
            time.sleep(0.1)

    def test_what_lasts_is_kept(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        receiver = build()
        assert isinstance(receiver, KeepsAlive)
        receiver.tell(OPEN, Told())
        ends = alert(alertmanager, OPEN)["endsAt"]
        time.sleep(0.01)
        receiver.keep_alive([OPEN])
        assert alert(alertmanager, OPEN)["endsAt"] > ends

    def test_an_alertmanager_that_lost_its_memory_is_told_again(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        receiver = build()
        receiver.tell(quiet(OPEN, time.time_ns() + HOUR_NS), Told())
        receiver.tell(OTHER, Told())
        alertmanager.stop()
        for path in (alertmanager.folder / "data").glob("*"):
            path.unlink()
        with pytest.raises(ReceiverError, match="no connection"):
            receiver.keep_alive([OPEN, OTHER])
        alertmanager.start()
        assert alertmanager.alerts() == []
        receiver.keep_alive([quiet(OPEN, time.time_ns() + HOUR_NS), OTHER])
        assert len(alertmanager.alerts()) == 2
        assert [silence["matchers"][0]["value"] for silence in active(alertmanager)] == [OPEN.id]

    def test_what_is_told_of_meanwhile_is_kept_as_it_was_told(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        receiver = build()
        receiver.tell(OPEN, Told())
        receiver.keep_alive([WORSE])
        assert alert(alertmanager, OPEN)["labels"]["severity"] == "warning"

    def test_hundreds_are_kept_in_requests_of_a_sensible_size(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        build().keep_alive([replace(OPEN, id=f"{number:04x}", why="x" * 5000) for number in range(450)])
        assert len(alertmanager.alerts()) == 450


class TestCluster:
    def test_one_member_is_enough(self, alertmanager: AlertmanagerServer, build: Build, caplog: pytest.LogCaptureFixture) -> None:
        dead = f"http://127.0.0.1:{free_port()}"
        receiver = build(urls=[dead, alertmanager.url])
        with caplog.at_level(logging.WARNING):
            receiver.tell(quiet(OPEN, time.time_ns() + HOUR_NS), Told())
        assert alert(alertmanager, OPEN)
        assert len(active(alertmanager)) == 1
        assert dead in caplog.text

    def test_all_members_are_told(self, alertmanager: AlertmanagerServer, build: Build, tmp_path: Path) -> None:
        with AlertmanagerServer(tmp_path / "second") as second:
            receiver = build(urls=[alertmanager.url, second.url])
            reference = receiver.tell(OPEN, Told())
            assert alert(second, OPEN)
            receiver.tell(RESOLVED, Told(reference))
            assert (alertmanager.alerts(), second.alerts()) == ([], [])

    def test_none_is_an_error(self, build: Build) -> None:
        receiver = build(urls=[f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"])
        with pytest.raises(ReceiverError, match="no connection"):
            receiver.tell(OPEN, Told())
        with pytest.raises(ReceiverError, match="no connection"):
            receiver.silences([OPEN])


class TestTheirSilences:
    def test_one_by_amtool_is_honoured(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        receiver = build()
        assert isinstance(receiver, Silencing)
        amtool(alertmanager, "silence", "add", "place=~CMS/Tracker/.*", "-a", "Grace", "-c", "known, see log", "-d", "2h")
        found = receiver.silences([OPEN, replace(OTHER, cause_place="CMS/ECAL")])
        assert list(found) == [OPEN.id]
        assert (found[OPEN.id].who, found[OPEN.id].comment) == ("Grace", "known, see log")
        assert found[OPEN.id].until_ns == pytest.approx(time.time_ns() + 2 * HOUR_NS, abs=60 * S)
        assert receiver.silences([OPEN]) == found

    @pytest.mark.parametrize(
        ("matchers", "silenced"),
        [
            (["severity=warning", "condition=fed_stuck"], True),
            (["severity!=critical"], True),
            (["place=~Tracker"], False),
            (["place!~.*ECAL.*"], True),
            (["absent="], True),
            (["absent=x"], False),
        ],
    )
    def test_all_matchers_must_match_as_they_do_there(
        self, alertmanager: AlertmanagerServer, build: Build, matchers: list[str], silenced: bool
    ) -> None:
        receiver = build()
        receiver.tell(OPEN, Told())
        amtool(alertmanager, "silence", "add", *matchers, "alertname=ShiftwatchIncident", "-a", "Grace", "-c", "x")
        assert (OPEN.id in receiver.silences([OPEN])) is silenced
        until_s = time.monotonic() + 10
        while (alert(alertmanager, OPEN)["status"]["state"] == "suppressed") is not silenced:
            assert time.monotonic() < until_s
            time.sleep(0.05)

    def test_the_longest_counts_and_one_that_ended_does_not(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        receiver = build()
        alertmanager.silence({"incident": OPEN.id}, 3600, "Short")
        longer = alertmanager.silence({"incident": OPEN.id}, 7200, "Long")
        assert receiver.silences([OPEN])[OPEN.id].who == "Long"
        alertmanager.expire(longer)
        assert receiver.silences([OPEN])[OPEN.id].who == "Short"

    def test_one_that_lasts_makes_none_of_ours(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        receiver = build()
        alertmanager.silence({"incident": OPEN.id}, 3600)
        until_ns = receiver.silences([OPEN])[OPEN.id].until_ns
        receiver.tell(quiet(OPEN, until_ns, "shifter"), Told())
        assert len(active(alertmanager)) == 1

    @pytest.mark.parametrize("speed", [1, 60])
    def test_the_same_time_is_said_as_long_as_it_lasts_on_a_clock_of_its_own(
        self, alertmanager: AlertmanagerServer, build: Build, speed: int
    ) -> None:
        origin_wall_ns, origin_ns = time.time_ns(), 1_480_508_388 * S
        now = [origin_wall_ns]
        receiver = build(now_ns=lambda: origin_ns + (now[0] - origin_wall_ns) * speed)
        alertmanager.silence({"incident": OPEN.id}, 3600)
        first = receiver.silences([OPEN])[OPEN.id].until_ns
        assert first == pytest.approx(origin_ns + HOUR_NS, abs=60 * S)
        now[0] += 30 * S
        assert receiver.silences([OPEN])[OPEN.id].until_ns == first
        now[0] += 2 * HOUR_NS // speed  # event time has overtaken it, the silence is still there
        assert receiver.silences([OPEN])[OPEN.id].until_ns > first


class TestOurSilences:
    def test_one_by_a_button_is_seen_by_amtool(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        receiver = build()
        receiver.tell(quiet(OPEN, time.time_ns() + HOUR_NS), Told())
        (seen,) = json.loads(amtool(alertmanager, "silence", "query", "-o", "json", f"incident={OPEN.id}"))
        assert seen["createdBy"].startswith("Ada")
        assert "known" in seen["comment"]
        assert lasts_s(seen) == pytest.approx(3600, abs=60)

    def test_it_is_not_taken_for_one_of_theirs(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        receiver = build()
        receiver.tell(quiet(OPEN, time.time_ns() + HOUR_NS), Told())
        assert receiver.silences([OPEN]) == {}
        alertmanager.silence({"incident": OPEN.id}, 600, "Grace")
        assert receiver.silences([OPEN])[OPEN.id].who == "Grace"

    @pytest.mark.parametrize("doubt", [False, True])
    def test_it_is_made_once(self, alertmanager: AlertmanagerServer, build: Build, doubt: bool) -> None:
        incident = quiet(OPEN, time.time_ns() + HOUR_NS)
        reference = build().tell(incident, Told())
        build().tell(incident, Told("" if doubt else reference, doubt))
        assert len(active(alertmanager)) == 1

    def test_it_ends_with_the_incident(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        reference = build().tell(quiet(OPEN, time.time_ns() + HOUR_NS), Told())
        build().tell(replace(quiet(RESOLVED, time.time_ns() + HOUR_NS), revision=20), Told(reference))
        assert active(alertmanager) == []

    def test_it_is_made_longer_or_taken_back(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        receiver = build()
        reference = receiver.tell(quiet(OPEN, time.time_ns() + HOUR_NS), Told())
        reference = receiver.tell(quiet(OPEN, time.time_ns() + 3 * HOUR_NS), Told(reference))
        (silence,) = active(alertmanager)
        assert lasts_s(silence) == pytest.approx(3 * 3600, abs=60)
        receiver.tell(replace(OWNED, revision=20), Told(reference))
        assert active(alertmanager) == []

    def test_its_length_is_that_of_event_time(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        event_ns = 1_480_508_388 * S
        build(now_ns=lambda: event_ns).tell(quiet(OPEN, event_ns + HOUR_NS), Told())
        (silence,) = active(alertmanager)
        assert lasts_s(silence) == pytest.approx(3600, abs=60)

    def test_a_silence_that_nobody_wants_any_more_is_not_kept_alive(self, alertmanager: AlertmanagerServer, build: Build) -> None:
        receiver = build()
        receiver.tell(quiet(OPEN, time.time_ns() + HOUR_NS), Told())
        receiver.keep_alive([OPEN])
        assert active(alertmanager) == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"urls": []}, "urls"),
        ({"urls": ["alertmanager:9093"]}, "not an address"),
        ({"urls": ["http://ada:pw@localhost:9093"]}, "must not be part"),
        ({"urls": ["http://am.example.org"], "bearer_token_file": "/x"}, "https"),
        ({"urls": ["https://am.example.org"], "username": "ada"}, "belong together"),
        ({"urls": ["http://localhost"], "expires_after_s": 100}, "twice"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        AlertmanagerOptions.model_validate(options)
