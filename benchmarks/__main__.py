"""Prints the names of all benchmarks, those that are part of another left out; run one with `python -m benchmarks.NAME [--json]`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.collectors import PARTS

NOT_BENCHMARKS = ("__init__", "__main__", "measure", *PARTS)

for path in sorted(Path(__file__).parent.glob("*.py")):
    if path.stem not in NOT_BENCHMARKS:
        print(path.stem)
