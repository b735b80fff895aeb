"""The same as JSON, for scripts: incidents, sources, plans. Fields are those of `--json` on the command line."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from daemon.messages import FindingReport
from daemon.records import IncidentState, iso
from daemon.store.search import Wanted, search_incidents
from daemon.web.pages import found
from daemon.web.site import Site
from daemon.web.views import sources as health

STATES: dict[str, tuple[IncidentState, ...]] = {
    "all": (),
    "lasting": (IncidentState.OPEN, IncidentState.ACKNOWLEDGED),
    **{str(state): (state,) for state in IncidentState},
}
State = Literal["all", "lasting", "open", "acknowledged", "resolved"]


def routes(site: Site) -> APIRouter:
    """All of them, below /api."""
    router = APIRouter(prefix="/api", tags=["shiftwatch"])

    @router.get("/incidents")
    def incidents(state: State = "all", q: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[dict[str, Any]]:
        """Incidents, the newest first."""
        wanted = Wanted(words=tuple(q.split()), states=STATES[state])
        return [incident.as_json() for incident in search_incidents(site.store, wanted, limit)]

    @router.get("/incidents/{incident_id}")
    def incident(incident_id: str) -> dict[str, Any]:
        """One incident, with its timeline."""
        known = found(site, incident_id)
        timeline = [{"time": iso(entry.time_ns), "who": entry.who, "what": entry.what} for entry in known.timeline]
        return {**known.as_json(), "revision": known.revision, "merged_into": known.merged_into, "timeline": timeline}

    @router.get("/unsure")
    def unsure() -> list[dict[str, Any]]:
        """Findings that last and open no incident because nobody can be sure of them."""
        return [_finding(report) for report in site.live.snapshot().unsure]

    @router.get("/sources")
    def sources() -> dict[str, Any]:
        """Sources with their state; `stale` says why all of this may be out of date."""
        snapshot, wall_ns = site.live.snapshot(), time.time_ns()
        rows = health.source_rows(site.settings, snapshot, site.times(), wall_ns)
        return {
            "stale": list(health.staleness(snapshot, wall_ns)),
            "sources": [
                {
                    "source": row.name,
                    "state": row.word,
                    "newest": iso(row.newest_ns) if row.newest_ns else None,
                    "rows": row.rows,
                    "findings": row.findings,
                    "problem": row.problem,
                }
                for row in rows
            ],
        }

    @router.get("/plans")
    def plans() -> list[dict[str, Any]]:
        """Plans of the optimizer, the newest first."""
        return [plan.as_json() for plan in reversed(site.store.plans(limit=100))]

    return router


def _finding(report: FindingReport) -> dict[str, Any]:
    finding = report.finding
    return {
        "finding": finding.key,
        "source": finding.source,
        "place": finding.unit.place,
        "condition": finding.unit.condition,
        "summary": finding.evidence.summary,
        "reason": finding.reason,
        "since": iso(finding.since_ns),
    }
