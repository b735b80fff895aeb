"""What `shiftwatch status` says of detectors: promised and raised alarms side by side, and what they ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from daemon.commands.status import screen
from tests.integration.test_new_normal import Lab


def found(*streams: dict[str, Any]) -> dict[str, Any]:
    stage = {"stage": "detect", "state": "running", "failures": 0, "error": "", "lag": 0, "streams": list(streams)}
    return {"version": "1", "uptime_s": 5.0, "budget_per_day": 1.0, "stages": [stage]}


def stream(name: str, *alarms: dict[str, Any]) -> dict[str, Any]:
    return {"stream": name, "rows": 7, "findings": 0, "state": "watching", "alarms": list(alarms), "models": []}


def alarms(**values: Any) -> dict[str, Any]:
    return {
        "detector": "robust_z",
        "promised_per_day": 1 / 3,
        "measured_per_day": None,
        "low": None,
        "high": None,
        "days": 0.0,
        "questions": 0,
    } | values


def test_promised_and_raised_stand_side_by_side() -> None:
    lines = screen(
        found(stream("hv", alarms(measured_per_day=0.214, low=0.06, high=0.51, days=14.0, questions=2)), stream("daq", alarms()))
    )
    start = lines.index("alarms a day                    promised  raised (90 % interval)       questions")
    assert lines[start + 1] == "daq/robust_z                       0.333  not yet                              0"
    assert lines[start + 2] == "hv/robust_z                        0.333  0.214 (0.06–0.51) in 14.0 d          2"


def test_a_long_name_leaves_room_for_the_figures() -> None:
    lines = screen(found(stream("a" * 60, alarms(measured_per_day=123.4, low=100.0, high=150.0, days=365.0, questions=1000))))
    assert all(len(line) <= 80 for line in lines)


def test_nothing_is_said_before_any_has_learned() -> None:
    assert not any("promised" in line for line in screen(found(stream("hv"))))


def test_what_a_running_detector_says_fits_the_screen(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.days(5)
    lines = screen(found(*lab.detect.status()["streams"]))
    (line,) = (line for line in lines if line.startswith("hv/robust_z"))
    promised, raised = line.split()[1:3]
    assert float(promised) == 0.1
    assert float(raised) >= 0
    lab.store.close()


def test_a_model_that_cannot_be_used_is_named_with_the_reason_on_lines_of_a_screen() -> None:
    good = {"detector": "vae", "version": 1, "silent": False, "beside": 0, "found": 0, "refused": ""}
    reason = "/srv/shiftwatch/models/hv/robust_z/000002/model.npz: damaged, it is not what its manifest was written for"
    lines = screen(found(stream("hv") | {"models": [good, good | {"detector": "robust_z", "refused": reason}]}))
    start = lines.index("models that cannot be used (what judged before goes on)")
    assert lines[start + 1].startswith("hv/robust_z")
    assert " ".join(line.strip() for line in lines[start + 1 :]) == f"hv/robust_z  {reason}"
    assert all(len(line) <= 80 for line in lines)
