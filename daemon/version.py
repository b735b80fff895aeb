"""The version, as installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def _installed() -> str:
    try:
        return version("shiftwatch")
    except PackageNotFoundError:
        return "0+source"


VERSION = _installed()
