"""What people say of an incident, by a form: works without a script, and asks back for what is missing."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from daemon.records import LabelKind
from daemon.web.labelling import (
    COOKIE_AGE_S,
    MAX_COMMENT_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_SILENCE_HOURS,
    NAME_COOKIE,
    TOKEN_COOKIE,
    name_cookie,
    tidy,
)
from daemon.web.pages import SAID_WORDS, found
from daemon.web.site import Site
from daemon.web.words import clean

PATIENCE_S = 1.5
"""How long an answer waits for the daemon to have taken a label in: then the page it leads to shows it."""
Name = Annotated[str, Form(max_length=MAX_NAME_CHARACTERS)]
Comment = Annotated[str, Form(max_length=MAX_COMMENT_CHARACTERS)]
Hours = Annotated[float, Form(ge=0, le=MAX_SILENCE_HOURS, allow_inf_nan=False)]


def routes(site: Site) -> APIRouter:
    """The one route."""
    router = APIRouter(include_in_schema=False)

    @router.post("/incidents/{incident_id}/labels")
    def say(
        request: Request,
        incident_id: str,
        kind: Annotated[LabelKind, Form()],
        who: Name = "",
        comment: Comment = "",
        hours: Hours = 1.0,
        token: Annotated[str, Form(max_length=1000)] = "",
        back: Annotated[Literal["home", "attention", "incident"], Form()] = "incident",
    ) -> Response:
        incident = found(site, incident_id)
        name = site.admission.name(request.headers, request.cookies, who)
        allowed = site.admission.may_write(request.cookies, token)
        if not name or not allowed:
            fields = {"kind": str(kind), "comment": comment, "hours": f"{hours:g}", "back": back}
            values = {"incident": incident, "sentence": clean(incident.sentence), "fields": fields, "what": SAID_WORDS[kind], "typed": name}
            return site.show(request, "who.html", 403 if name or token else 422, refused=bool(token) and not allowed, **values)
        site.desk.say(incident, kind, name, tidy(comment, MAX_COMMENT_CHARACTERS), hours)
        seen = site.live.wait_for(incident.id, incident.revision, PATIENCE_S)
        where = {"home": "/", "attention": "/?order=attention"}.get(back, f"/incidents/{incident.id}")
        said = f"{'&' if '?' in where else '?'}said={kind}"
        answer = RedirectResponse(where if seen else f"{where}{said}", status_code=303)
        _remember(answer, site, request, name, token=token)
        return answer

    return router


def _remember(answer: Response, site: Site, request: Request, name: str, *, token: str) -> None:
    """The name, and that the token was shown; scripts cannot read either."""
    secure = request.url.scheme == "https" or urlsplit(site.settings.web.public_url).scheme == "https"
    kept = {} if site.admission.names_come_from_proxy else {NAME_COOKIE: name_cookie(name)}
    if site.admission.needs_token and token:
        kept[TOKEN_COOKIE] = site.admission.proof()
    for key, value in kept.items():
        answer.set_cookie(key, value, max_age=COOKIE_AGE_S, httponly=True, samesite="lax", secure=secure)
