"""When a lumisection was, where a table does not say it: from the start of its run, or from its place in the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from collectors.collector import CollectError
from collectors.tabular.table_values import NO_TIME, TimeFormat, numbers, times

LUMISECTION_S = 23.31
"""Length of a luminosity section of CMS: 2^18 orbits of the LHC at 11.2455 kHz (LHC Design Report, CERN-2004-003-V-1, chapter 2)."""

RUN_COLUMNS = ("run", "run_number", "runnumber", "run_no")
LUMISECTION_COLUMNS = ("lumisection", "lumisection_number", "lumi_section", "lumi", "ls", "luminosityblock", "first_lumisection_number")
"""What columns are looked for as, in any case of letters, where no option names them."""


def column_named(option: str, usual: Sequence[str], names: Iterable[str]) -> str:
    """The column that an option names, else the first of the usual ones that is there, else "".

    Raises KeyError where the one that the option names is not there.
    """
    found = {name.lower(): name for name in reversed(list(names))}
    if option and option not in found.values():
        raise KeyError(option)
    return option or next((found[name] for name in usual if name in found), "")


def start_of_runs(
    blocks: Iterable[Mapping[str, pa.Array]], path: str, run: str, start: str, time_format: TimeFormat, timezone: str
) -> dict[int, int]:
    """Start of each run in ns UTC, from a table with one row a run; rows that cannot be read are passed over. Raises CollectError."""
    starts: dict[int, int] = {}
    for columns in blocks:
        try:
            run_column, start_column = column_named(run, RUN_COLUMNS, columns), column_named(start, (), columns)
        except KeyError as error:
            raise CollectError(f"{path}: no column {error} among {', '.join(columns)}") from None
        if not run_column:
            raise CollectError(f"{path}: no column of runs among {', '.join(columns)}; name it in `runs.run`")
        values, _ = numbers(columns[run_column])
        began_ns = times(columns[start_column], time_format, timezone)
        known = np.isfinite(values) & (began_ns != NO_TIME)
        starts.update(zip(values[known].astype(np.int64).tolist(), began_ns[known].tolist(), strict=True))
    if not starts:
        raise CollectError(f"{path}: no run with a start that can be read")
    return starts


def of_runs(starts: Mapping[int, int], run: NDArray[np.float64]) -> NDArray[np.int64]:
    """The start of each row's run; NO_TIME where it is not known. Shape (n,)."""
    return np.array([starts.get(int(number), NO_TIME) if np.isfinite(number) else NO_TIME for number in run], dtype=np.int64)


def since(start_ns: NDArray[np.int64], lumisection: NDArray[np.float64], length_s: float) -> NDArray[np.int64]:
    """When lumisections began, counted from 1 at the start of their run; NO_TIME where one of both is not known. Shape (n,)."""
    known = (start_ns != NO_TIME) & (lumisection >= 1) & (lumisection < 2**31)
    offset_ns = np.round((np.where(known, lumisection, 1) - 1) * length_s * 1e9).astype(np.int64)
    return np.where(known, start_ns + offset_ns, NO_TIME)
