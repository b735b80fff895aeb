"""The pages that people read."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from fastapi import APIRouter, HTTPException, Request, Response

from daemon.ranking.attention import chance_words
from daemon.records import Incident, IncidentState, LabelKind
from daemon.store.cases import cases_of, labelled_like
from daemon.store.rankings import ranking_versions
from daemon.store.search import Wanted, deliveries, earlier_like, figure_of, search_incidents
from daemon.store.shadow import beside_what_was_sent
from daemon.web.guard import PICTURE_POLICY
from daemon.web.pictures import Drawn
from daemon.web.runbooks import rendered, runbook
from daemon.web.site import Site
from daemon.web.tally import Verdict, verdict
from daemon.web.views import incident as one
from daemon.web.views import ranking, shadow
from daemon.web.views import sources as health
from daemon.web.views.head import lasting
from daemon.web.views.home import Attention, home, incident_row
from daemon.web.views.marks import LEGEND
from daemon.web.views.plans import finding_key, in_order, plan_row
from daemon.web.words import S_NS, clean

PAGE_ROWS = 50
SIMILAR_SHOWN = 5
SHADOW_FINDINGS = 500
ASKED = ("q", "state", "place", "condition", "from", "to")
"""Fields of the search."""
STATES = {
    "lasting": (IncidentState.OPEN, IncidentState.ACKNOWLEDGED),
    "resolved": (IncidentState.RESOLVED,),
}
SAID_WORDS = {
    LabelKind.ACKNOWLEDGE: "on it",
    LabelKind.REAL: "it is real",
    LabelKind.NOT_A_PROBLEM: "not a problem",
    LabelKind.SILENCE: "silence",
    LabelKind.RESOLVE: "resolve",
}


def routes(site: Site) -> APIRouter:
    """All of them."""
    router = APIRouter(include_in_schema=False)
    _add_incidents(router, site)
    _add_pictures(router, site)
    _add_others(router, site)
    return router


def found(site: Site, incident_id: str) -> Incident:
    """The incident: as it was heard of last, or as the database has it. Raises HTTPException."""
    known = next((i for i in site.live.snapshot().incidents if i.id == incident_id), None) or site.store.incident(incident_id)
    if known is None:
        raise HTTPException(404, "There is no incident of this id.")
    return known


def _add_incidents(router: APIRouter, site: Site) -> None:
    @router.get("/")
    def what_is_wrong_now(request: Request, said: str = "", order: str = "") -> Response:
        times, snapshot = site.times(), site.live.snapshot()
        attention = None
        if order == "attention":
            attention = Attention(site.ranking.now(), cases_of(site.store, [i.id for i in lasting(snapshot)]))
        page = home(site.settings, snapshot, times, time.time_ns(), attention)
        return site.show(request, "home.html", home=page, legend=LEGEND, said=said_words(said))

    @router.get("/incidents")
    def earlier(request: Request) -> Response:
        asked = {name: clean(request.query_params.get(name, "")).strip()[:200] for name in ASKED}
        wanted, problem = wanted_of(asked, request.query_params.get("before", ""), site.settings.zone)
        times = site.times()
        listed = [] if problem else search_incidents(site.store, wanted, PAGE_ROWS + 1)
        shown = listed[:PAGE_ROWS]
        older = f"{shown[-1].opened_ns}-{shown[-1].id}" if len(listed) > PAGE_ROWS else ""
        rows = [incident_row(i, site.settings.experiment, times) for i in shown]
        values = {"rows": rows, "asked": asked, "older": older, "first": "before" not in request.query_params, "problem": problem}
        return site.show(request, "incidents.html", 400 if problem else 200, **values)

    @router.get("/incidents/{incident_id}")
    def incident(request: Request, incident_id: str, said: str = "") -> Response:
        known, times = found(site, incident_id), site.times()
        alike = earlier_like(site.store, known, SIMILAR_SHOWN)
        page = one.incident_page(
            known,
            site.settings.experiment,
            times,
            labels=site.store.labels(known.id),
            told=one.told_entries(deliveries(site.store, known.id), site.settings.clock, times),
            pictures=[
                one.Picture(f"/incidents/{known.id}/pictures/{p.finding}.svg?v={p.version}", p.title) for p in site.pictures.of(known.id)
            ],
            similar=one.similar_rows(known, alike, {other.id: site.store.labels(other.id) for other in alike}, times),
            me=site.me(request),
            chance=_chance(site, known),
        )
        return site.show(request, "incident.html", incident=page, said=said_words(said))


def _chance(site: Site, incident: Incident) -> str:
    """How likely it is real by what people said of others; nothing once somebody has said what it was."""
    standing = site.ranking.now()
    if not standing.acts or incident.merged_into or verdict(incident) is not Verdict.NONE:
        return ""
    case = cases_of(site.store, [incident.id]).get(incident.id)
    return "" if case is None else clean(chance_words(standing, case, labelled_like(site.store, incident.id, case)))


def _add_pictures(router: APIRouter, site: Site) -> None:
    @router.get("/incidents/{incident_id}/pictures/{finding}.svg")
    def picture(request: Request, incident_id: str, finding: str) -> Response:
        return _svg(request, site.pictures.svg(incident_id, finding))

    @router.get("/plans/{key}/picture.svg")
    def gantt(request: Request, key: str) -> Response:
        text = figure_of(site.store, finding_key(key))
        return _svg(request, None if text is None else site.pictures.drawn(text))


def _svg(request: Request, drawn: Drawn | None) -> Response:
    if drawn is None:
        raise HTTPException(404, "There is no such picture.")
    tag = f'"{drawn.version}"'
    headers = {"Content-Security-Policy": PICTURE_POLICY, "ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(drawn.svg, media_type="image/svg+xml", headers=headers)


def _add_others(router: APIRouter, site: Site) -> None:
    @router.get("/sources")
    def sources(request: Request) -> Response:
        snapshot, times, wall_ns = site.live.snapshot(), site.times(), time.time_ns()
        rows = health.source_rows(site.settings, snapshot, times, wall_ns)
        stages = health.stage_rows(snapshot, wall_ns)
        models = shadow.model_rows(snapshot, wall_ns)
        silent = shadow.silent_rows(beside_what_was_sent(site.store, SHADOW_FINDINGS), times)
        labels = ranking.ranking_rows(site.ranking.now(), ranking_versions(site.store), times)
        return site.show(request, "sources.html", sources=rows, stages=stages, models=models, silent=silent, labels=labels)

    @router.get("/plans")
    def plans(request: Request) -> Response:
        times = site.times()
        listed = in_order(site.store.plans(limit=100))
        pictured = {plan.key for plan in listed if figure_of(site.store, finding_key(plan.key)) is not None}
        rows = [plan_row(plan, times, f"/plans/{plan.key}/picture.svg" if plan.key in pictured else "") for plan in listed]
        return site.show(request, "plans.html", plans=rows, optimizer=site.settings.optimizer.cluster)

    @router.get("/runbooks/{name}")
    def one_runbook(request: Request, name: str) -> Response:
        text = runbook(name)
        if text is None:
            raise HTTPException(404, f"There is no runbook named {clean(name)[:80]!r}.")
        return site.show(request, "runbook.html", name=name, text=rendered(text))


def said_words(kind: str) -> str:
    """What was just handed over, "" where nothing was."""
    return SAID_WORDS.get(LabelKind(kind), "") if kind in set(LabelKind) else ""


def wanted_of(asked: dict[str, str], before: str, zone: ZoneInfo) -> tuple[Wanted, str]:
    """What is looked for, and what is wrong with the question ("" for nothing)."""
    try:
        from_ns = _day_ns(asked["from"], zone, 0)
        to_ns = _day_ns(asked["to"], zone, 1)
    except (ValueError, OverflowError):
        return Wanted(), "Dates are written like 2026-11-30."
    opened, _, last_id = before.partition("-")
    place = (int(opened), last_id) if opened.isdecimal() and len(opened) < 20 else None
    return Wanted(tuple(asked["q"].split()), STATES.get(asked["state"], ()), asked["condition"], asked["place"], from_ns, to_ns, place), ""


def _day_ns(text: str, zone: ZoneInfo, days_on: int) -> int | None:
    """Begin of a day of the experiment (or of one after it), in ns. Raises ValueError, OverflowError."""
    if not text:
        return None
    day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=zone) + timedelta(days=days_on)
    return int(day.astimezone(UTC).timestamp()) * S_NS
