"""The first line of a plugin's documentation without importing it.

So a list of all of them is quick, and complete where a dependency is missing.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

from daemon import plugins


@dataclass(frozen=True, slots=True)
class Outline:
    """One line about a collector. `finite`: recorded data; None where only importing it would tell. `problem`: why it cannot be used."""

    name: str
    summary: str
    finite: bool | None
    problem: str = ""


def outline(name: str) -> Outline:
    """What the source of a collector's class says; where there is none to read, what the class says when it is imported."""
    point = plugins.entry_point("collectors", name)
    absent = plugins.missing(point)
    problem = f"needs {plugins.install_command(point)}" if absent else ""
    found = _class_in_source(point)
    if found is not None:
        summary, finite = _first_line(ast.get_docstring(found) or ""), _finite(found)
        if summary and finite is not None:
            return Outline(name, summary, finite, problem)
    try:
        plugin = plugins.load("collectors", name)
    except plugins.PluginError as error:
        return Outline(name, "", None, problem or str(error))
    return Outline(name, _first_line(inspect.getdoc(plugin) or ""), bool(plugin.finite), problem)


def _class_in_source(point: EntryPoint) -> ast.ClassDef | None:
    try:
        spec = importlib.util.find_spec(point.module)
        if spec is None or spec.origin is None:
            return None
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (ImportError, OSError, ValueError, SyntaxError):
        return None
    return next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == point.attr), None)


def _finite(found: ast.ClassDef) -> bool | None:
    for node in found.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "finite":
            return bool(node.value.value) if isinstance(node.value, ast.Constant) else None
    return None


def _first_line(docstring: str) -> str:
    return docstring.strip().partition("\n")[0].strip()
