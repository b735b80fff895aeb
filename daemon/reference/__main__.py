"""Writes collectors/README.md anew: `python -m daemon.reference`, or `make reference`."""

from __future__ import annotations

import sys

from daemon.plugins import PluginError
from daemon.reference.page import page, path


def main() -> int:
    """0, or 1 with a line where a collector cannot be documented."""
    try:
        text = page()
    except PluginError as error:
        print(f"no reference: {error}", file=sys.stderr)  # noqa: T201 - a tool of the source tree
        return 1
    path().write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
