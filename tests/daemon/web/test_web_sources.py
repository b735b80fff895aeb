"""Sources and stages, and when what is shown may be out of date."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from daemon.messages import StageStatus
from daemon.records import ShadowFinding
from daemon.settings import parse
from daemon.store.shadow import Silent
from daemon.web.live import Snapshot
from daemon.web.views.shadow import model_rows, silent_rows
from daemon.web.views.sources import SourceRow, source_rows, stage_rows, staleness, summary
from daemon.web.words import Times
from tests.page import CONFIG, S, stream_status

SETTINGS = parse(CONFIG)
NOW = 1_700_000_000 * S
TIMES = Times(SETTINGS.zone, NOW)


def heard(stage: str, age_s: float = 1, process: str = "host/1", **said: Any) -> StageStatus:
    return StageStatus(process, stage, NOW - int(age_s * S), {"state": "running", **said})


def watching(**changes: Any) -> StageStatus:
    return heard(
        "detect", streams=[stream_status("hv", NOW - S, **changes), stream_status("dqm#EB", NOW - S), stream_status("dqm#EE", NOW)]
    )


CURRENT = Snapshot(ready=True, states=(heard("collect"), watching(), heard("correlate")))


def source(snapshot: Snapshot, name: str = "hv") -> SourceRow:
    return next(row for row in source_rows(SETTINGS, snapshot, TIMES, NOW) if row.name == name)


def test_nothing_is_stale_while_all_are_heard() -> None:
    assert staleness(CURRENT, NOW) == ()
    assert staleness(CURRENT, NOW + 29 * S) == ()


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        (replace(CURRENT, ready=False), "still reading"),
        (replace(CURRENT, trouble="broker gone"), "cannot hear the daemon: broker gone"),
        (replace(CURRENT, states=CURRENT.states[:2]), "Nothing has been heard of the stage correlate yet"),
        (replace(CURRENT, states=(*CURRENT.states[:2], heard("correlate", 45))), "Nothing heard of the stage correlate for 45 s"),
        (
            replace(CURRENT, states=(heard("collect"), heard("detect", state="failing", error="disk full"), heard("correlate"))),
            "The stage detect fails: disk full",
        ),
    ],
)
def test_what_is_out_of_date_is_said(snapshot: Snapshot, reason: str) -> None:
    [said] = staleness(snapshot, NOW)
    assert reason in said


def test_one_of_several_processes_is_enough() -> None:
    states = (*CURRENT.states, heard("detect", 400, "host/2"), heard("detect", 2, "host/3", state="failing", error="x"))
    assert staleness(replace(CURRENT, states=states), NOW) == ()


def test_clocks_that_are_ahead_are_not_stale() -> None:
    assert staleness(CURRENT, NOW - 5 * S) == ()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "alive"),
        ({"last_ns": NOW - 31 * S}, "silent"),
        ({"problem": "connection refused"}, "failing"),
        ({"state": "robust_z: learning, 30 of 400 rows"}, "learning"),
        ({"last_ns": 0, "rows": 0}, "nothing yet"),
    ],
)
def test_state_of_a_source(changes: dict[str, Any], word: str) -> None:
    states = (heard("collect"), watching(**changes), heard("correlate"))
    assert source(replace(CURRENT, states=states)).word == word


def test_the_collect_stage_knows_why_it_fails() -> None:
    collect = heard("collect", sources=[{"source": "hv", "ok": False, "problem": "no route to crate"}])
    row = source(replace(CURRENT, states=(collect, watching(), heard("correlate"))))
    assert (row.word, row.problem) == ("failing", "no route to crate")


def test_parts_of_a_source_are_one_source() -> None:
    row = source(CURRENT, "dqm")
    assert (row.rows, len(row.streams), row.age) == (2400, 2, "0 s")


def test_nobody_vouches_for_sources_when_no_stage_is_heard() -> None:
    silent = replace(CURRENT, states=(heard("collect", 90), replace(watching(), time_ns=NOW - 90 * S)))
    assert {row.word for row in source_rows(SETTINGS, silent, TIMES, NOW)} == {"not heard"}
    assert summary(source_rows(SETTINGS, silent, TIMES, NOW)) == "2 sources, 2 not heard"


def test_conditions_are_alive_while_they_are_read() -> None:
    settings = parse(CONFIG + '\n[source.beam]\ncollector = "pushed"\nrole = "conditions"\nsilent_after_s = 30\n')
    rows = {row.name: row for row in source_rows(settings, replace(CURRENT, heard_ns={"beam": NOW - 3 * S}), TIMES, NOW)}
    assert (rows["beam"].word, rows["beam"].age) == ("alive", "3 s")


def test_summary_in_words() -> None:
    rows = source_rows(SETTINGS, CURRENT, TIMES, NOW)
    assert summary(rows) == "2 sources, all alive"
    assert summary([replace(rows[0], word="silent"), replace(rows[1], word="learning")]) == "2 sources, 1 silent, 1 learning"
    assert summary([]) == "no sources"


def test_stages_say_what_they_are_at() -> None:
    states = (
        heard("notify", active=True, owed={"slack": 2, "logbook": 0}),
        heard("detect", lag=12, held=0),
        heard("detect", 700, "host/0"),
        heard("collect", 700, "host/0"),
        heard("correlate", state="failing", error="database locked", failures=3),
    )
    rows = stage_rows(Snapshot(states=states), NOW)
    assert [(row.stage, row.word, row.detail) for row in rows] == [
        ("collect", "not heard", ""),
        ("detect", "running", "12 records behind, 0 blocks held"),
        ("correlate", "failing", ""),
        ("notify", "running", "active, slack has still to be told of 2"),
    ]
    assert (rows[2].error, rows[2].failures) == ("database locked", 3)


def test_a_status_that_makes_no_sense_breaks_nothing() -> None:
    states = (heard("detect", streams=[{"stream": 3, "rows": "x", "detectors": 1}, 5], lag=True), heard("collect", sources="many"))
    assert source_rows(SETTINGS, Snapshot(ready=True, states=states), TIMES, NOW)
    assert stage_rows(Snapshot(states=states), NOW)


def modelled(**changes: Any) -> Snapshot:
    model = {"detector": "robust_z", "version": 3, "silent": False, "beside": 0, "found": 0} | changes
    return Snapshot(ready=True, states=(heard("detect", streams=[stream_status("hv", NOW, models=[model])]),))


@pytest.mark.parametrize(
    ("changes", "judges", "shadow"),
    [
        ({}, "version 3", ""),
        ({"version": 0}, "what it learned while watching", ""),
        ({"beside": 4, "found": 2}, "version 3", "version 4, 2 silent findings"),
        ({"silent": True, "found": 1}, "nothing: it is in shadow", "the detector, 1 silent finding"),
    ],
)
def test_which_models_judge_and_which_are_in_shadow(changes: dict[str, Any], judges: str, shadow: str) -> None:
    (row,) = model_rows(modelled(**changes), NOW)
    assert (row.name, row.judges, row.shadow) == ("hv/robust_z", judges, shadow)


@pytest.mark.parametrize("models", [None, 7, ["nonsense"], [{}], [{"found": "many"}]])
def test_models_of_another_version_do_no_harm(models: Any) -> None:
    states = (heard("detect", streams=[stream_status("hv", NOW, models=models)]), heard("detect", streams=3))
    assert isinstance(model_rows(Snapshot(ready=True, states=states), NOW), list)


def test_what_would_have_been_said() -> None:
    finding = ShadowFinding("k", "hv", "vae", 2, NOW, NOW, None, "likely", "ch0", "LAB/ch0", "outlier", "ch0 is <off>")
    (row,) = silent_rows([Silent("hv", "vae", 2, (finding,) * 12, 3, 1)], TIMES)
    assert (row.name, row.found, row.also_sent, row.sent_only, row.more) == ("hv/vae version 2", "12 findings", 3, 1, 2)
    assert row.findings[0][1] == "outlier: ch0 is <off>"
