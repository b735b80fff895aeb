"""What collecting costs: histograms of ROOT files, updates of monitors, rows of drive statistics; each a benchmark of its own.

Each part measures its ratios within one run, in a process of its own: `python -m benchmarks.root_files`, `benchmarks.updates`
and `benchmarks.backblaze` give one of them with the progress of its rounds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from benchmarks.measure import ROUNDS, machine

PARTS = ("root_files", "updates", "backblaze")


def main() -> None:
    """Runs all parts and prints their figures together."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collectors", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each part (default: {ROUNDS})")
    arguments = parser.parse_args()
    ratios: dict[str, dict[str, float]] = {}
    for part in PARTS:
        command = [sys.executable, "-m", f"benchmarks.{part}", "--json", "--rounds", str(arguments.rounds)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        ratios |= {f"{part}.{key}": spread for key, spread in json.loads(answer)["ratios"].items()}
    if arguments.json:
        print(json.dumps({"name": "collectors", "machine": machine(), "ratios": ratios}))
        return
    width = max(map(len, ratios))
    print(f"collectors on {machine()}\n{'':{width}}  {'min':>10}  {'median':>10}  {'max':>10}")
    for key, spread in ratios.items():
        print(f"{key:{width}}  {spread['min']:>10.4g}  {spread['median']:>10.4g}  {spread['max']:>10.4g}")


if __name__ == "__main__":
    main()
