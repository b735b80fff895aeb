"""Which source is meant: a section of a configuration, or a collector with options on the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from collectors.collector import Collector, Origin
from collectors.ramping import Ramping
from daemon import plugins
from daemon.agent.node import for_node
from daemon.clock import Clock, SystemClock
from daemon.reference.collectors import documentation
from daemon.reference.words import is_secret, plain_or_toml
from daemon.sections import ConfigurationError, SourceSettings
from daemon.settings import Settings, validate

KEPT = ("experiment", "time_zone", "clock")
"""What of a configuration matters for looking at one source; what else is wrong with it, `config check` says."""
PUSHED = "pushed"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A source that is to be looked at."""

    name: str
    settings: SourceSettings
    place: str
    clock: Clock

    def open(self) -> Collector:
        """Its collector, as the collect stage would build it, but for a look that leaves no trace at the source."""
        collector: Collector = plugins.load("collectors", self.settings.collector)(
            Origin(self.name, self.place, self.clock.now_ns, is_look=True), self.settings.options
        )
        return collector

    def ramping(self) -> Ramping:
        """What marks its readings while something ramps."""
        return Ramping(self.settings.ramping)


def configured(path: Path, asked: str) -> Chosen:
    """A source of a configuration by its name, or by its collector's where only one source has it.

    Raises ConfigurationError; its notes say what else to try.
    """
    try:
        document = for_node(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        hints = _without_a_file(asked) or [
            "-c FILE names another configuration; without one: shiftwatch collect --once --with COLLECTOR KEY=VALUE..."
        ]
        raise _with_hint(f"{path}: {error.strerror}", hints) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    sections = document.get("source", {})
    if not isinstance(sections, dict):
        raise ConfigurationError(f"{path}: source: not a table of sources")
    name = _named(path, sections, asked)
    section = sections[name]
    if isinstance(section, dict):
        section = {key: value for key, value in section.items() if key != "detectors"}
    kept = {key: document[key] for key in KEPT if key in document}
    return _chosen(name, validate({**kept, "source": {name: section}}, str(path)))


def ad_hoc(collector: str, assignments: Sequence[str]) -> Chosen:
    """A collector with options KEY=VALUE. Raises PluginError, and ConfigurationError whose notes show the smallest configuration."""
    model: type[BaseModel] = plugins.load("collectors", collector).options_model
    texts = _texts(collector, assignments)
    _refuse_secrets(model, texts)
    values = {key: plain_or_toml(text) for key, text in texts.items()}
    try:
        model.model_validate({key: value for key, value in values.items() if key not in SourceSettings.model_fields})
    except ValidationError as error:
        values.update(_meant(error, values, texts))
    try:
        settings = validate({"source": {collector: {**values, "collector": collector}}}, "")
    except ConfigurationError as error:
        said = [line.removeprefix(f": source.{collector}").removeprefix(".").removeprefix(": ") for line in str(error).splitlines()]
        raise _with_hint("\n".join(f"--with {collector}: {line}" for line in said), _smallest(collector)) from None
    return _chosen(collector, settings)


def _chosen(name: str, settings: Settings) -> Chosen:
    section = settings.source[name]
    clock: Clock = SystemClock()
    if settings.clock.origin_wall_ns:
        from daemon.pipeline import open_clock  # noqa: PLC0415 - imports every stage, and only demonstrations have another clock

        clock = open_clock(settings)
    return Chosen(name, section, section.place or settings.experiment, clock)


def _named(path: Path, sections: Mapping[str, Any], asked: str) -> str:
    if asked in sections:
        return asked
    users = [name for name, section in sections.items() if isinstance(section, dict) and section.get("collector") == asked]
    if len(users) == 1:
        return users[0]
    if users:
        raise ConfigurationError(f"{path}: {len(users)} sources use {asked!r}; name one of {', '.join(users)}")
    raise _with_hint(f"{path}: no source {asked!r}; there are {', '.join(sections) or 'none'}", _without_a_file(asked))


def _texts(collector: str, assignments: Sequence[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise _with_hint(f"--with {collector}: {assignment!r} is not KEY=VALUE", _smallest(collector))
        if key in texts:
            raise ConfigurationError(f"--with {collector}: {key} is given twice")
        texts[key.strip()] = text.strip()
    return texts


def _refuse_secrets(model: type[BaseModel], texts: Mapping[str, str]) -> None:
    """Whoever is logged in to a machine can read the command lines of others."""
    for key in texts:
        field = model.model_fields.get(key)
        if field is not None and is_secret(field.annotation):
            instead = (
                f"write it into a file and give {key}_file=PATH" if f"{key}_file" in model.model_fields else "put it into a configuration"
            )
            raise ConfigurationError(f"{key}: a secret on a command line can be read by everybody on this machine; {instead}")


def _meant(error: ValidationError, values: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """What a person meant who left out quotation marks and brackets: community=1234 is a text, include=node_* a list."""
    meant: dict[str, Any] = {}
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        key = problem["loc"][0] if problem["loc"] else None
        if not isinstance(key, str) or key not in values:
            continue
        if len(problem["loc"]) == 1 and problem["type"] == "string_type":
            meant[key] = texts[key]
        elif len(problem["loc"]) == 1 and problem["type"] in ("tuple_type", "list_type"):
            meant[key] = [values[key]]
    return meant


def _with_hint(problem: str, hint: Sequence[str]) -> ConfigurationError:
    error = ConfigurationError(problem)
    if hint:
        error.add_note("\n".join(hint))
    return error


def _without_a_file(asked: str) -> list[str]:
    if asked not in plugins.names("collectors"):
        return []
    return ["Without a configuration file:", *_smallest(asked)[-1:], f"All of its options: shiftwatch collect show {asked}"]


def _smallest(collector: str) -> list[str]:
    """The smallest useful configuration, and the same as a command; a line each."""
    found = documentation(collector)
    if not found.prose.example:
        return []
    lines = [f"The smallest useful configuration of {collector}:", *(f"    {line}" for line in found.prose.example.splitlines())]
    return [*lines, *(["Or, without a file:", f"    {found.command}"] if found.command else [])]
