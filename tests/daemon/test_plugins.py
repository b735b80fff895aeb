"""Plugins of other packages, and what is said of those that cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon import plugins
from daemon.plugins import PluginError
from daemon.reference.outline import outline

METADATA = """Metadata-Version: 2.1
Name: crate-plugins
Version: 1.0
Provides-Extra: bus
Requires-Dist: surely_not_installed_bus>=1 ; extra == "bus"
Requires-Dist: numpy ; extra == "bus"
Requires-Dist: pytest-of-nobody ; extra == "dev"
"""
ENTRY_POINTS = """[shiftwatch.collectors]
crate = crate_plugins.crate:Crate [bus]
crate_broken = crate_plugins.nowhere:Crate [bus]
crate_unnamed = crate_plugins.plain:Crate
"""
CRATE = '''
import surely_not_installed_bus

class Crate:
    """Reads a crate.

    More.
    """

    finite = False
'''


@pytest.fixture(autouse=True)
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    info, package = tmp_path / "crate_plugins-1.0.dist-info", tmp_path / "crate_plugins"
    info.mkdir()
    package.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (package / "__init__.py").write_text("")
    (package / "crate.py").write_text(CRATE.replace("finite = False", "finite: bool = False"))
    (package / "plain.py").write_text("class Other:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    _forget()
    yield
    _forget()
    for name in [name for name in sys.modules if name.partition(".")[0] == "crate_plugins"]:
        del sys.modules[name]


def _forget() -> None:
    for cached in (plugins.names, plugins.load, plugins._points):
        cached.cache_clear()


def test_a_missing_dependency_names_the_command_that_installs_it() -> None:
    with pytest.raises(PluginError) as raised:
        plugins.load("collectors", "crate")
    assert "collector 'crate' needs pip install 'crate-plugins[bus]'" in str(raised.value)
    assert "surely_not_installed_bus" in str(raised.value)


@pytest.mark.parametrize(("name", "words"), [("crate_broken", "No module named 'crate_plugins.nowhere'"), ("crate_unnamed", "Crate")])
def test_what_is_broken_in_the_plugin_itself_is_not_put_down_to_a_dependency(name: str, words: str) -> None:
    with pytest.raises(PluginError) as raised:
        plugins.load("collectors", name)
    assert "cannot be loaded" in str(raised.value)
    assert words in str(raised.value)
    assert "pip install" not in str(raised.value)


def test_the_list_has_a_line_for_a_plugin_that_cannot_be_imported() -> None:
    found = outline("crate")
    assert (found.summary, found.finite, found.problem) == ("Reads a crate.", False, "needs pip install 'crate-plugins[bus]'")
    assert plugins.missing(plugins.entry_point("collectors", "crate")) == ("surely_not_installed_bus",)


def test_a_plugin_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(PluginError, match=r"no collector 'cratee'; there are .*crate, "):
        plugins.entry_point("collectors", "cratee")
