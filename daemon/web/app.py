"""The application: routes, files, errors, and the guard before all of them."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from daemon.bus.bus import BusError
from daemon.store.engine import StoreError
from daemon.version import VERSION
from daemon.web import api, events, ingest, pages, posting
from daemon.web.guard import Guard, allowed_hosts
from daemon.web.site import Site
from detectors.figure import FigureError

log = logging.getLogger(__name__)

TITLES = {
    400: "This cannot be looked for",
    403: "Not allowed",
    404: "Not here",
    405: "Not possible here",
    422: "What was sent does not fit",
    503: "Not possible just now",
}


def create_app(site: Site) -> FastAPI:
    """The page and its JSON interface."""
    app = FastAPI(title="shiftwatch", version=VERSION, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    for router in (pages.routes(site), posting.routes(site), ingest.routes(site), api.routes(site), events.routes(site)):
        app.include_router(router)
    _add_files(app, site)
    _add_errors(app, site)
    web = site.settings.web
    app.add_middleware(
        Guard, hosts=allowed_hosts(web.host, web.public_url), public=urlsplit(web.public_url).netloc, by_token=frozenset({ingest.PATH})
    )
    return app


def _add_files(app: FastAPI, site: Site) -> None:
    @app.get("/static/{name}", include_in_schema=False)
    def static(request: Request, name: str) -> Response:
        file = site.static.get(name)
        if file is None:
            raise HTTPException(404, "There is no such file.")
        current = request.query_params.get("v") == file.version
        keep = "public, max-age=31536000, immutable" if current else "no-cache"
        return Response(file.content, media_type=file.media_type, headers={"Cache-Control": keep})


def _add_errors(app: FastAPI, site: Site) -> None:
    def answer(request: Request, status: int, sentence: str) -> Response:
        if request.url.path.startswith("/api/") or request.url.path == ingest.PATH:
            return JSONResponse({"error": sentence}, status)
        return site.show(request, "error.html", status, title=TITLES.get(status, f"Error {status}"), sentence=sentence)

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> Response:
        default = {404: "There is no such page.", 405: "This address takes no such request."}
        said = error.detail if error.detail not in ("Not Found", "Method Not Allowed") else default[error.status_code]
        return answer(request, error.status_code, said)

    @app.exception_handler(RequestValidationError)
    def unfit(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return answer(request, 422, f"{'.'.join(str(step) for step in first['loc'][1:])}: {first['msg']}.")

    @app.exception_handler(FigureError)
    def no_figure(request: Request, error: FigureError) -> Response:
        return answer(request, 404, f"The picture cannot be read: {error}.")

    @app.exception_handler(SQLAlchemyError)
    @app.exception_handler(StoreError)
    def no_database(request: Request, error: Exception) -> Response:
        log.error("page without database path=%s reason=%s", request.url.path, type(error).__name__)
        return answer(request, 503, "The database cannot be reached. What is wrong now is still shown on the first page.")

    @app.exception_handler(BusError)
    def no_bus(request: Request, error: BusError) -> Response:
        log.error("label not handed over reason=%r", str(error))
        return answer(request, 503, "The bus cannot be reached, so this could not be handed over. Nothing was noted: please try again.")
