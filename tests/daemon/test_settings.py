"""The configuration: what is wrong is said in one line with its path in the file, and nothing secret with it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.examples import example_names, example_text
from daemon.sections import ConfigurationError, DetectorSettings, StoreSettings
from daemon.settings import Settings, detector_settings, load, parse
from detectors.limits import LimitsOptions

TABLE = '[source.t]\ncollector = "table"\nfiles = "t.csv"\ntime = "t"\n'


def refused(text: str) -> list[str]:
    """What is said of a configuration."""
    with pytest.raises(ConfigurationError) as error:
        parse(text, "shiftwatch.toml")
    lines = str(error.value).splitlines()
    assert all(line.startswith("shiftwatch.toml: ") for line in lines)
    return [line.removeprefix("shiftwatch.toml: ") for line in lines]


def test_an_empty_file_is_a_configuration() -> None:
    settings = parse("")
    assert settings == Settings()
    assert (settings.bus.driver, settings.store.resolve(), settings.http.host) == ("memory", "sqlite:///shiftwatch.db", "127.0.0.1")
    assert (settings.false_alarms_per_day, settings.zone.key) == (1.0, "UTC")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1", "colour: unknown key"),
        ("[http]\nprot = 1", "http.prot: unknown key"),
        ("[bus.kafka]\nserver = 'x'", "bus.kafka.server: unknown key"),
        ("[bus]\ndriver = 'rabbit'", "bus.driver: Input should be 'memory' or 'kafka'"),
        ("[http]\nport = 70000", "http.port: Input should be less than or equal to 65535"),
        ("[http]\nport = 'ten'", "http.port: Input should be a valid integer, unable to parse string as an integer"),
        ("false_alarms_per_day = 0", "false_alarms_per_day: Input should be greater than 0"),
        ("false_alarms_per_day = nan", "false_alarms_per_day: Input should be greater than 0"),
        ("time_zone = 'Mars/Olympus'", "time_zone: no time zone 'Mars/Olympus'; use a name such as Europe/Zurich"),
        ("time_zone = 'Europe'", "time_zone: no time zone 'Europe'; use a name such as Europe/Zurich"),
        ("time_zone = '../etc/passwd'", "time_zone: no time zone '../etc/passwd'; use a name such as Europe/Zurich"),
        ("[log]\nlevel = 7", "log.level: Input should be 'debug', 'info', 'warning' or 'error'"),
        ("[source.t]\nperiod_s = 10", "source.t.collector: Field required"),
        ("[[causality]]\ncause = { place = 'a' }", "causality.0.effect: Field required"),
        ("[[causality]]\ncause = {}\neffect = {}\nwithin = 'house'", "causality.0.within: Input should be 'anywhere' or 'same_branch'"),
        ("[correlation]\nreopen_window_s = -1", "correlation.reopen_window_s: Input should be greater than or equal to 0"),
    ],
)
def test_one_thing_wrong_is_one_line(text: str, said: str) -> None:
    assert refused(text) == [said]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("colour = 1", "source.t.colour: unknown key"),
        ("mute = [{ condition = 'beam' }]", "source.t.mute.0: give either values or unless"),
        ("detectors = ['limit']", "source.t.detectors: no detector 'limit'"),
        ("detectors = ['limits', 'limits']", "source.t.detectors: 'limits' is named twice"),
        ("period_s = '10 s'", "source.t.period_s: Input should be a valid number, unable to parse string as a number"),
        ("[detector.x]\nmethod = 'limits'\nraise_rows = 0", "detector.x.raise_rows: Input should be greater than or equal to 1"),
        ("[detector.x]\nmethod = 'limits'\nrules = [{ channel = 'a', top = 1 }]", "detector.x.rules.0.top: unknown key"),
    ],
)
def test_what_is_wrong_with_a_source_or_a_detector(change: str, said: str) -> None:
    assert refused(TABLE + change) == [said]


def test_names_of_plugins_are_told_where_one_is_wrong() -> None:
    (line,) = refused("[source.t]\ncollector = 'tabel'")
    assert line.startswith("source.t: no collector 'tabel'; there are ")
    assert "table" in line
    (line,) = refused("[detector.mine]")
    assert line.startswith("detector.mine: no detector 'mine'; there are ")


def test_options_that_a_collector_needs_are_missed() -> None:
    assert any(line.endswith(": Field required") for line in refused("[source.t]\ncollector = 'table'"))


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert refused("colour = 1\n[http]\nport = -1") == ["http.port: Input should be greater than or equal to 0", "colour: unknown key"]
    two = TABLE + "colour = 1\n[source.u]\ncollector = 'tabel'\n"
    assert [line.split(":")[0] for line in refused(two)] == ["source.t.colour", "source.u"]


@pytest.mark.parametrize("name", ["-x", "a/b", "a#0", ""])
def test_names_of_sources_are_plain(name: str) -> None:
    (line,) = refused(f"[source.'{name}']\ncollector = 'table'")
    assert line.startswith(f"source.{name}.")


@pytest.mark.parametrize(
    "text",
    [
        "[bus.kafka]\nsasl_password = 's3cret'\nsasl_mechanism = 'NONE'",
        "[bus.kafka]\nsasl_password = ['s3cret']",
        "[bus.kafka]\nsasl_password = 's3cret\n",
        "[bus.kafka]\nssl_key_password = 's3cret'\nbootstrap_servers = 7",
        "[store]\nurl = 'postgresql://me:s3cret@db/x'\npassword = 's3cret'",
        "[store]\nurl = ['postgresql://me:s3cret@db/x']",
    ],
)
def test_a_secret_is_never_part_of_what_is_said(text: str) -> None:
    assert "s3cret" not in "\n".join(refused(text))


@given(st.text(max_size=60))
def test_any_text_is_a_configuration_or_refused(text: str) -> None:
    with suppress(ConfigurationError):
        parse(text)


class TestFiles:
    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"none\.toml: No such file or directory$"):
            load(tmp_path / "none.toml")

    def test_one_that_is_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / "latin.toml"
        path.write_bytes("# 21 °C".encode("latin-1"))
        with pytest.raises(ConfigurationError, match=r"latin\.toml: not a text in UTF-8 \(byte 5\)$"):
            load(path)

    def test_one_that_is_not_toml(self, tmp_path: Path) -> None:
        path = tmp_path / "broken.toml"
        path.write_text("a = \n")
        with pytest.raises(ConfigurationError, match=r"broken\.toml: .*line 1"):
            load(path)

    def test_the_database_may_be_named_in_a_file_of_its_own(self, tmp_path: Path) -> None:
        (tmp_path / "url").write_text("postgresql://me:s3cret@db/x\n")
        assert StoreSettings(url_file=tmp_path / "url").resolve() == "postgresql://me:s3cret@db/x"
        with pytest.raises(ConfigurationError, match=r"^store\.url_file: No such file or directory: .*none$"):
            StoreSettings(url_file=tmp_path / "none").resolve()


class TestDetectors:
    TEXT = (
        TABLE
        + "detectors = ['limits', 'tight']\n[detector.tight]\nmethod = 'limits'\nraise_rows = 5\nrules = [{ channel = 'a', high = 1 }]"
    )

    def test_options_are_those_of_the_method(self) -> None:
        section = detector_settings(parse(self.TEXT), "tight")
        assert isinstance(section.options, LimitsOptions)
        assert (section.options.rules[0].high, section.raise_rows, section.method) == (1.0, 5, "limits")

    def test_one_without_a_section_has_the_defaults(self) -> None:
        section = detector_settings(parse(self.TEXT), "limits")
        assert section.options == LimitsOptions()
        assert section.raise_rows == DetectorSettings().raise_rows


@pytest.mark.parametrize(("line", "silence_s"), [("period_s = 5", 30.0), ("period_s = 60", 180.0), ("silent_after_s = 7200", 7200.0)])
def test_silence_is_three_periods_unless_said_otherwise(line: str, silence_s: float) -> None:
    assert parse(TABLE + line).source["t"].silence_s == silence_s


@pytest.mark.parametrize("name", example_names())
def test_shipped_configurations_are_right(name: str) -> None:
    text = example_text(name).replace("{source}", "/data/recorded")
    settings = parse(text, name)
    assert settings.source


def test_reading_a_configuration_imports_no_plugin_that_it_does_not_name() -> None:
    heavy = ("torch", "uproot", "caproto", "sklearn", "kafka")
    code = f"import sys; from daemon.settings import parse; parse({TABLE!r}); print([m for m in {heavy!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
