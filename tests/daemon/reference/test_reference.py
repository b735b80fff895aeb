"""collectors/README.md and `collect show` are made of the code, and of all of it."""

from __future__ import annotations

import shlex
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

from collectors.collector import Options
from collectors.patterns import PlaceTemplates
from daemon.plugins import PluginError
from daemon.reference import __main__ as writer
from daemon.reference.collectors import documentation, options_of, own_collectors, prose_of, tables_of
from daemon.reference.outline import outline
from daemon.reference.page import page, path
from daemon.reference.text import lines
from daemon.reference.words import assignment, plain_or_toml, toml, type_words
from daemon.sections import SourceSettings
from daemon.settings import validate

OWN = own_collectors()


def test_the_committed_page_is_what_the_code_says() -> None:
    assert path().read_text(encoding="utf-8") == page(), "run make reference"


def test_every_collector_has_a_section_and_a_line_in_the_list() -> None:
    text = path().read_text(encoding="utf-8")
    for name in OWN:
        assert f"\n### {name}\n" in text
        assert f"| [`{name}`](#{name}) |" in text


@pytest.mark.parametrize("name", OWN)
def test_every_collector_is_documented(name: str) -> None:
    found = documentation(name)
    assert 20 < len(found.prose.summary) < 160
    assert found.prose.summary.endswith(".")
    assert found.yields.endswith(".")
    undocumented = [option.name for option in found.options if not option.meaning]
    undocumented += [f"{table}.{option.name}" for table, options in found.tables.items() for option in options if not option.meaning]
    assert undocumented == []
    assert outline(name).summary == found.prose.summary
    assert outline(name).finite is found.finite


@pytest.mark.parametrize("name", OWN)
def test_every_example_is_a_valid_configuration(name: str) -> None:
    found = documentation(name)
    document = tomllib.loads(found.prose.example)
    ((source, section),) = document["source"].items()
    assert section["collector"] == name
    section.pop("detectors", None)
    assert validate(document).source[source].collector == name
    if found.command:
        words = shlex.split(found.command)
        assert words[:5] == ["shiftwatch", "collect", "--once", "--with", name]
        pairs = dict(word.split("=", 1) for word in words[5:])
        assert {key: plain_or_toml(text) for key, text in pairs.items()} == {k: v for k, v in section.items() if k != "collector"}


@pytest.mark.parametrize("name", OWN)
def test_the_terminal_shows_every_option(name: str) -> None:
    shown = "\n".join(lines(documentation(name)))
    for option in documentation(name).options:
        assert f"    {option.name}  (" in shown


def test_options_of_every_source_are_documented() -> None:
    tables = {"source": options_of(SourceSettings), **tables_of(SourceSettings)}
    assert [f"{name}.{option.name}" for name, options in tables.items() for option in options if not option.meaning] == []


def test_a_collector_that_cannot_be_loaded_leaves_the_page_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = path().read_text(encoding="utf-8")

    def missing() -> str:
        raise PluginError("collector 'uhi' cannot be loaded")

    monkeypatch.setattr(writer, "page", missing)
    assert writer.main() == 1
    assert "collector 'uhi' cannot be loaded" in capsys.readouterr().err
    assert path().read_text(encoding="utf-8") == before


class Inner(Options):
    """A table."""

    edge: float = 1.0
    """Where."""


class Outer(Options):
    """All kinds of options."""

    first: str = "a"
    needed: int = Field(ge=1, le=9)
    """What it
    is."""
    inner: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (str, "text"),
        (bool, "true or false"),
        (Path | None, "path"),
        (tuple[str, ...], "list of texts"),
        (tuple[float, int], "list of number, whole number"),
        (dict[str, tuple[str, ...]], "table of lists of texts"),
        (PlaceTemplates, "table of texts"),
        (Literal["a", "b"], '"a" or "b"'),
        (SecretStr | None, "secret text"),
        (tuple[Annotated[int, Field(ge=0, le=31)], ...], "list of whole numbers ≥ 0, ≤ 31"),
        (dict[str, Inner], "table of tables (Inner)"),
        (int | str, "whole number or text"),
        (datetime, "time"),
    ],
)
def test_types_have_words(annotation: Any, words: str) -> None:
    assert type_words(annotation) == words


def test_what_must_be_given_comes_first_and_tables_are_followed() -> None:
    first, second, third = options_of(Outer)
    assert (first.name, first.type, first.default, first.meaning) == ("needed", "whole number ≥ 1, ≤ 9", "required", "What it is.")
    assert (second.default, third.type) == ('"a"', "list of tables (Inner)")
    assert list(tables_of(Outer)) == ["Inner"]


def test_a_docstring_has_parts() -> None:
    prose = prose_of("""One line.

    More of it.
    And more. Example:

        [source.x]
        collector = "x"

        [detector.y]

    Afterwards.
    """)
    assert prose.summary == "One line."
    assert prose.text == "More of it.\nAnd more."
    assert tomllib.loads(prose.example) == {"source": {"x": {"collector": "x"}}, "detector": {"y": {}}}
    assert prose.notes == "Afterwards."
    assert prose_of("Only this.").example == ""


VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126)), inner)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_values_are_read_back_as_they_were(value: Any) -> None:
    read = tomllib.loads(f"value = {toml(value)}")["value"]
    assert read == value
    [word] = shlex.split(assignment("key", value))
    assert plain_or_toml(word.removeprefix("key=")) == value


def test_other_values_of_options() -> None:
    assert toml(datetime(2000, 1, 1, tzinfo=UTC)) == "2000-01-01T00:00:00+00:00"
    assert toml(Path("/var/log")) == '"/var/log"'
    assert toml(Inner(edge=2.5)) == "{ edge = 2.5 }"
    with pytest.raises(TypeError):
        toml(object())


def test_a_model_without_options() -> None:
    class Nothing(BaseModel):
        pass

    assert options_of(Nothing) == ()
