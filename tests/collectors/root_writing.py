"""Writes ROOT files for tests, and reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import uproot
from uproot.writing import identify

from collectors.collector import Collected, Origin, Rejected
from collectors.frame import Frame
from collectors.root import RootCollector, RootOptions

ZLIB = uproot.ZLIB(1)


def histogram(
    contents: Any, *, title: str = "", sum_w2: Any = None, entries: float | None = None, labels: tuple[str, ...] = (), **axis: Any
) -> Any:
    """A TH1 with its flow bins in `contents`."""
    cells = np.asarray(contents)
    names = [identify.to_TObjString(label) for label in labels]
    for number, name in enumerate(names, 1):
        name._bases[0]._members["@fUniqueID"] = number
    edges = axis.pop("edges", None)
    bins = len(cells) - 2
    x = identify.to_TAxis("xaxis", title, bins, 0.0, float(bins), fXbins=edges, fLabels=identify.to_THashList(names) if names else None)
    weights = np.asarray([] if sum_w2 is None else sum_w2, dtype=np.float64)
    total = float(cells.sum()) if entries is None else entries
    return identify.to_TH1x("h", "a title", cells, total, 0.0, 0.0, 0.0, 0.0, weights, x)


def write(path: Path, compression: Any = ZLIB, **objects: Any) -> str:
    with uproot.recreate(path, compression=compression) as file:
        for name, content in objects.items():
            file[name.replace("__", "/")] = content
    return str(path)


def collector(files: str, **options: Any) -> RootCollector:
    return RootCollector(Origin("dqm", "CMS/ECAL", lambda: 0), RootOptions(files=files, **options))


def frames(collected: Iterator[Collected]) -> list[Frame]:
    return [item for item in collected if isinstance(item, Frame)]


def rejections(collected: Iterator[Collected]) -> list[Rejected]:
    return [item for item in collected if isinstance(item, Rejected)]
