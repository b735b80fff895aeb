"""Suites: every layout that the public comes with, broken items, and figures that are right on data that are easy."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detectors.evaluation import runner, trial
from detectors.evaluation.host_suite import HostSuite
from detectors.evaluation.suite import SuiteError, load_suite, suite_names
from tests.detectors import evaluation_data as made

QUICK = ("random", "windowed_pca")
LAYOUTS = {
    "npz": ("smd", "machine-1-{}", made.write_npz),
    "npz below the folder of the suite": ("smd", "machine-1-{}", lambda folder, name, seed: made.write_npz(folder / "smd", name, seed)),
    "text": ("smd", "machine-1-{}", lambda folder, name, seed: made.write_text(folder / "ServerMachineDataset", name, seed)),
    "pickles": ("asd", "omi-{}", made.write_pickles),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_figures(layout: str, tmp_path: Path) -> None:
    name, item, write = LAYOUTS[layout]
    write(tmp_path, item.format(1), 1)
    made.write_npz(tmp_path / "reference", item.format(1), 1)
    suite = load_suite(name)
    assert suite.items(tmp_path) == (item.format(1),)
    found = [runner.evaluate(suite, folder, ("windowed_pca",), processes=1) for folder in (tmp_path, tmp_path / "reference")]
    means = [report.summaries["windowed_pca"].mean for report in found]
    assert means[0] == pytest.approx(means[1], abs=1e-3, nan_ok=True)
    assert means[0]["vus_pr"] > 0.8
    assert means[0]["event_recall"] == 1.0


def test_a_good_detector_is_told_from_chance(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        made.write_npz(tmp_path, f"machine-1-{number}", number)
    report = runner.evaluate(load_suite("smd"), tmp_path, QUICK, processes=1)
    good, chance = (report.summaries[name] for name in ("windowed_pca", "random"))
    assert list(good.items) == ["machine-1-1", "machine-1-2", "machine-1-10"]
    assert good.mean["vus_pr"] > 0.8
    assert chance.mean["vus_pr"] < 0.2
    assert good.mean["top1"] >= 0.8
    assert math.isnan(chance.mean["top1"]) or chance.mean["top1"] < good.mean["top1"]
    assert 0.4 < chance.mean["auc"] < 0.6 < good.mean["auc"]
    assert report.gains["windowed_pca"].low > 0
    assert report.intervals["windowed_pca"][0] <= good.mean["vus_pr"] <= report.intervals["windowed_pca"][1]


def test_processes_and_seeds_change_nothing_that_they_should_not(tmp_path: Path) -> None:
    for number in (1, 2):
        made.write_npz(tmp_path, f"omi-{number}", number)
    suite = load_suite("asd")
    alone = runner.evaluate(suite, tmp_path, QUICK, seed=7, processes=1)
    both = runner.evaluate(suite, tmp_path, QUICK, seed=7, processes=2)
    other = runner.evaluate(suite, tmp_path, QUICK, seed=8, processes=1)
    assert repr(alone.summaries) == repr(both.summaries)
    assert alone.summaries["random"].mean["vus_pr"] != other.summaries["random"].mean["vus_pr"]
    assert alone.version == both.version


def test_the_version_tells_other_data(tmp_path: Path) -> None:
    made.write_npz(tmp_path, "omi-1", 1)
    before = load_suite("asd").version(tmp_path)
    made.write_npz(tmp_path, "omi-1", 2)
    assert load_suite("asd").version(tmp_path) != before


def shorter_labels(folder: Path) -> None:
    made.save(folder / "omi-1.npz", {**made.host(1), "test_label": np.zeros(10)})


def other_channels(folder: Path) -> None:
    made.save(folder / "omi-1.npz", {**made.host(1), "train": made.host(1)["train"][:, :2]})


def not_an_archive(folder: Path) -> None:
    (folder / "omi-1.npz").write_bytes(b"PK nothing of the kind")


def without_an_array(folder: Path) -> None:
    np.savez(folder / "omi-1.npz", train=made.host(1)["train"])


def without_causes(folder: Path) -> None:
    (folder / "omi-1.interp.txt").unlink()


def causes_of_nothing(folder: Path) -> None:
    (folder / "omi-1.interp.txt").write_text("700-720:99\n")


def garbled_causes(folder: Path) -> None:
    (folder / "omi-1.interp.txt").write_text("700 to 720: all\n")


def label_without_number(folder: Path) -> None:
    labels = made.host(1)["test_label"]
    labels[5] = np.nan
    made.save(folder / "omi-1.npz", {**made.host(1), "test_label": labels})


def bits_turned_over(folder: Path) -> None:
    np.savez_compressed(folder / "omi-1.npz", **made.host(1))  # type: ignore[arg-type]  # any names
    content = bytearray((folder / "omi-1.npz").read_bytes())
    content[3000:3100] = b"\xff" * 100
    (folder / "omi-1.npz").write_bytes(content)


def cut_short(folder: Path) -> None:
    content = (folder / "omi-1.npz").read_bytes()
    (folder / "omi-1.npz").write_bytes(content[: len(content) // 2])


def channel_without_a_reading(folder: Path) -> None:
    test = made.host(1)["test"]
    test[:, 1] = np.nan
    made.save(folder / "omi-1.npz", {**made.host(1), "test": test})


BROKEN: dict[Callable[[Path], None], str] = {
    shorter_labels: r"omi-1.npz: 10 labels for 2400 rows",
    other_channels: r"omi-1.npz: 4 channels, 2 in",
    not_an_archive: r"omi-1.npz: cannot be read",
    without_an_array: r"omi-1.npz: has no array 'test'",
    without_causes: r"omi-1.interp.txt: missing, omi-1 is not complete",
    causes_of_nothing: r"omi-1.interp.txt: '700-720:99' names a channel that is not among 1 to 4",
    label_without_number: r"omi-1.npz: a label of omi-1 is no number, in row 5",
    bits_turned_over: r"omi-1.npz: cannot be read",
    cut_short: r"omi-1.npz: cannot be read",
    channel_without_a_reading: r"omi-1.npz: omi-1 must have rows of channels, each with a reading",
    garbled_causes: r"omi-1.interp.txt: '700' is not first-last:channel",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda function: function.__name__)
def test_a_broken_item_is_named(broken: Callable[[Path], None], tmp_path: Path) -> None:
    made.write_npz(tmp_path, "omi-1", 1)
    broken(tmp_path)
    with pytest.raises(SuiteError, match=BROKEN[broken]):
        runner.evaluate(load_suite("asd"), tmp_path, ("random",), processes=1)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return (Path.touch, (str(tmp_path / "harmed"),))

    made.write_pickles(tmp_path, "omi-1", 1)
    (tmp_path / "processed" / "omi-1_test.pkl").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(SuiteError, match=r"omi-1_test.pkl: cannot be read: .* is no part of an array"):
        runner.evaluate(load_suite("asd"), tmp_path, ("random",), processes=1)
    assert not (tmp_path / "harmed").exists()


def test_no_data_says_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"no data of smd.*docs/tutorial/evaluate.md"):
        load_suite("smd").items(tmp_path)


def test_an_unknown_detector_or_suite_is_named_with_those_there_are(tmp_path: Path) -> None:
    made.write_npz(tmp_path, "omi-1", 1)
    with pytest.raises(SuiteError, match=r"no detector 'windowed_pac'; there are .*windowed_pca"):
        runner.evaluate(load_suite("asd"), tmp_path, ("windowed_pac",), processes=1)
    with pytest.raises(SuiteError, match="detector 'limits' is a rule"):
        runner.evaluate(load_suite("asd"), tmp_path, ("limits",), processes=1)
    with pytest.raises(SuiteError, match="no suite 'sdm'; there are asd, nab, smd"):
        load_suite("sdm")


def test_every_suite_says_what_it_is() -> None:
    assert set(suite_names()) >= {"smd", "asd", "nab"}
    for name in suite_names():
        suite = load_suite(name)
        assert suite.name == name
        assert suite.default in suite.detectors
        assert suite.baseline in suite.detectors
        assert "data: " in suite.citation
        assert {figure.metric for figure in suite.published} <= set(suite.metrics)


def test_nab_scores_series_as_they_come(tmp_path: Path) -> None:
    made.write_series(tmp_path)
    report = runner.evaluate(load_suite("nab"), tmp_path, ("novelty", "random"), processes=1)
    novelty = report.summaries["novelty"]
    assert novelty.mean["nab"] > 80 > report.summaries["random"].mean["nab"]
    assert novelty.mean["alarms_without_anomaly"] == 0
    assert novelty.mean["nab"] == pytest.approx(np.mean([entry["nab"] for entry in novelty.items.values()]))


def test_nab_names_a_series_without_labels_and_a_broken_one(tmp_path: Path) -> None:
    made.write_series(tmp_path)
    (tmp_path / "data" / "artificialNoAnomaly" / "more.csv").write_text("timestamp,value\n2014-04-01 00:00:00,1\n")
    with pytest.raises(SuiteError, match=r"combined_windows.json: has no entry for artificialNoAnomaly/more.csv"):
        load_suite("nab").items(tmp_path)
    (tmp_path / "data" / "artificialNoAnomaly" / "more.csv").unlink()
    (tmp_path / "data" / "artificialNoAnomaly" / "quiet.csv").write_text("timestamp,value\n2014-04-01 00:00:00,much\n")
    with pytest.raises(SuiteError, match=r"quiet.csv: not a series of timestamp and value"):
        runner.evaluate(load_suite("nab"), tmp_path, ("random",), processes=1)


def test_an_empty_promise_is_more_alarms(tmp_path: Path) -> None:
    made.write_npz(tmp_path, "machine-1-1", 1)
    suite = load_suite("smd")
    assert isinstance(suite, HostSuite)
    few, many = (runner.evaluate(replace(suite, budget_per_day=b), tmp_path, ("random",), processes=1) for b in (1.0, 50.0))
    assert few.summaries["random"].mean["false_per_day"] < many.summaries["random"].mean["false_per_day"]


def test_a_host_without_events_does_not_take_the_mean_of_all(tmp_path: Path) -> None:
    made.write_npz(tmp_path, "omi-1", 1)
    made.write_npz(tmp_path, "omi-2", 2)
    made.save(tmp_path / "omi-2.npz", {**made.host(2), "test_label": np.zeros(made.ROWS)})
    (tmp_path / "omi-2.interp.txt").write_text("")
    report = runner.evaluate(load_suite("asd"), tmp_path, QUICK, processes=1)
    found = report.summaries["windowed_pca"]
    assert math.isnan(found.items["omi-2"]["vus_pr"])
    assert found.mean["vus_pr"] == found.items["omi-1"]["vus_pr"]
    assert report.gains["windowed_pca"].mean > 0


def test_the_causes_of_chance_are_chance(tmp_path: Path) -> None:
    for number in range(1, 9):
        made.write_npz(tmp_path, f"omi-{number}", number)
    suite = replace(load_suite("asd"), baseline="random")  # type: ignore[type-var]  # a dataclass
    chance = runner.evaluate(suite, tmp_path, ("random",), processes=1).summaries["random"].mean
    assert 0.1 < chance["top1"] < 0.7  # one or two of four channels
    assert 0.1 < chance["hit_rate_100"] < 0.7


def test_a_detector_that_fails_is_told_with_the_item_and_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("nothing to divide by")

    made.write_npz(tmp_path, "omi-1", 1)
    monkeypatch.setattr(trial.RandomDetector, "fit", fails)
    with pytest.raises(
        SuiteError, match=r"omi-1, random: ZeroDivisionError: nothing to divide by \(.*test_evaluation_suites.py, line \d+\)"
    ):
        runner.evaluate(load_suite("asd"), tmp_path, ("random",), processes=1)


def test_nab_names_what_is_missing_or_out_of_order(tmp_path: Path) -> None:
    made.write_series(tmp_path)
    quiet = tmp_path / "data" / "artificialNoAnomaly" / "quiet.csv"
    lines = quiet.read_text().splitlines()
    lines[50], lines[500] = lines[500], lines[50]
    quiet.write_text("\n".join(lines))
    runner.evaluate(load_suite("nab"), tmp_path, ("random",), processes=1)  # a clock was set back in one of the public series, too
    quiet.write_text("\n".join([lines[0], *reversed(lines[1:])]))
    with pytest.raises(SuiteError, match=r"quiet.csv: its timestamps do not rise"):
        runner.evaluate(load_suite("nab"), tmp_path, ("random",), processes=1)
    quiet.write_text("\n".join(lines[:2]))
    with pytest.raises(SuiteError, match=r"quiet.csv: 1 rows, too few"):
        runner.evaluate(load_suite("nab"), tmp_path, ("random",), processes=1)
    quiet.unlink()
    with pytest.raises(SuiteError, match=r"quiet.csv: missing, .*combined_windows.json has an entry"):
        load_suite("nab").items(tmp_path)


@pytest.mark.data
def test_a_real_host_has_the_figure_that_others_measure(data: Path) -> None:
    report = runner.evaluate(load_suite("asd"), data, ("windowed_pca", "random"), processes=1)
    assert report.summaries["windowed_pca"].mean["vus_pr"] > 0.5
    assert report.summaries["random"].mean["vus_pr"] < 0.2
