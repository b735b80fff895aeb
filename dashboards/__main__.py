"""`python -m dashboards`: writes dashboards/generated anew from the code. Needs the packages of the extra `dev`."""

from __future__ import annotations

import argparse
from pathlib import Path

from dashboards.generation import generated

FOLDER = Path(__file__).resolve().parent / "generated"


def write(folder: Path) -> list[Path]:
    """Writes all files, removes those that are generated no more; what has changed."""
    folder.mkdir(parents=True, exist_ok=True)
    files = generated()
    changed = []
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    for path in folder.glob("shiftwatch-*"):
        if path.name not in files:
            path.unlink()
            changed.append(path)
    return changed


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboards", description="Write Grafana dashboards and Prometheus rules from the code."
    )
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder to write to (%(default)s)")
    folder = parser.parse_args().output
    for path in write(folder):
        print(path)  # noqa: T201 - a command's output


if __name__ == "__main__":
    main()
