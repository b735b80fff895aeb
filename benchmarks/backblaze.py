"""Rows of drive statistics a second, and peak memory, against pandas.read_csv with the same columns.

The file has the public layout of 2024: 190 columns, of which a dozen are wanted, and 400 bytes a row. Ours is one thread; pandas'
default engine is too, its pyarrow engine uses all cores. Memory is what a child needs beyond its imports.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from benchmarks.measure import Round, main
from collectors.backblaze import BackblazeOptions
from collectors.disks.backblaze_drives import ATTRIBUTES
from collectors.disks.backblaze_rows import REQUIRED, RowReader, Rows

DRIVES = 20_000
REPEATS = 10
"""Times that the rows of a day stand in the file that is timed: as many rows as a day of the whole fleet nearly has."""
TRIES = 3
"""Of each reader in a round; the best counts, as other work on the machine only ever makes it slower."""
DAYS = (3, 24)
"""Of the two recordings whose memory is compared."""
PRESENT = (1, 3, 4, 5, 7, 9, 10, 12, 187, 188, 190, 192, 193, 194, 195, 197, 198, 199, 200, 240, 241, 242)
LARGEST = {1: 2**28, 7: 2**31, 9: 60_000, 193: 5_000, 194: 50, 195: 2**28, 240: 60_000, 241: 2**36, 242: 2**38}
NUMBERS = (*range(1, 14), *range(15, 19), *range(22, 25), 27, 71, 82, 90, *range(160, 185), *range(187, 203), 206, 210, 218)
NUMBERS += (220, *range(222, 227), *range(230, 236), *range(240, 243), *range(244, 249), *range(250, 256))
ATTRIBUTE_COLUMNS = [ATTRIBUTES[name].column for name in BackblazeOptions(files="x").attributes]
COLUMNS = [*REQUIRED, "failure", *(column for column in ATTRIBUTE_COLUMNS if int(column.split("_")[1]) in NUMBERS)]

PEAK = """
import sys
from pathlib import Path
{imports}
def kb(what):
    return int(Path("/proc/self/status").read_text().partition(what)[2].split()[0])
before = kb("VmRSS:")
{work}
print(kb("VmHWM:") - before)
"""
COLLECTOR = """
from collectors.backblaze import BackblazeCollector, BackblazeOptions
from collectors.collector import Origin
collector = BackblazeCollector(Origin("drives", "", lambda: 0), BackblazeOptions(files=sys.argv[1]))
"""


def write_day(path: Path, date: str, repeats: int = 1) -> None:
    """One day of all drives."""
    generator = np.random.default_rng(1)
    models = np.array(["ST12000NM0008", "ST16000NM001G", "TOSHIBA MG08ACA16TA", "WDC WUH721816ALE6L4", "HGST HUH721212ALN604"])
    columns: dict[str, object] = {
        "date": pa.array([date] * DRIVES),
        "serial_number": pa.array([f"ZL{i:07}" for i in range(DRIVES)]),
        "model": pa.array(models[np.arange(DRIVES) % len(models)]),
        "capacity_bytes": np.full(DRIVES, 14_000_519_643_136),
        "failure": np.zeros(DRIVES, dtype=np.int64),
        "datacenter": pa.array(["sac0"] * DRIVES),
        "cluster_id": np.zeros(DRIVES, dtype=np.int64),
        "vault_id": np.full(DRIVES, 1120),
        "pod_id": np.arange(DRIVES) % 20,
        "pod_slot_num": np.arange(DRIVES) % 60,
        "is_legacy_format": pa.array(["False"] * DRIVES),
    }
    for number in NUMBERS:
        empty = pa.nulls(DRIVES, pa.int64())
        columns[f"smart_{number}_normalized"] = np.full(DRIVES, 100) if number in PRESENT else empty
        columns[f"smart_{number}_raw"] = generator.integers(0, LARGEST.get(number, 3), DRIVES) if number in PRESENT else empty
    made = pa.BufferOutputStream()
    pyarrow.csv.write_csv(pa.table(columns), made, pyarrow.csv.WriteOptions(quoting_style="none", quoting_header="none"))
    header, _, rows = made.getvalue().to_pybytes().partition(b"\n")
    with path.open("wb") as file:
        file.write(header + b"\n")
        for _ in range(repeats):
            file.write(rows)


def read_ours(path: Path) -> int:
    """Rows of the file by the collector's reader."""
    columns = {column: column for column in ("failure", *ATTRIBUTE_COLUMNS)}
    with path.open("rb", buffering=0) as stream:
        return sum(len(block.day) for block in RowReader(path.name, columns).rows(stream) if isinstance(block, Rows))


def read_pandas(path: Path) -> int:
    """The same with pandas' default engine."""
    return len(pd.read_csv(path, usecols=COLUMNS))


def read_pandas_pyarrow(path: Path) -> int:
    """The same with pandas' pyarrow engine."""
    return len(pd.read_csv(path, usecols=COLUMNS, engine="pyarrow"))


def seconds(read: Callable[[Path], int], path: Path) -> float:
    """How long it takes. Raises RuntimeError where rows are missing."""
    started = time.perf_counter()
    rows = read(path)
    elapsed = time.perf_counter() - started
    if rows != DRIVES * REPEATS:
        raise RuntimeError(f"{read.__name__}: {rows} rows")
    return elapsed


def peak_kb(imports: str, work: str, argument: Path) -> float:
    """Memory that a child needs for some work at most, beyond its imports, in kB."""
    child = [sys.executable, "-c", PEAK.format(imports=imports, work=work), str(argument)]
    return float(subprocess.run(child, capture_output=True, text=True, check=True).stdout)


@cache
def folder() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    """A folder with the file that is timed and two recordings, until the process ends."""
    made = tempfile.TemporaryDirectory()
    root = Path(made.name)
    write_day(root / "day.csv", "2024-01-01", REPEATS)
    for days in DAYS:
        (root / str(days)).mkdir()
        for day in range(1, days + 1):
            write_day(root / str(days) / f"2024-01-{day:02}.csv", f"2024-01-{day:02}")
    read_ours(root / "day.csv")  # compiles
    return made, root


def measure(number: int) -> Round:
    """One round: all readers in alternating order, then the memory of children."""
    root = folder()[1]
    readers = [read_ours, read_pandas, read_pandas_pyarrow]
    elapsed = {read.__name__: math.inf for read in readers}
    for read in (readers[::-1] if number % 2 else readers) * TRIES:
        elapsed[read.__name__] = min(elapsed[read.__name__], seconds(read, root / "day.csv"))
    few, many = (peak_kb(COLLECTOR, "for item in collector.collect(): pass", root / str(days)) for days in DAYS)
    ours = peak_kb("from benchmarks.backblaze import read_ours", "read_ours(Path(sys.argv[1]))", root / "day.csv")
    pandas = peak_kb("from benchmarks.backblaze import read_pandas", "read_pandas(Path(sys.argv[1]))", root / "day.csv")
    return {
        "rows_per_s_vs_pandas": elapsed["read_pandas"] / elapsed["read_ours"],
        "rows_per_s_vs_pandas_pyarrow": elapsed["read_pandas_pyarrow"] / elapsed["read_ours"],
        "million_rows_per_s": DRIVES * REPEATS / elapsed["read_ours"] / 1e6,
        f"peak_memory_{DAYS[1]}_days_vs_{DAYS[0]}_days": many / few,
        "peak_mb_reader": ours / 1e3,
        "peak_mb_pandas": pandas / 1e3,
        f"peak_mb_collector_{DRIVES}_drives": many / 1e3,
    }


if __name__ == "__main__":
    main("backblaze", __doc__ or "", measure, rounds=5)
