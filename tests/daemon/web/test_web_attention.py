"""The page in the order of what labels say, how likely an incident is real, and whether labels are used."""

from __future__ import annotations

import html
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.ranking.learning import learn_from_labels
from daemon.records import LabelKind, TimelineEntry
from tests.daemon.ranking.labelling import HV, PUMP, S, case, incident_of, label, labelled, pumps_and_voltages, put
from tests.daemon.web.site import SAME, Application
from tests.page import incident

FIRST = 1000


def shown(application: Application, path: str) -> str:
    """What is to be read on a page."""
    answer = application.client.get(path)
    assert answer.status_code == 200
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", answer.text)).split())


def rows(application: Application, path: str) -> list[str]:
    return re.findall(r'<li class="row [^"]*" data-incident="([^"]+)"', application.client.get(path).text)


def taught(application: Application, count: int = 120) -> None:
    """Labels are learned from; then two incidents last, of the pump and, before it, of the high voltage."""
    labelled(application.store, count)
    learn_from_labels(application.store)
    recent = [case(FIRST, HV), case(FIRST + 1, PUMP)]
    application.live.seed(put(application.store, recent), [])


def test_the_order_by_attention_is_asked_for_and_says_why(application: Application) -> None:
    taught(application)
    assert rows(application, "/") == [f"i{FIRST + 1}", f"i{FIRST}"], "the usual order stays: the newest first"
    assert "likely real" not in shown(application, "/")
    assert rows(application, "/?order=attention") == [f"i{FIRST}", f"i{FIRST + 1}"]
    page = shown(application, "/?order=attention")
    assert "By attention labels used: real ones before others in " in page
    assert re.search(r"LAB/hv i1000 is off\. \d\d % likely real, by labels\.", page)
    assert re.search(r"LAB/pump i1001 is off\. [123]?\d % likely real, by labels\.", page)


def test_without_labels_it_is_the_rarest_first_and_no_chance_is_said(application: Application) -> None:
    rare, common = case(1, probability=1e-12), case(2, probability=1e-4)
    application.live.seed(put(application.store, [rare, common]), [])
    assert rows(application, "/?order=attention") == ["i1", "i2"]
    page = shown(application, "/?order=attention")
    assert "labels not used: nothing was learned from labels yet" in page
    assert "likely real" not in page


def test_what_is_critical_stays_first(application: Application) -> None:
    taught(application)
    alarm = incident("alarm")
    application.put(alarm)
    assert rows(application, "/?order=attention")[0] == rows(application, "/")[0] == "alarm"


def test_an_answer_leads_back_to_the_order_it_came_from(application: Application) -> None:
    taught(application)
    assert 'name="back" value="attention"' in application.client.get("/?order=attention").text
    fields = {"kind": "real", "who": "Ada", "back": "attention"}
    answer = application.client.post(f"/incidents/i{FIRST}/labels", data=fields, headers=SAME, follow_redirects=False)
    assert answer.headers["location"] == "/?order=attention&said=real"
    assert "Handed over: it is real" in shown(application, "/?order=attention&said=real")


def test_the_incident_says_how_likely_it_is_real(application: Application) -> None:
    taught(application)
    assert re.search(
        r"Of 60 labelled like it \(outlier, LAB/hv\), \d\d were real: \d\d % likely real\.", shown(application, f"/incidents/i{FIRST}")
    )
    assert re.search(r"Of 60 labelled like it \(outlier, LAB/pump\), \d were real: ", shown(application, f"/incidents/i{FIRST + 1}"))


def test_what_a_person_has_judged_is_not_guessed_at(application: Application) -> None:
    taught(application)
    judged = incident_of(case(FIRST), revision=2, timeline=(TimelineEntry(1, "Ada", str(LabelKind.REAL)),))
    application.put(judged)
    assert "likely real" not in shown(application, f"/incidents/i{FIRST}")


def test_no_chance_where_labels_are_too_few(application: Application) -> None:
    taught(application, 12)
    assert "likely real" not in shown(application, f"/incidents/i{FIRST}")
    sources = shown(application, "/sources")
    assert re.search(
        r"how it stands now\. Version Trained From Result 1 \S+ \S+ 12 labels not used: 12 labels, \d of them real, are too few", sources
    )


def test_after_a_change_the_page_says_that_labels_are_not_used_now(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    taught(application)
    assert "likely real" in shown(application, f"/incidents/i{FIRST}")
    changed = pumps_and_voltages(100, FIRST + 2, duration_s=1e6)
    put(application.store, changed)
    monkeypatch.setattr(application.site.ranking, "_due_s", 0.0)
    assert "likely real" not in shown(application, f"/incidents/i{FIRST}")
    for path in ("/sources", "/?order=attention"):
        assert "not used now: recent findings differ in duration from those that were labelled" in shown(application, path)
    assert application.stage.status()["labels"].startswith("not used now: ")
    label(application.store, changed)
    learn_from_labels(application.store)
    monkeypatch.setattr(application.site.ranking, "_due_s", 0.0)
    page = shown(application, "/sources")
    assert re.search(r"2 \S+ \S+ 220 labels used: real ones before others", page), page
    assert "of 220 labels only the last 110 count" in page


def test_sources_say_nothing_of_labels_where_there_are_none(application: Application) -> None:
    assert "Order by labels" not in shown(application, "/sources")
    assert "labels" not in application.stage.status()


def test_a_place_with_markup_is_harmless(application: Application) -> None:
    labelled(application.store, 120)
    learn_from_labels(application.store)
    odd = replace(case(FIRST), place="LAB/<b>x</b>")
    application.live.seed(put(application.store, [odd]), [])
    text = application.client.get(f"/incidents/i{FIRST}").text
    assert "None was labelled at LAB/&lt;b&gt;x&lt;/b&gt;" in text


def test_the_time_of_the_training_is_that_of_the_experiment(tmp_path: Path) -> None:
    application = Application(tmp_path)
    try:
        taught(application)
        times = application.site.times()
        assert f"{times.local(time.time_ns() - S):%Y-%m-%d %H}" in shown(application, "/sources")
    finally:
        application.close()
