"""What is wrong now, as data."""

from __future__ import annotations

from dataclasses import replace

from daemon.messages import StageStatus
from daemon.records import IncidentState
from daemon.settings import parse
from daemon.web.live import HOUR_NS, Snapshot
from daemon.web.tally import FalseAlarms
from daemon.web.views.head import head
from daemon.web.views.home import by_hour, home
from daemon.web.views.marks import AFFECTED, CRITICAL, NO_DATA, QUIET, UNSURE, WARNING
from daemon.web.views.places import tree
from daemon.web.words import Times
from detectors.finding import Certainty, Severity
from tests.daemon.reports import finding, raised
from tests.page import CONFIG, ESSENTIAL, S, incident, resolved, stream_status

SETTINGS = parse(CONFIG)
NOW = 1_700_000_000 * S
TIMES = Times(SETTINGS.zone, NOW)
NOTHING = FalseAlarms(0, 0, 0, 0.0, None, None, None)
TRACKER = incident("tracker", now_ns=NOW)
ECAL = incident(
    "ecal",
    now_ns=NOW,
    age_s=1320,
    severity=Severity.WARNING,
    certainty=Certainty.UNSURE,
    reason="pile-up is not known",
    state=IncidentState.ACKNOWLEDGED,
    owner="J.",
    cause_place="CMS/ECAL/EB/EB+07",
    places=("CMS/ECAL/EB/EB+07",),
    victims=(),
)
DRIFT = raised(finding("CMS/HCAL/HB", "drift", certainty=Certainty.UNSURE, since=NOW / S - 600, reason="few rows"))


def alive(*, age_s: float = 1, last_s: float = 1, **changes: str) -> tuple[StageStatus, ...]:
    streams = [stream_status(name, NOW - int(last_s * S), **changes) for name in SETTINGS.source]
    return tuple(
        StageStatus("host/1", stage, NOW - int(age_s * S), {"state": "running", "streams": streams if stage == "detect" else []})
        for stage in ESSENTIAL
    )


def seen(*incidents: object, **changes: object) -> Snapshot:
    return replace(Snapshot(ready=True, states=alive(), incidents=incidents), **changes)  # type: ignore[arg-type] # of a snapshot


def test_head_counts_what_is_sure_apart_from_what_is_not() -> None:
    shown = head(SETTINGS, seen(TRACKER, ECAL, resolved(TRACKER), unsure=(DRIFT,)), NOTHING, TIMES, NOW)
    assert (shown.counts, shown.incidents, shown.unsure) == ("1 incident · 2 unsure", 1, 2)
    assert (shown.sources, shown.sources_alive, shown.stale) == ("2 sources, all alive", True, ())
    assert shown.budget == "budget 1 a day, not measured yet"
    assert shown.mark == CRITICAL


def test_head_says_the_budget_with_its_interval() -> None:
    shown = head(SETTINGS, seen(), FalseAlarms(8, 2, 20, 10.0, 0.8, 0.45, 1.24), TIMES, NOW)
    assert shown.budget == "budget 1 a day, measured 0.8 [0.45–1.2]"
    assert "8 of 18 labelled ones in 10 days" in shown.budget_note
    assert "2 more were not labelled" in shown.budget_note


def test_run_and_beam_that_are_old_have_an_age() -> None:
    fresh, old = (
        head(SETTINGS, seen(conditions="run 382711, LS 214 · stable beams", conditions_ns=NOW - age * S), NOTHING, TIMES, NOW)
        for age in (10, 900)
    )
    assert fresh.conditions == "run 382711, LS 214 · stable beams"
    assert old.conditions == "run 382711, LS 214 · stable beams (as of 15 min ago)"


def test_rows_come_in_the_order_in_which_they_need_somebody() -> None:
    quiet = incident("quiet", now_ns=NOW, age_s=10, silenced_until_ns=NOW + HOUR_NS)
    minor = incident("minor", now_ns=NOW, age_s=20, severity=Severity.WARNING)
    newer = incident("newer", now_ns=NOW, age_s=30)
    page = home(SETTINGS, seen(quiet, ECAL, minor, TRACKER, newer), TIMES, NOW)
    assert [row.id for row in page.rows] == ["newer", "tracker", "minor", "ecal", "quiet"]
    row = page.rows[3]
    assert (row.branch, row.age, row.owner, row.detail) == ("ECAL", "22 min", "J.", "Unsure because pile-up is not known.")
    assert page.rows[4].silenced
    assert not page.rows[0].silenced


def test_unsure_findings_are_listed() -> None:
    [row] = home(SETTINGS, seen(unsure=(DRIFT,)), TIMES, NOW).unsure
    assert (row.branch, row.age, row.reason) == ("HCAL", "10 min", "few rows")


def test_tree_shows_the_worst_of_each_branch() -> None:
    root, branches = tree("CMS", {"CMS/HV", "CMS/Tracker/TIB", "CMS/ECAL/EB"}, [TRACKER, ECAL])
    marks = {node.name: node.mark for node in branches}
    assert marks == {"DAQ": AFFECTED, "ECAL": UNSURE, "HV": QUIET, "Tracker": CRITICAL}
    assert root.mark == CRITICAL
    tracker = next(node for node in branches if node.name == "Tracker")
    assert [(child.name, child.mark) for child in tracker.children] == [("TIBTID", CRITICAL)]
    assert next(node for node in branches if node.name == "DAQ").affected == 2


def test_what_no_living_source_covers_is_not_called_quiet() -> None:
    _, branches = tree("CMS", {"CMS/HV", "CMS/ECAL"}, [], silent=["CMS/HV"], watched=["CMS/ECAL"])
    assert {node.name: node.mark for node in branches} == {"ECAL": QUIET, "HV": NO_DATA}
    _, branches = tree("CMS", {"CMS/HV", "CMS/ECAL"}, [], silent=["CMS/HV"], watched=["CMS"])
    assert {node.name: node.mark for node in branches} == {"ECAL": QUIET, "HV": QUIET}


def test_places_elsewhere_are_branches_of_their_own() -> None:
    disk = incident(
        "disk", now_ns=NOW, severity=Severity.WARNING, cause_place="T2_X/rack4/node17", places=("T2_X/rack4/node17",), victims=()
    )
    _, branches = tree("CMS", {"CMS/HV"}, [disk])
    assert {node.name: node.mark for node in branches} == {"HV": QUIET, "T2_X": WARNING}


def test_hours_count_what_was_opened() -> None:
    hour_ago = incident("b", now_ns=NOW, age_s=3700, severity=Severity.WARNING)
    hours = by_hour([TRACKER, hour_ago, incident("c", now_ns=NOW, age_s=90_000), replace(hour_ago, id="d", merged_into="b")], TIMES)
    assert len(hours) == 24
    assert sum(hour.count for hour in hours) == 2
    assert sum(hour.critical for hour in hours) == 1
    assert max(hour.height for hour in hours) <= 100
