"""`shiftwatch models`: list, show, roll back, promote."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.train.outcome import Request
from daemon.training import train_all
from detectors.model_store import ModelName, ModelStore
from tests.daemon.modelling import Site, normal

NAME = ModelName("table", "robust_z")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """With two versions, the first in use."""
    made = Site(tmp_path)
    made.record(normal(800))
    for _ in range(2):
        list(train_all(made.settings, Request()))
    return made


def test_list(site: Site) -> None:
    said = [json.loads(line) for line in site.run("models", "list", "--json").output.splitlines()]
    assert [(entry["version"], entry["state"]) for entry in said] == [(1, "in use"), (2, "kept out")]
    assert said[0]["name"] == "table/robust_z"
    assert said[0]["rows"] + said[0]["held_back_rows"] == 800


def test_list_names_a_damaged_one(site: Site) -> None:
    (site.folder / "models/table/robust_z/000002/manifest.json").write_text("{}")
    done = site.run("models", "list")
    assert done.exit_code == 0
    assert "000002/manifest.json: format None" in done.output


def test_list_names_a_damaged_ledger_and_shows_the_other_models(site: Site) -> None:
    shutil.copytree(site.folder / "models/table/robust_z", site.folder / "models/table/other")
    for manifest in site.folder.glob("models/table/other/*/manifest.json"):
        manifest.write_text(manifest.read_text().replace('"detector": "robust_z"', '"detector": "other"'))
    (site.folder / "models/table/other/ledger.json").write_text("rubbish")
    done = site.run("models", "list")
    assert done.exit_code == 0
    assert "table/other/ledger.json: not JSON" in done.output
    assert "table/robust_z" in done.output
    said = [json.loads(line) for line in site.run("models", "list", "--json").output.splitlines()]
    assert [entry["name"] for entry in said] == ["table/other", "table/robust_z", "table/robust_z"]
    assert "error" in said[0]


def test_nothing_to_list(tmp_path: Path) -> None:
    assert "No models in" in Site(tmp_path).run("models", "list").output


def test_show(site: Site) -> None:
    said = site.run("models", "show", "robust_z").output
    assert "table/robust_z version 1: in use, the first model" in said
    assert "4 columns" in said
    assert "version 2 kept out: no better than the one in use" in said
    other = site.run("models", "show", "table/robust_z", "--version", "2").output
    assert "version 2: kept out" in other


def test_show_says_when_the_configuration_has_changed(site: Site) -> None:
    site.config.write_text(site.config.read_text() + "\n[detector.robust_z]\ntop = 2\n")
    assert "not usable: it was trained with other options" in site.run("models", "show", "robust_z").output


def test_promote_and_roll_back(site: Site) -> None:
    done = site.run("models", "promote", "table/robust_z", "--version", "2")
    assert done.exit_code == 0, done.output
    store = ModelStore(site.settings.models.path)
    assert store.ledger(NAME).current == 2
    assert "rolled back from version 2 to 1" in site.run("models", "roll-back", "robust_z").output
    assert store.ledger(NAME).current == 1
    assert "what is learned while watching" in site.run("models", "roll-back", "robust_z").output
    done = site.run("models", "roll-back", "robust_z")
    assert done.exit_code == 1
    assert "no version was in use before" in done.output


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("models", "show", "nothing"), "no model 'nothing'; there are table/robust_z"),
        (("models", "promote", "robust_z"), "nothing of it is in shadow"),
        (("models", "promote", "robust_z", "--version", "9"), "no version 9; there are 1, 2"),
        (("models", "roll-back", "robust_z", "--to", "7"), "no version 7"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(site: Site, command: tuple[str, ...], words: str) -> None:
    before = ModelStore(site.settings.models.path).ledger(NAME)
    done = site.run(*command)
    assert done.exit_code in (1, 2)
    assert words in done.output
    assert ModelStore(site.settings.models.path).ledger(NAME) == before


def test_a_detector_in_shadow_is_promoted_without_any_model(tmp_path: Path) -> None:
    site = Site(tmp_path, extra="[detector.robust_z]\nshadow = true\n")
    done = site.run("models", "promote", "robust_z")
    assert done.exit_code == 0, done.output
    assert "detector promoted" in done.output
    assert ModelStore(site.settings.models.path).ledger(NAME).promoted
    assert site.run("models", "promote", "robust_z").exit_code == 2


def test_all_streams_of_a_source_are_meant_by_its_name(site: Site) -> None:
    store = ModelStore(site.settings.models.path)
    part = ModelName("table#p1", "robust_z")
    for version in (1, 2):
        model = store.load(NAME, version)
        store.put(replace(model, manifest=replace(model.manifest, stream=part.stream)))
    done = site.run("models", "promote", "table/robust_z", "--version", "2")
    assert done.exit_code == 0, done.output
    assert (store.ledger(NAME).current, store.ledger(part).current) == (2, 2)
    shown = site.run("models", "show", "robust_z")
    assert shown.exit_code == 2
    assert "several models 'robust_z'; there are table#p1/robust_z, table/robust_z" in shown.output
    assert site.run("models", "roll-back", "table#p1/robust_z").exit_code == 0
    assert (store.ledger(NAME).current, store.ledger(part).current) == (2, 0)


def test_nothing_in_shadow(site: Site) -> None:
    assert "Nothing in shadow has found anything." in site.run("models", "shadow").output
