"""`shiftwatch train`: what was learned is said, incidents are left out, and the better model comes into use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from daemon.records import LabelKind
from daemon.train.outcome import Outcome, Request
from daemon.training import train_all
from daemon.training_rows import TrainingRows, joined
from detectors.model_store import Manifest, Model, ModelName, ModelStore
from tests.daemon.historic import LAYOUT, frame
from tests.daemon.history.test_history_stage import WIDER
from tests.daemon.modelling import START_NS, STEP_NS, Site, normal

NAME = ModelName("table", "robust_z")


def trained(site: Site, **request: object) -> Outcome:
    (only,) = train_all(site.settings, Request(**request))  # type: ignore[arg-type]
    return only


def test_the_command_says_what_was_learned(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.record(normal(1200))
    done = site.run("train")
    assert done.exit_code == 0, done.output
    assert "table/robust_z version 1: in use, the first model" in done.output
    assert "learned from 720 rows, held back 480" in done.output
    assert "faults put in, told apart" in done.output
    assert "score against hour of day" in done.output
    assert "false alarms, realised/promised" in done.output
    again = site.run("train", "--json")
    assert again.exit_code == 0, again.output
    said = json.loads(again.output.splitlines()[0])
    assert (said["state"], said["version"]) == ("kept_out", 2), "the same data make no better model"
    assert said["before"].keys() == said["figures"].keys()
    assert ModelStore(site.settings.models.path).ledger(NAME).current == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("train", "nowhere"), "no source 'nowhere'; there are table"),
        (("train", "table", "vae"), "nothing to train in table/vae"),
        (("train", "--from", "yesterday"), "--from 'yesterday': a time is written like"),
    ],
)
def test_what_cannot_be_trained_is_said(tmp_path: Path, command: tuple[str, ...], words: str) -> None:
    site = Site(tmp_path)
    site.record(normal(300))
    done = site.run(*command)
    assert done.exit_code in (1, 2)
    assert words in done.output


def test_too_few_rows(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.record(normal(10))
    outcome = trained(site)
    assert outcome.state == "failed"
    assert "10 normal rows, robust_z needs" in outcome.why


def test_no_rows_at_all(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.record(normal(300))
    outcome = trained(site, from_ns=START_NS + 10_000 * STEP_NS)
    assert (outcome.state, "no rows" in outcome.why) == ("failed", True)


def test_incidents_are_left_out_unless_they_were_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.record(normal(1000))
    site.incident(100, 299)
    site.incident(400, 499, LabelKind.REAL)
    site.incident(600, 699, LabelKind.NOT_A_PROBLEM)
    site.incident(800, 899, place="LAB/disks/sda")
    (rows,) = TrainingRows(site.settings, None, None).of("table")
    left_out = np.flatnonzero(~rows.normal)
    assert left_out.tolist() == [*range(100, 300), *range(400, 500)]
    assert np.flatnonzero(rows.real).tolist() == list(range(400, 500))
    outcome = trained(site)
    assert outcome.rows + outcome.held_back_rows == 700
    assert "30% of the rows were left out" in " ".join(outcome.report)


def test_an_incident_is_not_learned_as_normal(tmp_path: Path) -> None:
    values = normal(1000)
    values[300:500, 0] += 50.0
    site = Site(tmp_path)
    site.record(values)
    poisoned = trained(site)
    site.incident(300, 499, LabelKind.REAL)
    clean = trained(site)
    assert clean.figures["separation"] > poisoned.figures["separation"]
    assert poisoned.state == "in_use", "it is the first one"
    assert "20% of the rows were left out" in " ".join(clean.report)


def test_a_worse_model_does_not_replace_the_old_one(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.record(normal(1000))
    assert trained(site).state == "in_use"
    values = normal(2000)
    values[1000:1600, :] += np.random.default_rng(3).normal(scale=40.0, size=(600, 4))  # nobody has seen the incident
    site.record(values)
    outcome = trained(site, from_ns=START_NS + 1000 * STEP_NS)
    assert outcome.state == "kept_out", outcome
    assert "separation" in outcome.why
    store = ModelStore(site.settings.models.path)
    assert store.ledger(NAME).current == 1
    assert store.versions(NAME) == [1, 2], "it stays to be looked at"
    listed = site.run("models", "list").output.splitlines()
    assert "in use" in listed[0]
    assert "kept out" in listed[1]
    assert f"({outcome.why})" in listed[1]


def test_a_model_of_other_options_is_replaced(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.record(normal(1000))
    trained(site)
    site.config.write_text(site.config.read_text() + "\n[detector.robust_z]\ntop = 2\n")
    outcome = trained(site)
    assert outcome.state == "in_use"
    assert "version 1 could not be used: it was trained with other options" in outcome.why


def test_a_damaged_model_is_replaced_and_named(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.record(normal(1000))
    trained(site)
    (tmp_path / "models/table/robust_z/000001/model.npz").write_bytes(b"rubbish")
    outcome = trained(site)
    assert outcome.state == "in_use"
    assert "000001/model.npz: damaged" in outcome.why


def test_with_a_time_in_shadow_the_new_model_waits(tmp_path: Path) -> None:
    site = Site(tmp_path, learning="shadow_h = 24")
    site.record(normal(1000))
    assert trained(site).state == "shadow"
    ledger = ModelStore(site.settings.models.path).ledger(NAME)
    assert (ledger.current, ledger.shadow) == (0, 1)
    assert ledger.shadow_until_ns == START_NS + 999 * STEP_NS + 24 * 3_600_000_000_000


def test_rows_of_an_earlier_layout_are_used_by_key() -> None:
    whole = joined([frame(0, 3, LAYOUT), frame(3, 2, WIDER)])
    assert whole.layout == WIDER
    assert len(whole) == 5
    new = whole.layout.position("new")
    assert np.isnan(whole.values[:3, new]).all()
    np.testing.assert_array_equal(whole.values[:3, :new], frame(0, 3, LAYOUT).values)


def test_one_model_that_cannot_be_trained_does_not_keep_the_others_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, extra='[detector.robust_z]\n[source.other]\ncollector = "table"\n'
                f'files = "{tmp_path}/table.csv"\nplace = "LAB/other"\ndetectors = ["robust_z"]\n')  # fmt: skip
    site.record(normal(1000))
    put = ModelStore.put

    def failing(self: ModelStore, model: Model) -> Manifest:
        if model.manifest.stream == "table":
            raise MemoryError("Unable to allocate 9 GiB")
        return put(self, model)

    monkeypatch.setattr(ModelStore, "put", failing)
    first, second = train_all(site.settings, Request())
    assert (first.state, first.why) == ("failed", "MemoryError: Unable to allocate 9 GiB")
    assert (second.stream, second.state) == ("other", "in_use")


def test_a_damaged_ledger_fails_that_model_and_says_what_to_do(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.record(normal(1000))
    trained(site)
    (site.settings.models.path / "table" / "robust_z" / "ledger.json").write_text("rubbish")
    outcome = trained(site)
    assert outcome.state == "failed"
    assert "ledger.json: not JSON" in outcome.why


def test_what_was_left_out_is_said_where_too_few_rows_remain(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.record(normal(1000))
    site.incident(20, 999)
    assert trained(site).why == "20 normal rows, robust_z needs 60 (left out: 980 in incidents)"


def test_what_is_wrong_is_said_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.record(normal(300))
    done = subprocess.run(
        [sys.executable, "-m", "daemon", "train", "nowhere", "-c", str(site.config)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("", "shiftwatch: no source 'nowhere'; there are table\n")


def test_a_newer_model_does_not_push_one_out_of_shadow_that_is_as_good(tmp_path: Path) -> None:
    """Trained daily with two days in shadow, no model would ever come into use."""
    site = Site(tmp_path, learning="shadow_h = 48")
    site.record(normal(1200))
    assert trained(site).state == "shadow"
    again = trained(site)
    assert again.state == "kept_out"
    assert again.why.startswith("version 1, which is in shadow, is at least as good: no better than")
    assert ModelStore(site.settings.models.path).ledger(NAME).shadow == 1


def test_compared_on_rows_that_neither_has_learned_from(tmp_path: Path) -> None:
    """The one in use has learned from most of the rows that the new one holds back."""
    site = Site(tmp_path)
    site.record(normal(3000))
    assert trained(site).state == "in_use"
    second = trained(site, to_ns=START_NS + 2000 * STEP_NS)
    assert second.why.endswith("; version 1 had learned from 600 of these rows"), "200 others are too few"
    site.record(normal(6000))
    third = trained(site, to_ns=START_NS + 3500 * STEP_NS)
    assert "had learned" not in third.why
    assert third.held_back_rows == 1400
    assert third.before
