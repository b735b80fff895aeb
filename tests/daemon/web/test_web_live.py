"""What is known at the moment, from records of the bus."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np

from collectors.frame import Channel, Frame, Kind, Layout
from collectors.wire import Block, Identity, encode, encode_layout
from daemon import messages
from daemon.bus.bus import Record
from daemon.messages import Message, Progress, StageStatus
from daemon.sections import ConditionNames
from daemon.web.live import LiveView
from detectors.finding import Certainty
from tests.daemon.reports import cleared, finding, raised
from tests.page import S, incident, resolved

NOW = 1_700_000_000 * S
LAYOUT = Layout(
    "conditions",
    (
        Channel("run", "run", "1", Kind.GAUGE, "CMS/CONDITIONS"),
        Channel("lumisection", "lumisection", "1", Kind.GAUGE, "CMS/CONDITIONS"),
        Channel("beam_mode", "beam mode", "1", Kind.STATE, "CMS/CONDITIONS", ("NO BEAM", "STABLE BEAMS")),
    ),
)


def view() -> LiveView:
    return LiveView(ConditionNames(), lambda: NOW)


def record(topic: str, message: Message | bytes, key: str = "key") -> Record:
    return Record(topic, key, message if isinstance(message, bytes) else messages.encode(message), 0, 0)


def beam(at_ns: int, lumisection: float, sequence: int) -> bytes:
    frame = Frame(LAYOUT, np.array([at_ns]), np.array([[382711.0, lumisection, 1.0]]))
    return encode(Block(Identity("conditions", 1, sequence), frame, at_ns))


def test_incidents_change_with_their_revision_and_leave_after_a_day() -> None:
    live = view()
    made = incident("a", now_ns=NOW)
    live.take([record("incidents", replace(made, revision=2, owner="J.")), record("incidents", made)])
    assert [i.owner for i in live.snapshot().incidents] == ["J."]
    old = resolved(replace(incident("b", now_ns=NOW, age_s=100_000), revision=1))
    live.take([record("incidents", old)])
    assert [i.id for i in live.snapshot().incidents] == ["a"]
    live.take([record("incidents", replace(made, revision=3, merged_into="c"))])
    assert live.snapshot().incidents == ()


def test_version_grows_with_what_matters_only() -> None:
    live = view()
    status = StageStatus("host/1", "detect", time.time_ns(), {"state": "running", "lag": 1})
    live.take([record("state", status)])
    before = live.version
    live.take([record("state", replace(status, time_ns=status.time_ns + 1, status={"state": "running", "lag": 2}))])
    live.take([record("findings", Progress("hv", NOW)), record("findings", raised(finding("CMS/HV")))])
    assert live.version == before
    assert live.snapshot().states[0].status["lag"] == 2
    live.take([record("state", replace(status, time_ns=status.time_ns + 2, status={"state": "failing"}))])
    assert live.version == before + 1


def test_unsure_findings_stay_until_they_clear_or_join_an_incident() -> None:
    live = view()
    first, second = (finding(f"CMS/HV/ch{n}", certainty=Certainty.UNSURE, since=NOW / S - 60) for n in (1, 2))
    live.take([record("findings", raised(each)) for each in (first, second, finding("CMS/HV/ch3", since=NOW / S))])
    assert {report.finding.key for report in live.snapshot().unsure} == {first.key, second.key}
    live.take([record("findings", cleared(first, NOW / S))])
    live.take([record("incidents", incident("a", now_ns=NOW, findings=(second.key,)))])
    assert live.snapshot().unsure == ()


def test_conditions_wait_for_their_layout_and_are_told_in_words() -> None:
    live = view()
    live.take([record("conditions", beam(NOW - S, 214, 0))])
    assert live.snapshot().conditions == ""
    live.take([record("layouts", encode_layout(LAYOUT)), record("conditions", beam(NOW, 215, 1))])
    shown = live.snapshot()
    assert (shown.conditions, shown.conditions_ns, shown.heard_ns) == ("run 382711, LS 215 · stable beams", NOW, {"conditions": NOW})
    assert shown.places == {"CMS/CONDITIONS"}


def test_rubbish_and_tombstones_break_nothing() -> None:
    live = view()
    live.take([record("incidents", incident("a", now_ns=NOW), key="a")])
    rubbish = [Record(topic, "a", b"rubbish", 0, 0) for topic in ("layouts", "conditions", "incidents", "plans", "state", "findings")]
    live.take(rubbish)
    assert [i.id for i in live.snapshot().incidents] == ["a"]
    live.take([Record(topic, "a", b"", 0, 0) for topic in ("layouts", "conditions", "incidents", "plans", "state")])
    assert live.snapshot().incidents == ()


def test_a_snapshot_does_not_change() -> None:
    live = view()
    before = live.snapshot()
    live.take([record("incidents", incident("a", now_ns=NOW))])
    assert before.incidents == ()
    assert len(live.snapshot().incidents) == 1


def test_waiting_for_a_revision() -> None:
    live = view()
    live.take([record("incidents", incident("a", now_ns=NOW))])
    assert not live.wait_for("a", 1, 0.01)
    changed = record("incidents", replace(incident("a", now_ns=NOW), revision=2))
    thread = threading.Timer(0.05, live.take, [[changed]])
    thread.start()
    assert live.wait_for("a", 1, 20.0)
    thread.join()
