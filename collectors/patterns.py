"""Patterns on names: which columns a source is asked for, and where in the tree of places they lie.

A pattern is a glob with two wildcards, `*` (any characters, also "/") and `?` (one character); all else is literal,
because brackets, braces and dots are ordinary characters in names of histograms, process variables and metrics.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator

_WILDCARDS = {"*": "(.*)", "?": "(.)"}
_REFERENCE = re.compile(r"\{(\d+)\}")


@lru_cache(maxsize=4096)
def expression(pattern: str) -> re.Pattern[str]:
    """A regular expression for the whole name, with one group for each wildcard."""
    return re.compile("".join(_WILDCARDS.get(character) or re.escape(character) for character in pattern), re.DOTALL)


def matches(pattern: str, name: str) -> bool:
    """Whether the whole name matches the pattern."""
    return expression(pattern).fullmatch(name) is not None


def fill(template: str, match: re.Match[str]) -> str:
    """The template with `{1}`, `{2}` … replaced by what the wildcards of the pattern stand for."""
    return _REFERENCE.sub(lambda reference: match[int(reference[1])], template)


def join_place(*parts: str) -> str:
    """A path in the tree of places from its steps; empty ones are left out."""
    return "/".join(stripped for part in parts if (stripped := part.strip("/")))


class Selection:
    """Names that match one of `include` and none of `exclude`."""

    def __init__(self, include: Iterable[str], exclude: Iterable[str] = ()) -> None:
        self._include = tuple(expression(pattern) for pattern in include)
        self._exclude = tuple(expression(pattern) for pattern in exclude)

    def __contains__(self, name: str) -> bool:
        return self.accepts(name)

    def accepts(self, *spellings: str) -> bool:
        """Whether a thing is wanted that can be named in several ways."""
        included = any(p.fullmatch(name) for p in self._include for name in spellings)
        return included and not any(p.fullmatch(name) for p in self._exclude for name in spellings)


class Places:
    """From the name of a column to its place below the source's own place: the first pattern that matches decides."""

    def __init__(self, origin: str, templates: Mapping[str, str]) -> None:
        self.origin = join_place(origin)
        self._templates = tuple((expression(pattern), template) for pattern, template in templates.items())

    def of(self, name: str) -> str:
        """The place of a column; the source's own where no pattern matches."""
        for pattern, template in self._templates:
            if match := pattern.fullmatch(name):
                return join_place(self.origin, fill(template, match))
        return self.origin


def _check_templates(templates: dict[str, str]) -> dict[str, str]:
    for pattern, template in templates.items():
        wildcards = expression(pattern).groups
        for reference in _REFERENCE.findall(template):
            if not 1 <= int(reference) <= wildcards:
                raise ValueError(f"{{{reference}}} in {template!r}: the pattern {pattern!r} has {wildcards} wildcards")
    return templates


PlaceTemplates = Annotated[dict[str, str], AfterValidator(_check_templates)]
"""Pattern on the column's name = place below the source's; `{1}` is what the first wildcard stands for."""
