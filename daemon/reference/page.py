"""collectors/README.md: how to get to a first reading, and a section for each collector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import collectors
from daemon.reference.collectors import Documentation, Option, documentation, options_of, own_collectors, tables_of
from daemon.sections import SourceSettings

TEMPLATE = "collectors.md"


def path() -> Path:
    """Where the page belongs."""
    assert collectors.__file__ is not None
    return Path(collectors.__file__).parent / "README.md"


def page() -> str:
    """The whole page. Raises PluginError for a collector that cannot be loaded."""
    found = [documentation(name) for name in own_collectors()]
    filled = {
        "@ALL@": _overview(found),
        "@COMMON@": _options(options_of(SourceSettings)),
        "@COMMON_TABLES@": _tables(tables_of(SourceSettings)),
        "@SECTIONS@": "\n\n".join(_section(each) for each in found),
    }
    text = files("daemon.reference").joinpath(TEMPLATE).read_text(encoding="utf-8")
    for mark, part in filled.items():
        text = text.replace(mark, part)
    return text


def _overview(found: Iterable[Documentation]) -> str:
    rows = [
        (
            f"[`{each.name}`](#{each.name})",
            each.prose.summary,
            "recorded" if each.finite else "live",
            f"`{each.install}`" if each.install else "",
        )
        for each in found
    ]
    return _table(("collector", "reads", "", "extra"), rows)


def _section(found: Documentation) -> str:
    parts = [f"### {found.name}", found.prose.summary, found.prose.text]
    if found.install:
        parts.append(f"Needs `{found.install}`.")
    if found.prose.example:
        parts.append(f"```toml\n{found.prose.example}\n```")
    parts.append(found.prose.notes)
    if found.command:
        parts.append(f"Without a configuration file:\n\n```sh\n{found.command}\n```")
    parts.append(_options(found.options) if found.options else "It has no options of its own.")
    parts.append(_tables(found.tables))
    parts.append(f"**Yields** ({'recorded data' if found.finite else 'live'}): {found.yields}")
    return "\n\n".join(part for part in parts if part)


def _options(options: Sequence[Option]) -> str:
    rows = [(f"`{o.name}`", o.type, o.default if o.default in ("", "required") else f"`{o.default}`", o.meaning) for o in options]
    return _table(("option", "type", "default", "meaning"), rows)


def _tables(tables: Mapping[str, Sequence[Option]]) -> str:
    return "\n\n".join(f"Each {name} has:\n\n{_options(options)}" for name, options in tables.items())


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(heading), "|" + "---|" * len(heading), *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
