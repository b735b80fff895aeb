"""What there is to say of a collector: from its class docstring, its option model and its entry point."""

from __future__ import annotations

import inspect
import re
import textwrap
import tomllib
from dataclasses import dataclass

from pydantic import BaseModel

from daemon import plugins
from daemon.reference.words import assignment, default_words, models_in, type_words

_EXAMPLE = re.compile(r"\bExamples?:[ \t]*\n")
FRAMEWORK_ONLY = ("collector", "detectors")
"""Keys of an example that make no sense on a command line."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its type in words, its default as TOML ("required" where there is none), and what it means."""

    name: str
    type: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Prose:
    """A class docstring in its parts: one line, what follows it, the smallest useful TOML, and what is said after that."""

    summary: str
    text: str
    example: str
    notes: str


@dataclass(frozen=True, slots=True)
class Documentation:
    """A collector for who wants to use it. `tables`: options of the tables that its options are made of, by their name.

    `yields`: what its `collect` says it yields. `install`: the command for what it depends on, "" where that is always there.
    """

    name: str
    prose: Prose
    options: tuple[Option, ...]
    tables: dict[str, tuple[Option, ...]]
    yields: str
    finite: bool
    install: str

    @property
    def command(self) -> str:
        """A command that shows what the example's source sees, without a configuration file; "" where there is nothing to ask."""
        if self.name == "pushed" or not self.prose.example:
            return ""
        ((_, section),) = tomllib.loads(self.prose.example)["source"].items()
        pairs = [assignment(key, value) for key, value in section.items() if key not in FRAMEWORK_ONLY]
        return " ".join(["shiftwatch collect --once --with", self.name, *pairs])


def documentation(name: str) -> Documentation:
    """All that there is to say of a collector. Raises PluginError where it cannot be loaded."""
    plugin = plugins.load("collectors", name)
    model: type[BaseModel] = plugin.options_model
    return Documentation(
        name=name,
        prose=prose_of(plugin.__doc__ or ""),
        options=options_of(model),
        tables=tables_of(model),
        yields=joined(inspect.getdoc(plugin.collect) or ""),
        finite=bool(plugin.finite),
        install=plugins.install_command(plugins.entry_point("collectors", name)),
    )


def own_collectors() -> list[str]:
    """Names of the collectors that come with shiftwatch, sorted."""
    points = [plugins.entry_point("collectors", name) for name in plugins.names("collectors")]
    return [point.name for point in points if point.module.partition(".")[0] == "collectors"]


def options_of(model: type[BaseModel]) -> tuple[Option, ...]:
    """The options of a model: those that must be given first, then in the order in which they stand there."""
    options = [
        Option(field.alias or name, type_words(field.annotation, field.metadata), default_words(field), joined(field.description or ""))
        for name, field in model.model_fields.items()
    ]
    return tuple(sorted(options, key=lambda option: option.default != "required"))


def prose_of(docstring: str) -> Prose:
    """The parts of a docstring. The example is what is indented after "Example:"."""
    text = inspect.cleandoc(docstring)
    said, *after = _EXAMPLE.split(text, maxsplit=1)
    summary, _, rest = said.strip().partition("\n")
    example: list[str] = []
    lines = after[0].splitlines() if after else []
    while lines and (not lines[0].strip() or lines[0][0].isspace()):
        example.append(lines.pop(0))
    return Prose(summary.strip(), rest.strip(), textwrap.dedent("\n".join(example)).strip("\n"), "\n".join(lines).strip())


def joined(text: str) -> str:
    """A text on one line."""
    return " ".join(text.split())


def tables_of(model: type[BaseModel]) -> dict[str, tuple[Option, ...]]:
    """Options of the tables that a model's options are made of, by the table's name; tables in them too."""
    found: dict[str, tuple[Option, ...]] = {}
    unseen = [model]
    while unseen:
        for field in unseen.pop(0).model_fields.values():
            for inner in models_in(field.annotation):
                if inner.__name__ not in found:
                    found[inner.__name__] = options_of(inner)
                    unseen.append(inner)
    return found
