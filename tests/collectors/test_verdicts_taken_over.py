"""Verdicts of other systems, taken over: words, codes, scores, and what is no verdict."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from collectors.collector import CollectError, Origin, Rejected
from collectors.fetched.verdict_documents import generalised
from collectors.fetched.verdict_words import CODES, VERDICTS, WORDS, Vocabulary
from collectors.frame import Channel, Frame, Kind, Quality
from collectors.verdicts import MESSAGES_MOST, VerdictsCollector, VerdictsOptions
from detectors.verdicts import STATES

S = 1_000_000_000
NOW_NS = 1_700_000_000 * S


class Files:
    """A collector on a folder in which a test writes documents."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        made = VerdictsOptions.model_validate({"files": f"{folder}/*.json", **options})
        self.collector = VerdictsCollector(Origin("qc", "LAB/DQM", lambda: NOW_NS), made)

    def write(self, document: object, name: str = "a.json", at_s: float = 0.0) -> Path:
        path = self.folder / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        os.utime(path, ns=(0, NOW_NS + int(at_s * S)))
        return path

    def read(self) -> tuple[list[Frame], list[Rejected]]:
        items = list(self.collector.collect())
        return [item for item in items if isinstance(item, Frame)], [item for item in items if isinstance(item, Rejected)]

    def said(self, document: object, at_s: float = 0.0) -> tuple[dict[str, Any], list[Rejected]]:
        """The values of the channels after a document was written, words for states."""
        self.write(document, at_s=at_s)
        frames, rejected = self.read()
        return (shown(frames[-1]) if frames else {}), rejected


def shown(frame: Frame, row: int = -1) -> dict[str, Any]:
    """Values by channel, the words of states; None for no reading."""
    found: dict[str, Any] = {}
    for channel, value in zip(frame.layout.channels, frame.values[row], strict=True):
        found[channel.name] = None if np.isnan(value) else channel.states[int(value)] if channel.kind is Kind.STATE else float(value)
    return found


def checks(**verdicts: object) -> list[dict[str, object]]:
    return [{"name": name, "verdict": verdict} for name, verdict in verdicts.items()]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    made = Files(tmp_path, verdict="verdict")
    yield made
    made.collector.close()


def test_the_words_of_many_systems_are_known(files: Files) -> None:
    words = {
        "good": ["Good", "GREEN", "OK", " ok ", "Normal", "STATUS_OK", "NO_ALARM", "UP", "passed"],
        "medium": ["Medium", "Yellow", "WARNING", "Minor"],
        "bad": ["Bad", "Red", "CRITICAL", "Alerting", "firing", "DOWN", "MAJOR", "ERROR"],
        "unknown": ["Null", "Undefined", "Grey", "UNKNOWN", "NoData", "No Data", "INSUF_STAT", "did-not-run", "Disabled"],
    }
    document = checks(**{word: word for several in words.values() for word in several})
    found, rejected = files.said(document)
    assert not rejected
    assert found == {" ".join(word.split()): verdict for verdict, several in words.items() for word in several}


def test_a_channel_of_verdicts_is_what_the_detector_looks_for(files: Files) -> None:
    files.write(checks(noise="Good"))
    (frame,), _ = files.read()
    assert frame.layout.columns == (Channel("noise", "noise", "", Kind.STATE, "LAB/DQM", VERDICTS),)
    assert VERDICTS == STATES
    assert frame.time_ns.tolist() == [NOW_NS]


def test_an_unknown_word_is_named_and_no_verdict_and_the_rest_goes_on(files: Files) -> None:
    found, rejected = files.said(checks(noise="wobbly", gain="Good", number=2, truth=True, nothing=None, deep={"a": 1}))
    assert found == {"noise": None, "gain": "good", "number": None, "truth": None, "nothing": None, "deep": None}
    named = {item.subject.rpartition(": ")[2]: item.reason for item in rejected}
    assert set(named) == {"noise", "number", "truth", "deep"}
    assert named["noise"] == '"wobbly" is no verdict that is known: say in `words` what it means'


def test_options_say_what_words_numbers_and_truth_values_mean(tmp_path: Path) -> None:
    words = {"Wobbly": "medium", "true": "good", "false": "bad", "7": "medium", "Error": "unknown"}
    files = Files(tmp_path, verdict="verdict", words=words)
    found, rejected = files.said(checks(a="wobbly", b=True, c=False, d=7, e="ERROR", f=7.0))
    assert not rejected
    assert found == {"a": "medium", "b": "good", "c": "bad", "d": "medium", "e": "unknown", "f": "medium"}


@pytest.mark.parametrize("codes", [codes for codes in CODES if codes])
def test_codes_of_systems_are_known_where_the_options_name_the_system(tmp_path: Path, codes: str) -> None:
    table = CODES[codes]  # type: ignore[index]  # a parametrised string is one of them
    files = Files(tmp_path, verdict="verdict", codes=codes)
    found, rejected = files.said(checks(**{f"c{code}": code for code in table}, text=str(next(iter(table))), other=12345))
    assert {name: found[name] for name in found if name[0] == "c"} == {f"c{code}": verdict for code, verdict in table.items()}
    assert found["text"] == next(iter(table.values()))
    assert [item.subject.rpartition(": ")[2] for item in rejected] == ["other"]


def test_rows_of_an_object_nested_paths_places_and_messages(tmp_path: Path) -> None:
    mapping = {
        "rows": "detectors.TPC",
        "name": "TPC/{key}",
        "verdict": "quality.name",
        "score": "metadata.chi2",
        "message": "quality.comments[0]",
        "place": "TPC/{metadata.sector}",
    }
    files = Files(tmp_path, **mapping)

    def document(chi2: float) -> object:
        bad = {"quality": {"name": "Bad", "comments": [f"mean {chi2} above 2"]}, "metadata": {"chi2": chi2, "sector": "A07"}}
        good = {"quality": {"name": "Good", "comments": ["fine"]}, "metadata": {"chi2": "1.1", "sector": "C01"}}
        return {"detectors": {"TPC": {"gain": bad, "noise": good}}}

    found, rejected = files.said(document(3.5))
    assert not rejected
    assert found == {
        "TPC/gain": "bad",
        "TPC/gain/score": 3.5,
        "TPC/gain/message": "mean # above #",
        "TPC/noise": "good",
        "TPC/noise/score": 1.1,
        "TPC/noise/message": None,
    }
    files.write(document(9.25), at_s=10)
    (frame,), _ = files.read()
    assert {column.place for column in frame.layout.columns} == {"LAB/DQM/TPC/A07", "LAB/DQM/TPC/C01"}
    layout = frame.layout
    files.write(document(11.5), at_s=20)
    (frame,), _ = files.read()
    assert frame.layout is layout  # other numbers in a message make no other layout


def test_only_so_many_messages_of_a_check_are_kept(tmp_path: Path) -> None:
    files = Files(tmp_path, verdict="verdict", message="text")
    said = []
    for i in range(MESSAGES_MOST + 3):
        found, _ = files.said([{"name": "noise", "verdict": "Bad", "text": "x" * (i + 1)}], at_s=i)
        said.append(found["noise/message"])
    assert said[:MESSAGES_MOST] == ["x" * (i + 1) for i in range(MESSAGES_MOST)]
    assert set(said[MESSAGES_MOST:]) == {"another message"}


def test_scores_become_verdicts_by_limits_or_by_the_threshold_that_comes_with_them(tmp_path: Path) -> None:
    by_limits = Files(tmp_path, score="s", medium_above=2, bad_above=5, bad_below=-1, missing=[-99])
    scores = {"a": 1, "b": 2, "c": 2.5, "d": 5.5, "e": -2, "f": -99, "g": None}
    found, rejected = by_limits.said([{"name": name, "s": score} for name, score in scores.items()])
    assert not rejected
    assert [found[name] for name in scores] == ["good", "good", "medium", "bad", "bad", None, None]
    assert found["d/score"] == 5.5
    assert found["f/score"] is None
    own = Files(tmp_path, score="s", threshold="limit")
    found, rejected = own.said([{"name": "a", "s": 3, "limit": 2}, {"name": "b", "s": 3, "limit": 4}, {"name": "c", "s": 3}], at_s=1)
    assert not rejected
    assert (found["a"], found["b"], found["c"]) == ("bad", "good", None)


def test_a_score_that_cannot_be_true_is_named(tmp_path: Path) -> None:
    files = Files(tmp_path, score="s", bad_above=5)
    files.write('[{"name": "a", "s": 1e999}, {"name": "b", "s": "lots"}, {"name": "c", "s": 1}]')
    (frame,), rejected = files.read()
    assert shown(frame)["c"] == "good"
    assert [item.subject.rpartition(": ")[2] for item in rejected] == ["a", "b"]
    assert frame.quality is not None
    assert frame.quality[0].tolist() == [Quality.INVALID] * 4 + [Quality.GOOD] * 2


def test_an_old_verdict_is_stale(tmp_path: Path) -> None:
    files = Files(tmp_path, verdict="verdict", time="made", max_age_s=60)
    ages = {"new": 10, "old": 100}
    files.write([{"name": name, "verdict": "Bad", "made": NOW_NS / S - age} for name, age in ages.items()])
    (frame,), rejected = files.read()
    assert not rejected
    assert frame.quality is not None
    assert frame.quality.tolist() == [[Quality.GOOD, Quality.STALE]]


def test_documents_of_an_archive_come_in_the_order_of_their_own_times(tmp_path: Path) -> None:
    files = Files(tmp_path, verdict="verdict", rows="checks", document_time="at")
    for i in (2, 0, 1):
        files.write({"at": 1_600_000_000 + i, "checks": checks(noise=["Good", "Bad", "Good"][i])}, f"run{9 - i}.json")
    frames, rejected = files.read()
    assert not rejected
    assert [int(frame.time_ns[0]) // S for frame in frames] == [1_600_000_000, 1_600_000_001, 1_600_000_002]
    assert [shown(frame)["noise"] for frame in frames] == ["good", "bad", "good"]
    assert files.read() == ([], [])


def test_each_document_tells_of_its_own_checks_only_and_a_check_that_is_gone_is_gone(tmp_path: Path) -> None:
    files = Files(tmp_path, verdict="verdict")
    files.write(checks(a="Good", b="Good"), "one.json")
    files.write(checks(c="Bad"), "two.json", at_s=1)
    first, second = files.read()[0]
    assert shown(first) == {"a": "good", "b": "good"}
    assert shown(second) == {"a": None, "b": None, "c": "bad"}
    files.write(checks(a="Bad"), "one.json", at_s=10)
    (third,), _ = files.read()
    assert shown(third) == {"a": "bad", "c": None}
    (tmp_path / "one.json").unlink()
    files.write(checks(c="Good"), "two.json", at_s=20)
    (fourth,), _ = files.read()
    assert shown(fourth) == {"c": "good"}


def test_a_file_that_is_older_than_another_does_not_turn_the_clock_back(files: Files) -> None:
    files.write(checks(a="Good"), "one.json", at_s=100)
    files.read()
    files.write(checks(b="Bad"), "two.json", at_s=50)
    (frame,), rejected = files.read()
    assert not rejected
    assert frame.time_ns[0] > NOW_NS + 100 * S
    files.write(checks(b="Good"), "two.json", at_s=40)
    frames, (refused,) = files.read()
    assert not frames
    assert refused.reason == "is 10 s older than what it showed before"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("", "it is empty"),
        ('{"checks": [', "not JSON"),
        ('"Good"', "is no list of checks"),
        ([{"name": "a", "status": "Good"}], "no verdict in any of 1 rows at verdict"),
    ],
)
def test_a_document_that_says_nothing_is_rejected_with_its_reason(files: Files, document: object, reason: str) -> None:
    path = files.write(document)
    frames, (refused,) = files.read()
    assert not frames
    assert reason in refused.reason
    assert refused.subject == str(path)
    assert files.read() == ([], [])  # it is said once


def test_rows_without_a_name_and_names_that_come_twice_are_named(files: Files) -> None:
    rows = [{"verdict": "Good"}, *checks(a="Good"), *checks(a="Bad"), {"name": ["x"], "verdict": "Good"}, "text"]
    found, rejected = files.said(rows)
    assert found == {"a": "good"}
    reasons = " | ".join(item.reason for item in rejected)
    assert "no 'name' for its name" in reasons
    assert "is there twice" in reasons
    assert len(rejected) == 4


def test_patterns_choose_checks_and_their_places(tmp_path: Path) -> None:
    files = Files(tmp_path, verdict="verdict", exclude=["*/test"], places={"*/*": "{1}"})
    files.write([{"name": name, "verdict": "Good"} for name in ("TPC/gain", "TPC/test", "ITS/noise")])
    (frame,), _ = files.read()
    assert {column.name: column.place for column in frame.layout.columns} == {"TPC/gain": "LAB/DQM/TPC", "ITS/noise": "LAB/DQM/ITS"}


def test_no_file_is_an_error_that_names_the_pattern(files: Files) -> None:
    with pytest.raises(CollectError, match=r"no file matches .*\*\.json"):
        files.read()


@pytest.mark.parametrize(
    "wrong",
    [
        {"files": "x"},
        {"files": "x", "score": "s"},
        {"files": "x", "bad_above": 3},
        {"files": "x", "verdict": "v", "score": "s", "bad_above": 3},
        {"files": "x", "verdict": "v", "max_age_s": 3},
        {"files": "x", "verdict": "v ["},
        {"files": "x", "verdict": "v", "words": {"odd": "terrible"}},
        {"files": "x", "verdict": "v", "url": "http://localhost/"},
        {"verdict": "v"},
        {"url": "file:///x", "verdict": "v"},
        {"url": "http://far.example.org/", "verdict": "v", "bearer_token": "t"},
    ],
)
def test_options_that_contradict_one_another_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VerdictsOptions.model_validate(wrong)


def test_no_word_means_two_things() -> None:
    assert set(WORDS.values()) == set(VERDICTS)
    assert len(WORDS) > 50


JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=2), max_leaves=4
)


@given(JSON_VALUE)
def test_any_value_is_a_verdict_none_or_refused_in_one_line(value: object) -> None:
    found, reason = None, ""
    try:
        found = Vocabulary("nagios", {}).verdict(value)
    except ValueError as error:
        reason = str(error)
    assert found in (None, *VERDICTS)
    assert "\n" not in reason


@given(st.text(max_size=300))
def test_a_message_is_one_line_of_bounded_length(text: str) -> None:
    plain = generalised(text, 50)
    assert len(plain) <= 50
    assert "\n" not in plain


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        ("mean 3.25 above -2e-3", "mean # above #"),
        ("chi2 of A07: 12.5", "chi2 of A07: #"),
        ("run382711, LS 214", "run#, LS #"),
        ("12%\n of 1,000", "#% of #,#"),
    ],
)
def test_messages_that_differ_in_numbers_only_are_one(message: str, plain: str) -> None:
    assert generalised(message, 120) == plain
