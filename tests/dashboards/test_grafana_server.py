"""The Grafana of the tests refuses what the documented API refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
import urllib3

from tests.grafana_server import GrafanaServer


def ask(grafana: GrafanaServer, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token or grafana.token}"}
    answer = urllib3.request(method, grafana.url + path, json=body, headers=headers, retries=False, timeout=5)
    return answer.status, json.loads(answer.data)


def test_an_annotation_is_added_found_by_all_its_tags_and_changed(grafana: GrafanaServer) -> None:
    sent = {"text": "dead region", "time": 1_700_000_000_000, "tags": ["shiftwatch", "incident:a"]}
    status, added = ask(grafana, "POST", "/api/annotations", sent)
    assert (status, added["message"]) == (200, "Annotation added")
    path = f"/api/annotations/{added['id']}"
    assert ask(grafana, "PATCH", path, {"timeEnd": 1_700_000_060_000}) == (200, {"message": "Annotation patched"})
    (found,) = ask(grafana, "GET", "/api/annotations?tags=shiftwatch&tags=incident%3Aa")[1]
    assert (found["text"], found["time"], found["timeEnd"]) == ("dead region", 1_700_000_000_000, 1_700_000_060_000)
    assert ask(grafana, "GET", "/api/annotations?tags=shiftwatch&tags=incident%3Ab")[1] == []
    assert ask(grafana, "PUT", path, {"text": "new"})[0] == 200
    assert grafana.annotations[added["id"]]["tags"] == []
    assert ask(grafana, "PATCH", "/api/annotations/99", {"text": "x"})[0] == 404


@pytest.mark.parametrize(
    "body",
    [{"time": 1}, {"text": ""}, {"text": "x", "time": 1.5}, {"text": "x", "tags": "a b"}, {"text": "x", "tags": ["t" * 600]}, ["x"]],
)
def test_a_bad_annotation_is_refused(grafana: GrafanaServer, body: object) -> None:
    assert ask(grafana, "POST", "/api/annotations", body)[0] == 400
    assert not grafana.annotations


def test_only_who_has_the_token_is_answered(grafana: GrafanaServer) -> None:
    assert ask(grafana, "GET", "/api/annotations", token="wrong")[0] == 401
    grafana.failing = 503
    assert ask(grafana, "GET", "/api/annotations")[0] == 503
    assert [path for _, path in grafana.requests] == ["/api/annotations"] * 2


def test_a_dashboard_that_somebody_changed_is_not_overwritten_unasked(grafana: GrafanaServer) -> None:
    dashboard = {"uid": "a", "title": "A"}
    assert ask(grafana, "POST", "/api/dashboards/db", {"dashboard": dashboard, "folderUid": "gone"})[0] == 400
    assert ask(grafana, "POST", "/api/dashboards/db", {"dashboard": dashboard})[1]["version"] == 1
    status, refused = ask(grafana, "POST", "/api/dashboards/db", {"dashboard": dashboard})
    assert (status, refused["status"]) == (412, "version-mismatch")
    assert ask(grafana, "POST", "/api/dashboards/db", {"dashboard": dashboard, "overwrite": True})[1]["version"] == 2
    assert ask(grafana, "POST", "/api/dashboards/db", {"dashboard": {"uid": "b"}})[0] == 400


def test_a_folder_is_made_once_and_changed_with_its_version(grafana: GrafanaServer) -> None:
    assert ask(grafana, "GET", "/api/folders/f")[0] == 404
    assert ask(grafana, "POST", "/api/folders", {"uid": "f", "title": "F"})[0] == 200
    assert ask(grafana, "POST", "/api/folders", {"uid": "f", "title": "F"})[0] == 409
    assert ask(grafana, "PUT", "/api/folders/f", {"title": "G"})[0] == 412
    assert ask(grafana, "PUT", "/api/folders/f", {"title": "G", "version": 1})[1]["version"] == 2
