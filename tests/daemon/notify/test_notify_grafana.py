"""Annotations as people see them in Grafana."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from daemon.notify.grafana import GrafanaOptions, GrafanaReceiver
from daemon.notify.receiver import ReceiverError, Told
from tests.contract.test_receivers import HOSTILE, OPEN, OTHER, OWNED, RESOLVED, WORSE
from tests.grafana_server import GrafanaServer
from tests.receiver_cases import surroundings

Build = Callable[..., GrafanaReceiver]


@pytest.fixture
def server() -> Iterator[GrafanaServer]:
    with GrafanaServer(prefix="/grafana") as running:
        yield running


@pytest.fixture
def build(server: GrafanaServer, tmp_path: Path) -> Build:
    token = tmp_path / "token"
    token.write_text(server.token)

    def make(**options: Any) -> GrafanaReceiver:
        model = GrafanaOptions.model_validate({"url": f"{server.url}/", "token_file": token, **options})
        return GrafanaReceiver("grafana", model, surroundings([]))

    return make


def test_a_line_while_it_lasts_and_a_region_afterwards(server: GrafanaServer, build: Build) -> None:
    reference = build().tell(OPEN, Told())
    (annotation,) = server.annotations.values()
    assert annotation["time"] == annotation["timeEnd"] == OPEN.started_ns // 1_000_000
    assert annotation["tags"] == ["shiftwatch", f"incident:{OPEN.id}", "warning", "fed_stuck"]
    assert annotation["text"].startswith(OPEN.sentence)
    assert f'<a href="http://127.0.0.1:9110/incidents/{OPEN.id}"' in annotation["text"]
    reference = build().tell(OWNED, Told(reference))
    assert "On it: Ada" in annotation["text"]
    assert "critical" in annotation["tags"]
    build().tell(RESOLVED, Told(reference))
    assert annotation["timeEnd"] == RESOLVED.resolved_ns // 1_000_000  # type: ignore[operator]  # it has an end
    assert "Resolved after 8 min" in annotation["text"]
    assert len(server.annotations) == 1


def test_html_of_others_is_text(server: GrafanaServer, build: Build) -> None:
    build().tell(HOSTILE, Told())
    (annotation,) = server.annotations.values()
    assert "<script" not in annotation["text"]
    assert "&lt;script&gt;" in annotation["text"]


def test_one_that_somebody_deleted_is_made_again(server: GrafanaServer, build: Build) -> None:
    reference = build().tell(OPEN, Told())
    server.annotations.clear()
    assert build().tell(WORSE, Told(reference)) != reference
    assert len(server.annotations) == 1


def test_another_incident_in_doubt_is_not_mistaken_for_this_one(server: GrafanaServer, build: Build) -> None:
    build().tell(OTHER, Told())
    build().tell(OPEN, Told(in_doubt=True))
    assert len(server.annotations) == 2


@pytest.mark.parametrize("uid", ["", "overview"])
def test_it_belongs_to_the_organisation_or_to_a_dashboard(server: GrafanaServer, build: Build, uid: str) -> None:
    build(dashboard_uid=uid).tell(OPEN, Told())
    (annotation,) = server.annotations.values()
    assert annotation["dashboardUID"] == uid


def test_a_wrong_token_is_said_without_the_token(build: Build, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("glsa_wrong")
    with pytest.raises(ReceiverError, match="HTTP status 401") as caught:
        build(token_file=wrong).tell(OPEN, Told())
    assert "glsa" not in str(caught.value)


def test_what_grafana_says_of_a_failure_is_passed_on(server: GrafanaServer, build: Build) -> None:
    server.failing = 503
    with pytest.raises(ReceiverError, match="HTTP status 503"):
        build().tell(replace(OPEN, started_ns=time.time_ns()), Told())


def test_a_token_does_not_go_in_the_open_to_another_machine() -> None:
    with pytest.raises(ValidationError, match="https"):
        GrafanaOptions.model_validate({"url": "http://grafana.example.org", "token_file": "/x"})
