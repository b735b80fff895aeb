"""What the commands say of labels: training, the list of incidents by attention, the list of models, the status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.commands.status import screen
from daemon.ranking.learning import learn_from_labels
from daemon.store.store import Store
from detectors.finding import Severity
from tests.daemon.modelling import Site, normal
from tests.daemon.ranking.labelling import HV, PUMP, case, label, labelled, pumps_and_voltages, put

NEW = 1000


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def store(site: Site) -> Iterator[Store]:
    opened = Store(site.settings.store.resolve())
    yield opened
    opened.close()


def first_ids(output: str, count: int) -> list[str]:
    return [json.loads(line)["id"] for line in output.splitlines()[:count]]


def test_training_from_labels_alone(site: Site, store: Store) -> None:
    none = site.run("train", "--labels")
    assert none.exit_code == 0, none.output
    assert "incidents/ranking: not used: nobody has called an incident real or not a problem yet" in none.output
    labelled(store, 120)
    done = site.run("train", "--labels")
    assert done.exit_code == 0, done.output
    assert "incidents/ranking version 1: used: real ones before others in " in done.output
    said = json.loads(site.run("train", "--labels", "--json").output)
    assert (said["stream"], said["detector"], said["state"], said["version"], said["rows"]) == ("incidents", "ranking", "in_use", 1, 120)


def test_too_few_labels_are_no_failure(site: Site, store: Store) -> None:
    labelled(store, 12)
    done = site.run("train", "--labels")
    assert done.exit_code == 0, done.output
    assert "incidents/ranking version 1: not used: 12 labels, " in done.output


@pytest.mark.parametrize("more", [["table"], ["--from", "2026-01-01"], ["--to", "2026-01-01"]])
def test_labels_are_all_taken(site: Site, more: list[str]) -> None:
    done = site.run("train", "--labels", *more)
    assert done.exit_code == 2
    assert "--labels takes all labels" in done.output


def test_training_of_all_takes_the_labels_too_and_that_of_one_source_does_not(site: Site, store: Store) -> None:
    site.record(normal(400))
    labelled(store, 120)
    names = [(said["stream"], said["detector"]) for said in map(json.loads, site.run("train", "--json").output.splitlines())]
    assert names == [("incidents", "ranking"), ("table", "robust_z")]
    names = [(said["stream"], said["detector"]) for said in map(json.loads, site.run("train", "table", "--json").output.splitlines())]
    assert names == [("table", "robust_z")]


def test_where_only_rules_judge_labels_are_enough(site: Site, store: Store) -> None:
    site.config.write_text(site.config.read_text().replace('detectors = ["robust_z"]', ""))
    nothing = site.run("train")
    assert nothing.exit_code == 1
    assert "nothing to train" in nothing.output
    labelled(store, 120)
    done = site.run("train")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("incidents/ranking version 1: used: ")


def test_incidents_by_attention(site: Site, store: Store) -> None:
    cases = labelled(store, 120)
    learn_from_labels(store)
    put(store, [case(NEW, HV), case(NEW + 1, PUMP), replace(case(NEW + 2, PUMP), severity=Severity.CRITICAL)])
    by_time = site.run("incidents", "--limit", "3", "--json").output
    assert first_ids(by_time, 3) == ["i1000", "i1001", "i1002"]
    assert "real_percent" not in by_time
    ordered = site.run("incidents", "--limit", "3", "--json", "--order", "attention").output
    assert first_ids(ordered, 3) == ["i1002", "i1000", "i1001"], "what is critical stays first"
    percent = [json.loads(line)["real_percent"] for line in ordered.splitlines()]
    assert percent[1] > 60
    assert percent[2] < 40
    read = site.run("incidents", "--limit", "3", "--order", "attention").output
    assert f"Labels: {percent[1]} % likely real" in read
    assert read.splitlines()[-1].startswith("By attention; labels used: real ones before others in ")
    everything = site.run("incidents", "--limit", "1000", "--json", "--order", "attention").output
    assert len(everything.splitlines()) == len(cases) + 3, "nothing is hidden"


def test_incidents_by_attention_without_labels(site: Site, store: Store) -> None:
    assert site.run("incidents", "--order", "attention").output == "No incidents.\n"
    put(store, [case(1, probability=1e-4), case(2, probability=1e-9)])
    assert first_ids(site.run("incidents", "--order", "attention", "--json").output, 2) == ["i2", "i1"]
    read = site.run("incidents", "--order", "attention").output
    assert "likely real" not in read
    assert read.splitlines()[-1] == "By attention; labels not used: nothing was learned from labels yet"


def test_models_list_what_was_learned_from_labels(site: Site, store: Store) -> None:
    cases = labelled(store, 12)
    learn_from_labels(store)
    more = pumps_and_voltages(108, len(cases))
    put(store, more)
    label(store, more)
    learn_from_labels(store)
    lines = site.run("models", "list").output.splitlines()
    assert [line.split()[:2] for line in lines] == [["incidents/ranking", "1"], ["incidents/ranking", "2"]]
    assert "kept out" in lines[0]
    assert "in use" in lines[1]
    assert "120 labels  (used: " in lines[1]
    put(store, pumps_and_voltages(100, NEW, duration_s=1e6))
    said = [json.loads(line) for line in site.run("models", "list", "--json").output.splitlines()]
    assert [(one["version"], one["state"]) for one in said] == [(1, "kept out"), (2, "kept out")]
    assert said[1]["why"].startswith("not used now: recent findings differ in duration")


def test_the_status_says_whether_labels_are_used_on_lines_that_fit() -> None:
    why = "used: real ones before others in 91 % of pairs, by tail probability in 78 %, on 24 later labels"
    stage = {"state": "running", "failures": 0, "error": ""}
    stages = [{"stage": "detect", **stage}, {"stage": "web", "labels": why, **stage}]
    found = {"version": "1", "uptime_s": 5, "budget_per_day": 1, "stages": stages}
    lines = screen(found)
    assert all(len(line) <= 80 for line in lines)
    assert f"labels {why}" in " ".join(lines)
    stages[1].pop("labels")
    assert "labels" not in "".join(screen(found))
