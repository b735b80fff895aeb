"""The page as a person meets it, in the installed browser."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, expect

from daemon.records import LabelKind
from detectors.finding import Severity
from tests.daemon.reports import finding
from tests.page import CONFIG, RunningPage, incident, resolved

HOSTILE = """<script>window.hurt=1</script><img src=x onerror="window.hurt=1">'"&lt;{{7*7}}"""


def named(profile: BrowserContext, served: RunningPage, name: str = "J. Doe") -> None:
    """The browser knows who sits before it."""
    profile.add_cookies([{"name": "shiftwatch_name", "value": name.replace(" ", "%20"), "url": served.url}])


def test_no_request_leaves_this_machine(served: RunningPage, profile: BrowserContext, tab: Page) -> None:
    asked: list[str] = []
    profile.on("request", lambda request: asked.append(request.url))
    served.show(incident())
    for path in ("/", "/incidents", "/incidents/a1b2c3", "/sources", "/plans", "/runbooks/fed-stuck"):
        answer = tab.goto(served.url + path)
        assert answer is not None, path
        assert answer.ok, path
        expect(tab.locator(".brand")).to_have_text("shiftwatch")
    assert {url.split("/")[2] for url in asked} == {served.url.split("/")[2]}
    assert any(url.endswith("/events") for url in asked)


def test_an_incident_appears_and_ends_without_a_reload(served: RunningPage, tab: Page) -> None:
    tab.goto(served.url)
    expect(tab.locator("#rows")).to_contain_text("Nothing is wrong.")
    tab.evaluate("window.loadedOnce = true")
    served.show(incident())
    row = tab.locator("li[data-incident=a1b2c3]")
    expect(row).to_contain_text("TIBTID FED 101 is stuck in WARNING")
    expect(row).to_contain_text("6 min")
    expect(row).to_contain_text("unowned")
    expect(tab.locator("#counts")).to_contain_text("1 incident · 0 unsure")
    expect(tab.locator("#announce")).to_contain_text("1 incident")
    assert tab.title().startswith("(1)")
    served.show(resolved(incident()))
    expect(row).to_have_count(0)
    assert tab.evaluate("window.loadedOnce") is True


def test_on_it_becomes_a_label_and_the_owner(tmp_path: Path, profile: BrowserContext, tab: Page) -> None:
    with RunningPage(tmp_path, correlating=True) as served:
        named(profile, served)
        tab.goto(served.url)
        served.report(finding("CMS/HV/ch03", "hv_trip", severity=Severity.CRITICAL, since=1_700_000_000, source="hv"))
        row = tab.locator("li.row.critical")
        row.get_by_role("button", name="On it").click()
        expect(row).to_contain_text("J. Doe is on it")
        expect(row.get_by_role("button", name="On it")).to_have_count(0)
        [label] = served.labels()
        assert (label.kind, label.who) == (LabelKind.ACKNOWLEDGE, "J. Doe")
        [stored] = served.store.incidents()
        assert (stored.owner, label.incident) == ("J. Doe", stored.id)


def test_keys_move_open_and_label(served: RunningPage, profile: BrowserContext, tab: Page) -> None:
    named(profile, served)
    served.show(incident("one"), incident("two", age_s=700), incident("three", age_s=900))
    tab.goto(served.url)
    for keys, chosen in (("j", "one"), ("j", "two"), ("jj", "three"), ("k", "two")):
        for key in keys:
            tab.keyboard.press(key)
        expect(tab.locator("li.chosen")).to_have_attribute("data-incident", chosen)
    tab.keyboard.press("s")
    expect(tab.locator("#note")).to_be_visible()
    [label] = served.labels()
    assert (label.incident, label.kind, label.until_ns) == ("two", LabelKind.SILENCE, label.time_ns + 3_600_000_000_000)
    tab.keyboard.press("/")
    expect(tab.locator("#q")).to_be_focused()
    tab.keyboard.type("jak")
    expect(tab.locator("#q")).to_have_value("jak")
    tab.keyboard.press("Escape")
    tab.keyboard.press("?")
    expect(tab.locator("#help")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.locator("#help")).to_be_hidden()
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/incidents/two")
    tab.keyboard.press("l")
    expect(tab.locator("#comment")).to_be_focused()
    tab.keyboard.type("a spike")
    tab.get_by_role("button", name="Not a problem").click()
    expect(tab.locator("#comment")).to_have_value("")
    [label] = served.labels()
    assert (label.kind, label.comment) == (LabelKind.NOT_A_PROBLEM, "a spike")


def test_what_is_typed_survives_a_change(served: RunningPage, profile: BrowserContext, tab: Page) -> None:
    named(profile, served)
    served.show(incident())
    tab.goto(f"{served.url}/incidents/a1b2c3")
    tab.locator("#comment").fill("I am calling them")
    served.show(replace(incident(), revision=2, sentence="No triggers: two front ends are stuck"))
    expect(tab.locator("h1")).to_contain_text("two front ends")
    expect(tab.locator("#comment")).to_have_value("I am calling them")


def test_a_lost_connection_greys_out_and_comes_back(tmp_path: Path, tab: Page) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        config = CONFIG.replace("port = 0", f"port = {probe.getsockname()[1]}")
    with RunningPage(tmp_path, config) as served:
        served.show(incident())
        tab.goto(served.url)
        expect(tab.locator("li[data-incident=a1b2c3]")).to_be_visible()
        assert not tab.locator("body.lost").count()
    expect(tab.locator("body.lost")).to_have_count(1)
    expect(tab.locator("#lost")).to_contain_text("Connection lost")
    expect(tab.get_by_role("button", name="On it")).to_be_disabled()
    assert tab.evaluate("getComputedStyle(document.querySelector('main')).filter") == "grayscale(1)"
    with RunningPage(tmp_path, config):
        expect(tab.locator("body.lost")).to_have_count(0)
        expect(tab.locator("li[data-incident=a1b2c3]")).to_be_visible()
        expect(tab.get_by_role("button", name="On it")).to_be_enabled()


def test_silent_stages_are_not_shown_as_calm(served: RunningPage, tab: Page) -> None:
    tab.goto(served.url)
    expect(tab.locator("#rows")).to_contain_text("Nothing is wrong.")
    served.silence()
    expect(tab.locator("#stale")).to_contain_text("Nothing heard of the stage correlate for 1 min")
    expect(tab.locator("body.stale")).to_have_count(1)
    expect(tab.locator("#rows")).not_to_contain_text("Nothing is wrong.")
    expect(tab.locator("#counts")).to_contain_text("not heard")


def test_works_without_a_script(served: RunningPage, chromium: Browser) -> None:
    served.show(incident())
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(served.url)
    tab.get_by_role("button", name="On it").click()
    expect(tab.locator("h1")).to_have_text("Who are you?")
    tab.get_by_label("Name").fill("M. Rossi")
    tab.get_by_role("button", name="Say it").click()
    expect(tab.locator("main .note")).to_contain_text("Handed over: on it")
    assert [(label.kind, label.who) for label in served.labels()] == [(LabelKind.ACKNOWLEDGE, "M. Rossi")]
    tab.get_by_role("link", name="No triggers").click()
    expect(tab.get_by_label("Name")).to_have_value("M. Rossi")
    context.close()


def test_hostile_text_is_text(served: RunningPage, profile: BrowserContext, tab: Page) -> None:
    named(profile, served, "%3Cb%3E")
    served.show(
        incident(
            sentence=HOSTILE, why=HOSTILE, decision=HOSTILE, reading=HOSTILE, cause_place=f"CMS/{HOSTILE}", victims=(f"CMS/ECAL/{HOSTILE}",)
        )
    )
    for path in ("/", "/incidents/a1b2c3", "/incidents?q=%3Cscript%3Ealert(1)%3C/script%3E", "/runbooks/%3Cscript%3E"):
        tab.goto(served.url + path)
        expect(tab.locator("main")).to_be_visible()
        assert tab.evaluate("window.hurt") is None, path
        assert tab.locator("main script, main img[src=x]").count() == 0, path
    tab.goto(f"{served.url}/incidents/a1b2c3")
    expect(tab.locator("h1")).to_contain_text(HOSTILE)


def test_prints_without_controls(served: RunningPage, tab: Page) -> None:
    served.show(incident())
    tab.goto(f"{served.url}/incidents/a1b2c3")
    tab.emulate_media(media="print")
    for gone in ("nav", ".search", ".say"):
        expect(tab.locator(gone)).to_be_hidden()
    expect(tab.locator("h1")).to_be_visible()
    expect(tab.locator("footer")).to_contain_text("Shown as of")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.pdf().startswith(b"%PDF")


def test_a_thousand_incidents_stay_usable(served: RunningPage, tab: Page) -> None:
    served.show(*(incident(f"i{number:04d}", age_s=1000 + number, findings=(f"f{number}",)) for number in range(1000)))
    tab.goto(served.url)
    expect(tab.locator("li[data-incident]")).to_have_count(100)
    expect(tab.locator("#counts")).to_contain_text("1\u202f000 incidents")
    tab.keyboard.press("j")
    expect(tab.locator("li.chosen")).to_have_attribute("data-incident", "i0000")
    served.show(incident("newest", age_s=5))
    expect(tab.locator("li[data-incident]").first).to_have_attribute("data-incident", "newest")
    expect(tab.locator("li.chosen")).to_have_attribute("data-incident", "i0000")
    tab.get_by_role("link", name="901 more").click()
    expect(tab.locator("li[data-incident]")).to_have_count(50)
    tab.get_by_role("link", name="Older").click()
    expect(tab.locator("li[data-incident]").first).to_have_attribute("data-incident", "i0049")


def test_follows_the_theme_and_a_narrow_screen(served: RunningPage, chromium: Browser) -> None:
    served.show(incident())
    grounds = set()
    for scheme in ("dark", "light"):
        context = chromium.new_context(color_scheme=scheme, viewport={"width": 600, "height": 900})
        tab = context.new_page()
        for path in ("/", "/incidents/a1b2c3", "/incidents", "/sources"):
            tab.goto(served.url + path)
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        grounds.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        context.close()
    assert len(grounds) == 2
