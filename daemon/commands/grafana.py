"""`shiftwatch grafana`: the dashboards that come with shiftwatch, put into a Grafana."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaException, GrafanaTimeoutError
from niquests.exceptions import RequestException, Timeout
from pydantic import ValidationError

from daemon.commands.common import MISUSED, Failure, config_option, json_option, print_json, reported
from daemon.notify.building import page_url
from daemon.notify.grafana import GrafanaOptions, connect
from daemon.notify.wording import one_line
from daemon.secret_files import SecretError
from daemon.settings import Settings, load
from daemon.version import VERSION
from dashboards.generated import dashboards

FOLDER_UID = "shiftwatch"
NOT_FOUND, CONFLICT, CHANGED_MEANWHILE = 404, 409, 412
VOLATILE = frozenset({"id", "version"})
"""What Grafana itself writes into a dashboard."""


@click.group()
def grafana() -> None:
    """Dashboards of shiftwatch in Grafana."""


@grafana.command()
@config_option
@click.option("--url", help="Address of Grafana; from [receiver.grafana] by default.")
@click.option("--token-file", type=click.Path(dir_okay=False, path_type=Path), help="File with a service account's token.")
@click.option("--folder", help="Title of the folder; from [receiver.grafana] by default.")
@json_option
@reported
def push(config_path: Path, url: str | None, token_file: Path | None, folder: str | None, *, as_json: bool) -> None:
    """Create the folder and the dashboards, or bring them up to date.

    May be repeated: what is up to date is left alone. What somebody changed in Grafana is overwritten; the version
    history of each dashboard there keeps it.

    Example: shiftwatch grafana push -c shiftwatch.toml
    """
    settings = load(config_path) if config_path.exists() or url is None else None
    options, key = _options(settings, config_path, {"url": url, "token_file": token_file, "folder": folder})
    try:
        api = connect(options, key)
    except SecretError as error:
        raise Failure(str(error), MISUSED) from None
    pushing = Push(api, options.url)
    page = page_url(settings) if settings is not None else ""
    try:
        done = pushing.all(options.folder, page)
    finally:
        api.client.s.close()
    for line in done:
        print_json(line) if as_json else click.echo(f"{line['outcome']:<10}{line['url']}")


class Push:
    """What is asked of one Grafana. Raises Failure, in words of our own and without a secret."""

    def __init__(self, api: GrafanaApi, url: str) -> None:
        self._api: Any = api  # its methods have no annotations
        self._url = url

    def all(self, title: str, page: str) -> list[dict[str, str]]:
        """Folder, then dashboards; for each dashboard its uid, its address, and whether it was created, updated or unchanged.

        page: address of shiftwatch's own page, to which their lists of incidents link; "" leaves the one on this machine.
        """
        folder = self._folder(title)
        return [self._dashboard(_linked(dashboard, page), folder) for dashboard in dashboards()]

    def _folder(self, title: str) -> str:
        """The folder's uid. One that is there under its title is used as it is."""
        found = self._ask(lambda: self._api.folder.get_folder(FOLDER_UID), NOT_FOUND)
        if found is None:
            made = self._ask(lambda: self._api.folder.create_folder(title, FOLDER_UID), CONFLICT, CHANGED_MEANWHILE)
            return str(made["uid"]) if made is not None else self._titled(title)
        if found["title"] != title:
            self._rename(found, title)
        return FOLDER_UID

    def _rename(self, found: dict[str, Any], title: str) -> None:
        renamed = self._ask(
            lambda: self._api.folder.update_folder(FOLDER_UID, title=title, version=found.get("version")), CHANGED_MEANWHILE
        )
        if renamed is None:  # somebody changed it in between; the title is what counts
            self._ask(lambda: self._api.folder.update_folder(FOLDER_UID, title=title, overwrite=True))

    def _titled(self, title: str) -> str:
        for folder in self._ask(self._api.folder.get_all_folders):
            if folder["title"] == title:
                return str(folder["uid"])
        raise Failure(f"{self._url}: the folder {title!r} can neither be made nor found")

    def _dashboard(self, wanted: dict[str, Any], folder: str) -> dict[str, str]:
        uid = wanted["uid"]
        known = self._ask(lambda: self._api.dashboard.get_dashboard(uid), NOT_FOUND)
        outcome = "created" if known is None else "updated"
        if known is not None:
            if known["meta"].get("provisioned"):
                raise Failure(f"{self._url}: the dashboard {uid} is provisioned from a file there; it is changed in that file only")
            if known["meta"].get("folderUid") == folder and _content(known["dashboard"]) == _content(wanted):
                outcome = "unchanged"
        if outcome != "unchanged":
            sent = {"dashboard": {**wanted, "id": None}, "folderUid": folder, "overwrite": True, "message": f"shiftwatch {VERSION}"}
            self._ask(lambda: self._api.dashboard.update_dashboard(sent))
        return {"uid": uid, "outcome": outcome, "url": f"{self._url}/d/{uid}"}

    def _ask(self, request: Callable[[], Any], *expected: int) -> Any:  # noqa: ANN401 - decoded JSON
        """What Grafana answers, None for an expected refusal."""
        try:
            return request()
        except (GrafanaTimeoutError, Timeout):
            raise Failure(f"{self._url}: no answer in time") from None
        except GrafanaException as error:
            if error.status_code in expected:
                return None
            raise Failure(f"{self._url}: HTTP status {error.status_code}{_reason(error.response)}") from None
        except RequestException as error:
            raise Failure(f"{self._url}: no connection ({type(error).__name__})") from None
        except json.JSONDecodeError:
            raise Failure(f"{self._url}: its answer is not JSON") from None


def _options(settings: Settings | None, config_path: Path, given: dict[str, Any]) -> tuple[GrafanaOptions, str]:
    """Options of the receiver as configured, with those of the command line before them; and where they stand."""
    given = {name: value for name, value in given.items() if value is not None}
    configured: dict[str, Any] = {}
    key = "receiver.grafana"
    if settings is not None:
        for name, section in settings.receiver.items():
            if isinstance(section.options, GrafanaOptions):
                configured, key = section.options.model_dump(), f"receiver.{name}"
                break
        else:
            if "url" not in given:
                raise Failure(f"{config_path} has no [receiver.grafana]: name Grafana with --url and --token-file", MISUSED)
    if "url" in given and given["url"] != configured.get("url"):
        configured.pop("token_file", None)  # a token is not sent to another server than the one that it was made for
    try:
        return GrafanaOptions.model_validate({**configured, **given}), key
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        raise Failure(f"{'.'.join(str(step) for step in problem['loc'])}: {problem['msg']}", MISUSED) from None


def _linked(dashboard: dict[str, Any], page: str) -> dict[str, Any]:
    for variable in dashboard["templating"]["list"]:
        if variable["name"] == "page" and page:
            variable.update(query=page, current={"text": page, "value": page, "selected": True})
    return dashboard


def _content(dashboard: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in dashboard.items() if name not in VOLATILE}


def _reason(response: object) -> str:
    """The message of an error as Grafana gives it; nothing of other answers, such as a proxy's page."""
    message = response.get("message") if isinstance(response, dict) else None
    return f": {one_line(message, 200)}" if isinstance(message, str) else ""
