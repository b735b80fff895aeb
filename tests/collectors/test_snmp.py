"""SNMP against a simulated WIENER crate in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from collectors.collector import CollectError
from collectors.difference import Differencer
from collectors.frame import Frame, Kind, Quality
from collectors.ramping import Ramping, RampingRule
from tests.collectors.snmp_agent import CRATE, OUTPUT, Record, Simulator, counter32, integer, octets, output, real, text
from tests.collectors.snmp_turns import COMMUNITY, NOW_NS, Build, building, channel, quality, turn, value

SYSTEM = [integer(f"{CRATE}.1.1.0", 1), octets(f"{CRATE}.1.2.0", b"\x80\x02")]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    running = Simulator(tmp_path_factory.mktemp("agent"), COMMUNITY).start()
    yield running
    running.kill()


@pytest.fixture
def crate(process: Simulator) -> Simulator:
    if not process.is_running:
        process.start()
    process.show([*SYSTEM, *output(0, 1400.5, 2e-6), *output(1, 1399.5, 3e-6), *output(101, 30.0, 0.5)])
    return process


@pytest.fixture
def build() -> Iterator[Build]:
    with building() as start:
        yield start


def without(records: list[Record], *oids: str) -> list[Record]:
    return [record for record in records if record[0] not in oids]


def test_wiener_crate(crate: Simulator, build: Build) -> None:
    frame, rejected = turn(build(crate.address, profile="wiener", device="mpod1"))
    assert rejected == []
    assert frame.time_ns.tolist() == [NOW_NS]
    assert frame.quality is None
    voltage, current = channel(frame, "mpod1:U0:VMon"), channel(frame, "mpod1:U101:IMon")
    assert (voltage.unit, voltage.place, value(frame, "mpod1:U0:VMon")) == ("V", "LAB/HV/mpod1/board0/U0", 1400.5)
    assert (current.unit, current.place, value(frame, "mpod1:U101:IMon")) == ("A", "LAB/HV/mpod1/board1/U101", 0.5)
    assert value(frame, "mpod1:U1:V0Set") == 1400
    switch = channel(frame, "mpod1:U0:Switch")
    assert (switch.kind, switch.states[int(value(frame, switch.name))]) == (Kind.STATE, "on")
    assert "mpod1:U0:Temp" not in frame.layout, "-128 says that there is no thermometer"


def test_bits_count_from_the_most_significant_one(crate: Simulator, build: Build) -> None:
    crate.show([*SYSTEM, *output(0, 0, 0, bytes([0b10000100, 0b00010010, 0b00000000, 0b01000000]))])
    frame, _ = turn(build(crate.address, profile="wiener"))

    def names(name: str) -> list[str]:
        word = int(value(frame, name))
        return [bit for i, bit in enumerate(channel(frame, name).states) if word >> i & 1]

    assert channel(frame, "mpod:U0:Status").kind is Kind.BITS
    assert names("mpod:U0:Status") == ["on", "failure_max_current", "ramp_up", "emergency_off", "init_crc_check_bad"]
    assert names("mpod:SysStatus") == ["main_on", "supply_present"]


def test_framework_sees_the_ramp(crate: Simulator, build: Build) -> None:
    crate.show([*output(0, 700, 2e-6, b"\x80\x10"), *output(1, 1400, 2e-6, b"\x80\x00")])
    frame, _ = turn(build(crate.address, profile="wiener"))
    marked = Ramping([RampingRule(status="*:Status", readings=("{1}:VMon", "{1}:IMon"), bits=(11, 12))]).mark(frame)
    assert isinstance(marked, Frame)
    assert quality(marked, "mpod:U0:VMon") is quality(marked, "mpod:U0:IMon") is Quality.RAMPING
    assert quality(marked, "mpod:U1:VMon") is Quality.GOOD


def test_output_that_vanishes_is_disconnected_until_it_is_back(crate: Simulator, build: Build) -> None:
    collector = build(crate.address, profile="wiener")
    before, _ = turn(collector)
    crate.show([*SYSTEM, *output(0, 1401, 2e-6)])
    frame, rejected = turn(collector)
    assert rejected == []
    assert frame.layout.digest == before.layout.digest
    assert {quality(frame, f"mpod:U101:{what}") for what in ("VMon", "IMon", "Status", "Switch")} == {Quality.DISCONNECTED}
    assert np.isnan(value(frame, "mpod:U101:VMon"))
    assert (value(frame, "mpod:U0:VMon"), quality(frame, "mpod:U0:VMon")) == (1401, Quality.GOOD)
    crate.show([*SYSTEM, *output(0, 1402, 2e-6), *output(101, 31, 0.5)])
    frame, _ = turn(collector)
    assert (value(frame, "mpod:U101:VMon"), quality(frame, "mpod:U101:VMon")) == (31, Quality.GOOD)


def test_half_a_row_is_half_a_row(crate: Simulator, build: Build) -> None:
    """A board that goes away while its table is read: the columns that were read later do not have it any more."""
    collector = build(crate.address, profile="wiener")
    turn(collector)
    crate.show(without(output(0, 1402, 2e-6), f"{OUTPUT}.2.1", f"{OUTPUT}.7.1"))
    frame, rejected = turn(collector)
    assert rejected == []
    assert (value(frame, "mpod:U0:VMon"), quality(frame, "mpod:U0:VMon")) == (1402, Quality.GOOD), "it keeps its name"
    assert quality(frame, "mpod:U0:IMon") is Quality.DISCONNECTED
    assert quality(frame, "mpod:MainSwitch") is Quality.DISCONNECTED


def test_values_as_text_and_as_integers(crate: Simulator, build: Build) -> None:
    plain = [text(f"{OUTPUT}.2.1", "U0"), text(f"{OUTPUT}.5.1", "1400.25"), integer(f"{OUTPUT}.7.1", 3), integer(f"{OUTPUT}.4.1", 5)]
    crate.show([*plain, integer(f"{OUTPUT}.8.1", 41)])
    frame, rejected = turn(build(crate.address, profile="wiener"))
    assert rejected == []
    assert [value(frame, f"mpod:U0:{what}") for what in ("VMon", "IMon", "Status", "Temp")] == [1400.25, 3, 5, 41]


def test_bad_value_is_said_once_and_again_after_it_was_good(crate: Simulator, build: Build) -> None:
    collector = build(crate.address, profile="wiener")
    good = output(0, 1400, 2e-6)
    bad = [*without(good, f"{OUTPUT}.5.1", f"{OUTPUT}.9.1"), text(f"{OUTPUT}.5.1", "ERR"), integer(f"{OUTPUT}.9.1", 4)]
    reasons = []
    for records in (good, bad, bad, good, bad):
        crate.show(records)
        frame, rejected = turn(collector)
        reasons.append([(item.subject, item.reason) for item in rejected])
    expected = [("mpod:U0:VMon", "'ERR' is not a number"), ("mpod:U0:Switch", "4 is none of its states")]
    assert reasons == [[], expected, [], [], expected]
    assert quality(frame, "mpod:U0:VMon") is quality(frame, "mpod:U0:Switch") is Quality.INVALID
    assert quality(frame, "mpod:U0:IMon") is Quality.GOOD


def test_column_that_the_agent_fails_on_does_not_take_the_others_along(crate: Simulator, build: Build) -> None:
    collector = build(crate.address, profile="wiener")
    good = output(0, 1400, 2e-6)
    crate.show([*without(good, f"{OUTPUT}.7.1"), (f"{OUTPUT}.7.1", "2:error", "status=generror,value=1")])
    frame, rejected = turn(collector)
    assert (f"{OUTPUT}.7", "the agent says genErr") in [(item.subject, item.reason) for item in rejected]
    assert value(frame, "mpod:U0:VMon") == 1400
    assert value(frame, "mpod:U0:V0Set") == 1400
    assert "mpod:U0:IMon" not in frame.layout


@pytest.mark.parametrize("request_values", [1, 7, 48, 1000])
def test_whole_crate_is_read_whatever_fits_into_a_request(crate: Simulator, build: Build, request_values: int) -> None:
    numbers = [100 * board + number for board in range(4) for number in range(12)]
    uneven = [record for n in numbers for record in output(n, n, n / 8) if n % 5 or record[0] != f"{OUTPUT}.7.{n + 1}"]
    crate.show(uneven)
    frame, rejected = turn(build(crate.address, profile="wiener", request_values=request_values))
    assert rejected == []
    assert {name: value(frame, name) for name in (f"mpod:U{n}:VMon" for n in numbers)} == {f"mpod:U{n}:VMon": n for n in numbers}
    currents = {f"mpod:U{n}:IMon": n / 8 for n in numbers if n % 5}
    assert {c.name: value(frame, c.name) for c in frame.layout.columns if c.name.endswith("IMon")} == currents


def test_table_is_bounded(crate: Simulator, build: Build) -> None:
    frame, rejected = turn(build(crate.address, profile="wiener", max_rows=2))
    assert "mpod:U1:VMon" in frame.layout
    assert not any("U101" in column.name for column in frame.layout.columns)
    assert ("more than 2 rows", f"{OUTPUT}.5") in [(item.reason, item.subject) for item in rejected]


def test_names_that_rows_share_or_do_not_have(crate: Simulator, build: Build) -> None:
    labels = {1: "fan", 2: "fan", 3: "", 4: "a/b c\r\n\x00", 5: "pump"}
    crate.show(
        [r for i, name in labels.items() for r in (octets(f"1.3.6.1.4.1.9.1.2.{i}", name.encode()), integer(f"1.3.6.1.4.1.9.1.3.{i}", i))]
    )
    table = {"oid": "1.3.6.1.4.1.9.1", "label": "2", "name": "x:{label}", "columns": {"Speed": {"oid": "3", "unit": "rpm", "scale": 0.5}}}
    frame, rejected = turn(build(crate.address, tables=[table]))
    assert rejected == []
    expected = {"x:fan[1]:Speed": 0.5, "x:fan[2]:Speed": 1, "x:3:Speed": 1.5, "x:a/b c:Speed": 2, "x:pump:Speed": 2.5}
    assert {c.name: value(frame, c.name) for c in frame.layout.columns} == expected
    assert channel(frame, "x:a/b c:Speed").place == "LAB/HV/a_b_c"


def test_two_values_of_one_name_are_said(crate: Simulator, build: Build) -> None:
    scalars = [{"name": "Switch", "oid": f"{CRATE}.1.1.0"}, {"name": "Switch", "oid": f"{CRATE}.1.2.0"}]
    frame, (rejected,) = turn(build(crate.address, scalars=scalars))
    assert value(frame, "Switch") == 1
    assert (rejected.subject, rejected.reason) == ("Switch", "several values have this name; the first is taken")


def test_include_exclude_and_places(crate: Simulator, build: Build) -> None:
    options = {"include": ["*Mon", "*:SysStatus"], "exclude": ["*:U1:*"], "places": {"*:U*:*": "sector{2}"}}
    frame, _ = turn(build(crate.address, profile="wiener", **options))
    assert {c.name: c.place for c in frame.layout.channels} == {
        "mpod:SysStatus": "LAB/HV",
        "mpod:U0:VMon": "LAB/HV/sector0",
        "mpod:U0:IMon": "LAB/HV/sector0",
        "mpod:U101:VMon": "LAB/HV/sector101",
        "mpod:U101:IMon": "LAB/HV/sector101",
    }


def test_counter_that_wraps_never_gives_a_rate_that_cannot_be(crate: Simulator, build: Build) -> None:
    """The framework reads a wrap of 32 bits as a reset: the rate is too low once, and never negative or huge."""
    table = {"oid": "1.3.6.1.2.1.2.2.1", "columns": {"In": {"oid": "10", "unit": "B"}}}
    collector = build(crate.address, tables=[table])
    differencer = Differencer(histograms=False)
    rates = []
    for second, total in enumerate((2**32 - 3000, 2**32 - 2000, 500, 1500)):
        crate.show([counter32("1.3.6.1.2.1.2.2.1.10.1", total)])
        frame, _ = turn(collector)
        assert channel(frame, "1:In").kind is Kind.COUNTER
        rate = differencer.difference(Frame(frame.layout, frame.time_ns + second * 1_000_000_000, frame.values))
        rates.append(float(rate.values[0, 0]))
    assert np.isnan(rates[0])
    assert rates[1:] == [1000, 500, 1000]


def test_agent_without_anything_that_is_asked_for(crate: Simulator, build: Build) -> None:
    crate.show([])
    with pytest.raises(CollectError, match=f"{crate.address}: the agent answers, but has nothing"):
        turn(build(crate.address, profile="wiener"))


def test_killed_agent_is_an_error_and_its_return_is_noticed(crate: Simulator, build: Build) -> None:
    collector = build(crate.address, profile="wiener", timeout_s=0.5)
    before, _ = turn(collector)
    crate.kill()
    for _ in range(2):
        with pytest.raises(CollectError, match=f"^{crate.address}: no answer within 0.5 s, asked 2 times"):
            turn(collector)
    crate.start()
    after, rejected = turn(collector)
    assert rejected == []
    assert after.layout.digest == before.layout.digest


def test_wrong_community_is_an_error_that_does_not_show_it(crate: Simulator, build: Build, tmp_path: Path) -> None:
    file = tmp_path / "community"
    file.write_text("wr0ng-secret\n")
    collector = build(crate.address, profile="wiener", timeout_s=0.3, community=None, community_file=file)
    with pytest.raises(CollectError, match="it is down, or does not know the community") as error:
        turn(collector)
    assert "wr0ng-secret" not in str(error.value) + repr(collector) + repr(vars(collector))
    file.write_text(COMMUNITY + "\n")
    turn(collector)
    file.unlink()
    collector.close()
    with pytest.raises(CollectError, match=f"{file}: No such file or directory"):
        turn(collector)


def test_version_3_with_authentication_and_privacy(crate: Simulator, build: Build, tmp_path: Path) -> None:
    for name, password in (("auth", "auctoritas"), ("privacy", "privatus1")):
        (tmp_path / name).write_text(password)
    files = {"auth_password_file": tmp_path / "auth", "privacy_password_file": tmp_path / "privacy"}
    options = {"user": "shifter", "auth_protocol": "sha256", "context": COMMUNITY, "profile": "wiener", **files}
    frame, rejected = turn(build(crate.address, **options))
    assert rejected == []
    assert value(frame, "mpod:U0:VMon") == 1400.5
    (tmp_path / "auth").write_text("wrong-password")
    collector = build(crate.address, timeout_s=0.5, **options)
    with pytest.raises(CollectError, match=f"^{crate.address}: ") as error:
        turn(collector)
    assert "wrong-password" not in str(error.value)


def test_nan_is_no_reading(crate: Simulator, build: Build) -> None:
    crate.show([real(f"{OUTPUT}.5.1", float("nan")), real(f"{OUTPUT}.7.1", 0.5)])
    frame, rejected = turn(build(crate.address, profile="wiener"))
    assert rejected == []
    assert quality(frame, "mpod:1:VMon") is Quality.INVALID
    assert value(frame, "mpod:1:IMon") == 0.5, "a row without a name has its index for one"
