"""The documentation of a collector for a terminal."""

from __future__ import annotations

import textwrap

from daemon.reference.collectors import Documentation, Option

WIDTH = 110
_INDENT = "    "


def lines(found: Documentation) -> list[str]:
    """Prose, example, options and what it yields."""
    said = [f"{found.name}: {found.prose.summary}", ""]
    if found.prose.text:
        said += [*_paragraphs(found.prose.text), ""]
    if found.install:
        said += [f"Needs {found.install}.", ""]
    if found.prose.example:
        said += ["Example:", "", *_indented(found.prose.example), ""]
    if found.prose.notes:
        said += [*_paragraphs(found.prose.notes), ""]
    if found.command:
        said += ["The same without a configuration file:", "", f"{_INDENT}{found.command}", ""]
    said += ["Options:" if found.options else "It has no options of its own.", ""]
    said += _options(found.options)
    for name, options in found.tables.items():
        said += [f"Each {name} has:", "", *_options(options)]
    said += textwrap.wrap(f"Yields ({'recorded data, once' if found.finite else 'live'}): {found.yields}", WIDTH)
    return [*said, "", "Options that all sources have (period_s, place, ramping …) are in collectors/README.md."]


def _options(options: tuple[Option, ...]) -> list[str]:
    said: list[str] = []
    for option in options:
        default = "required" if option.default == "required" else f"default {option.default}" if option.default else "optional"
        said.append(f"{_INDENT}{option.name}  ({option.type}; {default})")
        said += textwrap.wrap(option.meaning, WIDTH, initial_indent=2 * _INDENT, subsequent_indent=2 * _INDENT)
    return [*said, *([""] if said else [])]


def _paragraphs(text: str) -> list[str]:
    """Filled paragraphs; what is indented, or a list, stays as it is."""
    said: list[str] = []
    for paragraph in text.split("\n\n"):
        is_prose = not any(line[:1].isspace() or line.startswith(("- ", "* ", "|")) for line in paragraph.splitlines())
        said += [*(textwrap.wrap(paragraph, WIDTH) if is_prose else paragraph.splitlines()), ""]
    return said[:-1]


def _indented(text: str) -> list[str]:
    return [f"{_INDENT}{line}" if line else "" for line in text.splitlines()]
