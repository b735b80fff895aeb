"""`shiftwatch collect list` and `shiftwatch collect show`: which collectors there are, and what each can do."""

from __future__ import annotations

import shutil
import sys
import textwrap

import click

from daemon import plugins
from daemon.commands.common import MISUSED, Failure, json_option, print_json, reported
from daemon.reference.collectors import documentation
from daemon.reference.outline import outline
from daemon.reference.text import lines


@click.command("list")
@json_option
@reported
def list_collectors(*, as_json: bool) -> None:
    """Show all collectors: what each reads, whether it reads live or recorded data, and what is missing for it.

    Example: shiftwatch collect list
    """
    found = [outline(name) for name in plugins.names("collectors")]
    width = max(len(each.name) for each in found)
    kinds = {True: "recorded", False: "live", None: "?"}
    for each in found:
        if as_json:
            print_json({"collector": each.name, "reads": kinds[each.finite], "summary": each.summary, "problem": each.problem})
            continue
        problem = click.style(f"  ({each.problem})", fg="yellow") if each.problem else ""
        click.echo(_folded(f"{each.name:<{width}}  {kinds[each.finite]:<8}  ", f"{each.summary}{problem}"))
    if not as_json:
        click.echo("\nshiftwatch collect show NAME: its options and an example.")


def _folded(heading: str, text: str) -> str:
    """A line, which is folded below its own beginning where a terminal has no space for it; other programs get one line."""
    line = (heading + text).rstrip()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    if not width or len(click.unstyle(line)) <= width:
        return line
    return textwrap.fill(text, max(width, len(heading) + 40), initial_indent=heading, subsequent_indent=" " * len(heading))


@click.command("show")
@click.argument("name")
@json_option
@reported
def show_collector(name: str, *, as_json: bool) -> None:
    """Show the documentation of a collector: what it reads, its options with types and defaults, and an example.

    Example: shiftwatch collect show epics
    """
    if name not in plugins.names("collectors"):
        raise Failure(plugins.unknown("collectors", name), MISUSED)
    found = documentation(name)
    if not as_json:
        click.echo("\n".join(lines(found)))
        return
    options = [{"name": o.name, "type": o.type, "default": o.default, "meaning": o.meaning} for o in found.options]
    print_json({"collector": name, "summary": found.prose.summary, "example": found.prose.example, "options": options})
