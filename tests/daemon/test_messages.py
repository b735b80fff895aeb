"""Messages as JSON: they come back as they were, and what does not fit is refused with the name of the field."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.messages import MAX_DEAD_PAYLOAD_BYTES, DeadLetter, FindingReport, Message, MessageError, Progress, decode, encode
from daemon.records import Label, LabelKind
from detectors.finding import Certainty, Contribution, Evidence, Finding, Severity, Unit
from tests.daemon.message_strategies import MESSAGES

FINDING = Finding(
    key="f1",
    source="hv",
    unit=Unit("u1", "Vmon of ch03", "CMS/HV", "tripped"),
    detectors=("limits",),
    severity=Severity.CRITICAL,
    certainty=Certainty.SURE,
    since_ns=1,
    raised_ns=2,
    last_ns=3,
    cleared_ns=None,
    tail_probability=None,
    evidence=Evidence("Vmon fell to 0 V.", (Contribution("ch03", "CMS/HV", 0.0, 600.0, 1.0, "V"),)),
)
REPORT = FindingReport("hv", 4, FINDING)


def refuse_constant(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


@settings(deadline=None)
@given(MESSAGES)
def test_messages_come_back_as_they_were(message: Message) -> None:
    encoded = encode(message)
    assert repr(decode(encoded)) == repr(message)  # repr: NaN is equal to itself, and -0.0 is not 0.0
    assert json.loads(encoded, parse_constant=refuse_constant)["type"] == type(message).__name__


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 0.1])
def test_numbers_that_json_has_no_word_for(number: float) -> None:
    contribution = Contribution("bin 3", "", number, number, number)
    report = replace(REPORT, finding=replace(FINDING, tail_probability=number, evidence=Evidence("", (contribution,))))
    encoded = encode(report)
    json.loads(encoded, parse_constant=refuse_constant)
    read = decode(encoded)
    assert isinstance(read, FindingReport)
    assert repr(read) == repr(report)
    assert isinstance(read.finding.tail_probability, float)


def test_numbers_of_numpy_that_are_numbers_of_python() -> None:
    report = replace(REPORT, finding=replace(FINDING, tail_probability=np.float64(1e-7)))
    assert decode(encode(report)) == replace(REPORT, finding=replace(FINDING, tail_probability=1e-7))


def test_text_that_looks_like_a_number_stays_text() -> None:
    for text in ("NaN", "Infinity", "1e400", "null", ""):
        label = Label(text, text, LabelKind.REAL, text, 1, text)
        assert decode(encode(label)) == label


def test_a_file_name_that_is_no_text_can_still_be_reported() -> None:
    letter = decode(encode(DeadLetter.of(1, "root", "run\udcff.root", "gone")))
    assert isinstance(letter, DeadLetter)
    assert letter.subject == "run?.root"


def test_dead_letters_keep_the_start_of_what_was_refused() -> None:
    letter = DeadLetter.of(1, "ingest", "message 0/7", "r" * 10_000, b"\x00\xff" * MAX_DEAD_PAYLOAD_BYTES)
    assert len(letter.reason) == 2000
    assert base64.b64decode(letter.payload) == (b"\x00\xff" * MAX_DEAD_PAYLOAD_BYTES)[:MAX_DEAD_PAYLOAD_BYTES]
    assert decode(encode(letter)) == letter
    assert len(encode(letter)) < 100_000


def body(**changes: Any) -> dict[str, Any]:
    return {**json.loads(encode(REPORT)), **changes}


def finding(**changes: Any) -> dict[str, Any]:
    return body(finding={**body()["finding"], **changes})


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (finding(severity="grave"), "FindingReport.finding.severity: Input should be 'info', 'warning' or 'critical'"),
        (finding(unit={}), "FindingReport.finding.unit.key: Field required"),
        (finding(since_ns="soon"), "FindingReport.finding.since_ns: Input should be a valid integer"),
        (finding(since_ns=1.5), "FindingReport.finding.since_ns: Input should be a valid integer"),
        (finding(detectors="limits"), "FindingReport.finding.detectors: Input should be a valid tuple"),
        (finding(evidence=None), "FindingReport.finding.evidence: Input should be"),
        (finding(tail_probability="low"), "FindingReport.finding.tail_probability: Input should be a valid number"),
        (body(finding=None), "FindingReport.finding: Input should be"),
        (body(at_ns=None), "FindingReport.at_ns: Input should be a valid integer"),
        (body(at_ns=2**63), "not a message of shiftwatch: ValueError"),
        (body(at_ns=-(2**63)), "not a message of shiftwatch: ValueError"),
        (body(stream="half \ud800 of a character"), "not a message of shiftwatch: UnicodeEncodeError"),
        (body(type="Progress2"), "not a message of shiftwatch: type 'Progress2'"),
        (body(type="x" * 1000), f"not a message of shiftwatch: type '{'x' * 40}'"),
        (body(type=[]), "not a message of shiftwatch: TypeError"),
        (body(type=None), "not a message of shiftwatch: "),
        ({"stream": "hv"}, "not a message of shiftwatch: KeyError"),
        ([], "not a message of shiftwatch: TypeError"),
        (["type"], "not a message of shiftwatch: TypeError"),
        (None, "not a message of shiftwatch: AttributeError"),
        ("type", "not a message of shiftwatch: AttributeError"),
        (7, "not a message of shiftwatch: AttributeError"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_field(message: Any, reason: str) -> None:
    with pytest.raises(MessageError) as raised:
        decode(json.dumps(message).encode())
    assert str(raised.value).startswith(reason)


def test_rubbish_is_refused() -> None:
    for data in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"type":' * 100_000, b"1" * 5000, b"NaN", b'{"type":"Progress"}'):
        with pytest.raises(MessageError):
            decode(data)


@settings(deadline=None)
@given(MESSAGES, st.data())
def test_damaged_messages_are_read_or_refused(message: Message, data: st.DataObject) -> None:
    encoded = encode(message)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(MessageError):
        decode(encoded[:cut])
    damaged = bytearray(encoded)
    damaged[cut] ^= 1 << data.draw(st.integers(0, 7))
    try:
        again = decode(bytes(damaged))
    except MessageError:
        return
    assert repr(decode(encode(again))) == repr(again)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_a_message_or_refused(value: Any) -> None:
    for message in (value, {"type": "Progress", "stream": "s", "at_ns": value}, {**body(), "finding": value}, {"type": value}):
        try:
            decode(json.dumps(message).encode())
        except MessageError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


def test_fields_of_a_later_version_are_ignored() -> None:
    assert decode(json.dumps({"type": "Progress", "stream": "s", "at_ns": 5, "lag_ns": 7}).encode()) == Progress("s", 5)


def test_optional_fields_of_an_earlier_version_may_be_missing() -> None:
    label = Label("k", "i", LabelKind.REAL, "Ann", 1)
    written = json.loads(encode(label))
    del written["comment"]
    assert decode(json.dumps(written).encode()) == label
