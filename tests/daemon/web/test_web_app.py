"""The routes: pages, files, errors, headers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy.exc import OperationalError

from daemon.optimizer.announcing import finding_key
from daemon.records import Label, LabelKind, Plan, PlanState
from daemon.web.views import plans
from detectors.figure import Bar, HistogramFigure, PlanFigure, encode
from tests.daemon.web.site import Application
from tests.page import S, incident, resolved

PLAN = Plan(
    "p1",
    "drain",
    "slurm",
    "node17",
    "T2_X/node17",
    PlanState.PROPOSED,
    ("scontrol update nodename=node17 state=drain",),
    ("scontrol update nodename=node17 state=resume",),
    "Its disk fails.",
    231.0,
    104.0,
    402.0,
    "core hours",
    S,
    2 * S,
    S,
)


def histogram(title: str) -> str:
    ones = np.ones(3)
    return encode(HistogramFigure(title, "x", "y", np.arange(4.0), ones, ones, ones, ones, ones, 5.0, (1,)))


@pytest.mark.parametrize("path", ["/", "/incidents", "/sources", "/plans", "/runbooks/fed-stuck", "/static/page.css"])
def test_every_page_answers_and_is_guarded(application: Application, path: str) -> None:
    answer = application.client.get(path)
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"]


def test_pages_hold_no_inline_script_style_or_other_host(application: Application) -> None:
    application.put(incident())
    for path in ("/", "/incidents", "/incidents/a1b2c3", "/sources", "/plans"):
        text = application.client.get(path).text
        assert "style=" not in text, path
        assert "<style" not in text, path
        assert "<script>" not in text, path
        assert " onclick" not in text, path
        assert "//" not in text.replace("http://www.w3.org", ""), path


def test_first_page_names_each_incident_once(application: Application) -> None:
    application.put(incident())
    text = application.client.get("/").text
    assert text.count('data-incident="a1b2c3"') == 1
    assert "1 incident · 0 unsure" in text
    application.put(resolved(incident()))
    assert 'data-incident="a1b2c3"' not in application.client.get("/").text


def test_incident_page_has_its_parts(application: Application) -> None:
    made = incident()
    earlier = replace(resolved(incident("earlier", age_s=90_000)), findings=("old",))
    application.put(earlier, made)
    with application.store.transaction() as connection:
        application.store.put_label(connection, Label("l", "earlier", LabelKind.REAL, "M.", earlier.opened_ns, "recycled, 3 min lost"))
        application.store.put_figure(connection, made.id, "f2", histogram("Second picture"), S)
        application.store.put_figure(connection, made.id, "f1", histogram("First picture"), 2 * S)
        application.store.record_delivery(connection, made, "slack", "reference-of-slack", made.opened_ns)
    text = application.client.get("/incidents/a1b2c3").text
    first, second = text.index('alt="First picture"'), text.index('alt="Second picture"')
    assert text.index("<h1>") < text.index("Do:") < first < second < text.index("Timeline") < text.index("recycled, 3 min lost")
    assert 'href="/runbooks/fed-stuck"' in text
    assert "3 that only suffer" in text
    assert "slack" in text
    assert "reference-of-slack" not in text


def test_picture_is_drawn_without_scripts_and_kept(application: Application) -> None:
    application.put(incident())
    with application.store.transaction() as connection:
        application.store.put_figure(connection, "a1b2c3", "f1", histogram("<script>alert(1)</script>"), S)
        application.store.put_figure(connection, "a1b2c3", "broken", "rubbish", S)
    answer = application.client.get("/incidents/a1b2c3/pictures/f1.svg")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    again = application.client.get("/incidents/a1b2c3/pictures/f1.svg", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert application.client.get("/incidents/a1b2c3/pictures/broken.svg").status_code == 404
    assert application.client.get("/incidents/a1b2c3/pictures/none.svg").status_code == 404
    assert "broken.svg" not in application.client.get("/incidents/a1b2c3").text


def test_plans_with_actions_undo_gain_and_picture(application: Application) -> None:
    assert plans.finding_key("p1") == finding_key("p1")
    bars = (Bar("n1", "job", 0.0, 60.0),)
    with application.store.transaction() as connection:
        application.store.put_plan(connection, PLAN)
        application.store.put_figure(connection, "a1b2c3", finding_key("p1"), encode(PlanFigure("Drain", bars, bars, "231")), S)
    text = application.client.get("/plans").text
    assert "Drain node17" in text
    assert "gains 231 [104–402] core hours" in text
    assert "state=drain" in text
    assert "state=resume" in text
    assert application.client.get("/plans/p1/picture.svg").status_code == 200
    assert application.client.get("/plans/other/picture.svg").status_code == 404
    [plan] = application.client.get("/api/plans").json()
    assert plan["subject"] == "node17"


def test_search_by_words_state_and_time(application: Application) -> None:
    application.put(
        resolved(incident("old", age_s=10 * 86_400)), incident("new", sentence="Currents of ch03 are high", condition="outlier")
    )

    def ids(query: str) -> list[str]:
        text = application.client.get(f"/incidents?{query}").text
        return [name for name in ("old", "new") if f'data-incident="{name}"' in text]

    assert ids("") == ["old", "new"]
    assert ids("q=CURRENTS+ch03") == ["new"]
    assert ids("state=resolved") == ["old"]
    assert ids("state=lasting") == ["new"]
    assert ids("condition=outlier") == ["new"]
    assert ids("place=cms/tracker") == ["old", "new"]
    assert ids("place=CMS/Track") == []
    assert ids("to=2020-01-01") == []
    assert ids("from=2020-01-01") == ["old", "new"]
    assert ids("q=%25") == []
    wrong = application.client.get("/incidents?from=yesterday")
    assert wrong.status_code == 400
    assert "written like 2026-11-30" in wrong.text


def test_search_comes_in_pages(application: Application) -> None:
    application.put(*(incident(f"i{number:03d}", age_s=100 + number) for number in range(120)))
    seen: list[str] = []
    query = "/incidents?q=stuck"
    while query:
        text = application.client.get(query).text
        seen += [part.split('"')[0] for part in text.split('data-incident="')[1:]]
        _, _, rest = text.partition('rel="next" href="')
        query = "/incidents" + rest.split('"')[0].replace("&amp;", "&") if rest else ""
    assert seen == [f"i{number:03d}" for number in range(120)]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nowhere", 404, "There is no such page."),
        ("/incidents/none", 404, "There is no incident of this id."),
        ("/runbooks/none", 404, "There is no runbook named"),
        ("/static/__init__.py", 404, "There is no such file."),
        ("/runbooks/..%2f..%2fetc", 404, "There is no such page."),
        ("/incidents/a1b2c3/labels", 405, "This address takes no such request."),
    ],
)
def test_errors_are_pages(application: Application, path: str, status: int, said: str) -> None:
    answer = application.client.get(path)
    assert answer.status_code == status
    assert said in answer.text
    assert answer.headers["content-type"].startswith("text/html")


def test_a_database_that_is_gone_is_said_without_its_address(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_incident_id: str) -> None:
        raise OperationalError("SELECT secret", {}, Exception("postgresql://shiftwatch:secret@db"))

    monkeypatch.setattr(type(application.store), "incident", lambda _self, incident_id: gone(incident_id))
    answer = application.client.get("/incidents/none")
    assert answer.status_code == 503
    assert "The database cannot be reached" in answer.text
    assert "secret" not in answer.text
    assert application.client.get("/").status_code == 200


def test_stale_data_are_said_to_be_stale(application: Application) -> None:
    assert "may be out of date" not in application.client.get("/").text
    application.live._states.clear()
    application.speak(age_s=45)
    text = application.client.get("/").text
    assert "What is shown may be out of date." in text
    assert "Nothing is wrong." not in text
    assert '<body class="stale"' in text


def test_another_name_and_large_bodies_are_refused(application: Application) -> None:
    assert application.client.get("/", headers={"Host": "evil.example"}).status_code == 421
    same = {"Origin": "http://127.0.0.1:9110"}
    large = application.client.post("/incidents/a1b2c3/labels", content=b"x" * 70_000, headers=same)
    assert large.status_code == 413


def test_interface_for_scripts(application: Application) -> None:
    application.put(resolved(incident("old", age_s=5000)), incident("new"))
    listed = application.client.get("/api/incidents").json()
    assert [one["id"] for one in listed] == ["new", "old"]
    assert [one["id"] for one in application.client.get("/api/incidents?state=lasting").json()] == ["new"]
    one = application.client.get("/api/incidents/new").json()
    assert one["cause"]["place"] == "CMS/Tracker/TIBTID/FED101"
    assert one["timeline"][0]["who"] == "shiftwatch"
    missing = application.client.get("/api/incidents/none")
    assert (missing.status_code, missing.json()) == (404, {"error": "There is no incident of this id."})
    assert application.client.get("/api/incidents?state=odd").status_code == 422
    sources = application.client.get("/api/sources").json()
    assert (sources["stale"], [row["state"] for row in sources["sources"]]) == ([], ["alive", "alive"])
    assert application.client.get("/api/unsure").json() == []
    assert "/api/incidents/{incident_id}" in application.client.get("/api/openapi.json").json()["paths"]
