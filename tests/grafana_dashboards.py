"""Folders and dashboards of the Grafana that tests/grafana_server.py serves: the documented checks and status codes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

Answer = dict[str, Any] | list[dict[str, Any]]
UID = re.compile(r"[A-Za-z0-9_-]{1,40}")


class Refusal(Exception):  # noqa: N818 - an answer of the API, not an error of the server
    """An answer other than 200."""

    def __init__(self, code: int, message: str, **more: str) -> None:
        super().__init__(message)
        self.code = code
        self.body = {"message": message, **more}


class Dashboards:
    """Folders and dashboards by uid, each with a version that grows when it is saved."""

    def __init__(self) -> None:
        self.folders: dict[str, dict[str, Any]] = {}
        self.saved: dict[str, dict[str, Any]] = {}
        """Dashboards as GET gives them: `dashboard` and `meta`."""
        self.messages: dict[str, list[str]] = {}
        """What was said with each version, by the dashboard's uid."""
        self.provisioned: set[str] = set()
        self._ids = itertools.count(1)

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Answer:
        """What is answered to a request for a folder or a dashboard. Raises Refusal."""
        routes: dict[tuple[str, str], Callable[..., Answer]] = {
            ("GET", r"/api/folders"): lambda: list(self.folders.values()),
            ("POST", r"/api/folders"): lambda: self._create_folder(_fields(body)),
            ("GET", r"/api/folders/([^/]+)"): self._folder,
            ("PUT", r"/api/folders/([^/]+)"): lambda uid: self._update_folder(self._folder(uid), _fields(body)),
            ("GET", r"/api/dashboards/uid/([^/]+)"): self._dashboard,
            ("POST", r"/api/dashboards/db"): lambda: self._save(_fields(body)),
            ("GET", r"/api/search"): lambda: self._search(query),
        }
        for (wanted, pattern), route in routes.items():
            if wanted == method and (match := re.fullmatch(pattern, path)):
                return route(*match.groups())
        raise Refusal(404, "Not found")

    def _create_folder(self, sent: dict[str, Any]) -> Answer:
        title, number = sent.get("title"), next(self._ids)
        uid = sent.get("uid") or f"folder{number}"
        if not title:
            raise Refusal(400, "folder title cannot be empty")
        if not UID.fullmatch(uid):
            raise Refusal(400, "uid contains illegal characters or is too long")
        if uid in self.folders or uid in self.saved or any(folder["title"] == title for folder in self.folders.values()):
            raise Refusal(409, "a folder with the same name already exists in the current location")
        self.folders[uid] = {"id": number, "uid": uid, "title": title, "url": f"/dashboards/f/{uid}", "version": 1}
        return self.folders[uid]

    def _folder(self, uid: str) -> dict[str, Any]:
        if uid not in self.folders:
            raise Refusal(404, "folder not found")
        return self.folders[uid]

    def _update_folder(self, folder: dict[str, Any], sent: dict[str, Any]) -> Answer:
        if not sent.get("title"):
            raise Refusal(400, "folder title cannot be empty")
        if not sent.get("overwrite") and sent.get("version") != folder["version"]:
            raise Refusal(412, "the folder has been changed by someone else", status="version-mismatch")
        folder.update(title=sent["title"], version=folder["version"] + 1)
        return folder

    def _dashboard(self, uid: str) -> Answer:
        if uid not in self.saved:
            raise Refusal(404, "Dashboard not found")
        return self.saved[uid]

    def _save(self, sent: dict[str, Any]) -> Answer:
        dashboard = sent.get("dashboard")
        if not isinstance(dashboard, dict):
            raise Refusal(400, "bad request data")
        number = dashboard.get("id") or next(self._ids)
        uid = dashboard.get("uid") or f"dashboard{number}"
        self._check(dashboard, uid, sent.get("folderUid") or "")
        before = self.saved.get(uid)
        version = 1
        if before is not None:
            version = before["dashboard"]["version"] + 1
            if not sent.get("overwrite") and dashboard.get("version") != before["dashboard"]["version"]:
                raise Refusal(412, "The dashboard has been changed by someone else", status="version-mismatch")
            number = before["dashboard"]["id"]
        url = f"/d/{uid}/{re.sub(r'[^a-z0-9]+', '-', dashboard['title'].lower())}"
        meta = {"folderUid": sent.get("folderUid") or "", "url": url, "version": version, "provisioned": uid in self.provisioned}
        self.saved[uid] = {"dashboard": {**dashboard, "id": number, "uid": uid, "version": version}, "meta": meta}
        self.messages.setdefault(uid, []).append(sent.get("message") or "")
        return {"id": number, "uid": uid, "url": url, "status": "success", "version": version, "slug": url.rpartition("/")[2]}

    def _check(self, dashboard: dict[str, Any], uid: str, folder: str) -> None:
        if not dashboard.get("title"):
            raise Refusal(400, "Dashboard title cannot be empty", status="empty-name")
        if not UID.fullmatch(uid):
            raise Refusal(400, "uid contains illegal characters or is too long")
        if folder and folder not in self.folders:
            raise Refusal(400, "folder not found")
        if uid in self.provisioned:
            raise Refusal(400, "Cannot save provisioned dashboard")
        known = self.saved.values()
        if dashboard.get("id") and dashboard["id"] not in [found["dashboard"]["id"] for found in known]:
            raise Refusal(404, "Dashboard not found", status="not-found")

    def _search(self, query: dict[str, list[str]]) -> Answer:
        wanted = set(query.get("tag", ()))
        found = [saved["dashboard"] for saved in self.saved.values()]
        rows = [{"uid": d["uid"], "title": d["title"], "type": "dash-db", "tags": d.get("tags", [])} for d in found]
        return [row for row in rows if wanted <= set(row["tags"])]


def _fields(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Refusal(400, "bad request data")
    return body
