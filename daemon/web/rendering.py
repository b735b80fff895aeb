"""Templates, and the files beside them: everything the page needs comes from here, nothing from another host."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from daemon.web.words import number

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file that belongs to the page; `version` changes with it."""

    content: bytes
    media_type: str
    version: str


def static_files() -> dict[str, StaticFile]:
    """The files by name; nothing else can be asked for."""
    found = {}
    for entry in files("daemon.web.static").iterdir():
        suffix = entry.name[entry.name.rfind(".") :]
        if suffix in _TYPES:
            content = entry.read_bytes()
            found[entry.name] = StaticFile(content, _TYPES[suffix], hashlib.sha256(content).hexdigest()[:12])
    return found


class Renderer:
    """Renders templates. Whatever they are given is escaped, and a name that is not there is an error."""

    def __init__(self, static: dict[str, StaticFile]) -> None:
        self._environment = Environment(
            loader=PackageLoader("daemon.web", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters["number"] = number
        self._environment.globals["static"] = {name: f"/static/{name}?v={file.version}" for name, file in static.items()}

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:  # noqa: ANN401 - what a template needs
        """The page. Halves of characters, which no text may hold, become question marks."""
        text = self._environment.get_template(template).render(**values)
        return HTMLResponse(text.encode("utf-8", errors="replace"), status)
