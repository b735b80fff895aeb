"""Labelled metrics of hosts: the public layouts of SMD (text) and ASD (pickled arrays), and one `.npz` file an item.

ITEM.npz                train, test: (rows, channels); test_label: (rows,)
ITEM.interp.txt         a line an event: first-last:channel,channel  (rows of test; channels from 1)

train/ITEM.txt test/ITEM.txt test_label/ITEM.txt interpretation_label/ITEM.txt        SMD, values separated by commas
ITEM_train.pkl ITEM_test.pkl ITEM_test_label.pkl interpretation_label/ITEM.txt        ASD, pickled NumPy arrays
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.evaluation.suite import SuiteError
from detectors.evaluation.vus import runs

Array = NDArray[np.float64]

FOLDERS = ("", "ServerMachineDataset", "processed", "data/processed")
"""Where the files lie below the folder of a suite, in the layouts that are known."""
PARTS = ("train", "test", "test_label")
_LINE = re.compile(r"(\d+)-(\d+):(\d+(?:,\d+)*)")
_ARRAYS = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}
"""All that a pickled array is made of."""


@dataclass(frozen=True, eq=False)
class Host:
    """One host. train, test: shape (rows, channels); labels: shape (rows of test,); causes: of each event, channels from 0."""

    name: str
    train: Array
    test: Array
    labels: NDArray[np.bool_]
    causes: tuple[frozenset[int], ...]


@dataclass(frozen=True, slots=True)
class HostFiles:
    """The files of one host: train, test and labels, which may be one file, and the causes."""

    name: str
    train: Path
    test: Path
    labels: Path
    causes: Path

    def read(self) -> Host:
        """All of it. Raises SuiteError."""
        train, test, labels = (_array(path, key) for path, key in ((self.train, "train"), (self.test, "test"), (self.labels, "test_label")))
        for path, values in ((self.train, train), (self.test, test)):
            if values.ndim != 2 or not len(values) or not np.isfinite(values).any(axis=0).all():
                raise SuiteError(f"{path}: {self.name} must have rows of channels, each with a reading, not {values.shape}")
        if train.shape[1] != test.shape[1]:
            raise SuiteError(f"{self.test}: {test.shape[1]} channels, {train.shape[1]} in {self.train.name}")
        if labels.reshape(-1).shape != test.shape[:1]:
            raise SuiteError(f"{self.labels}: {labels.size} labels for {len(test)} rows of {self.name}")
        if not np.isfinite(labels).all():
            raise SuiteError(
                f"{self.labels}: a label of {self.name} is no number, in row {int(np.argmin(np.isfinite(labels.reshape(-1))))}"
            )
        said = labels.reshape(-1) > 0
        return Host(self.name, train, test, said, _causes(self.causes, said, test.shape[1]))

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, each once."""
        return tuple(dict.fromkeys((self.train, self.test, self.labels, self.causes)))


def host_files(folder: Path, suite: str, pattern: str) -> tuple[HostFiles, ...]:
    """The hosts below a folder (or below its folder of the suite's name), in order of names. Raises SuiteError.

    pattern: what names of hosts look like, a regular expression.
    """
    for base in (folder / suite, folder):
        for below in FOLDERS:
            found = sorted(_hosts(base / below, re.compile(pattern)), key=lambda files: _natural(files.name))
            missing = [(files, path) for files in found for path in files.paths if not path.is_file()]
            if missing:
                raise SuiteError(f"{missing[0][1]}: missing, {missing[0][0].name} is not complete without it")
            if found:
                return tuple(found)
    raise SuiteError(f"{folder}: no data of {suite}; its tutorial says where to get them (docs/tutorial/evaluate.md)")


def _hosts(base: Path, pattern: re.Pattern[str]) -> Iterator[HostFiles]:
    """Whatever begins a host, even where files of it are missing."""
    for path in sorted(base.glob("*.npz")):
        if pattern.fullmatch(path.stem):
            yield HostFiles(path.stem, path, path, path, path.with_name(f"{path.stem}.interp.txt"))
    texts = {path.stem for part in PARTS for path in (base / part).glob("*.txt")}
    for name in filter(pattern.fullmatch, texts):
        train, test, labels = (base / part / f"{name}.txt" for part in PARTS)
        yield HostFiles(name, train, test, labels, base / "interpretation_label" / f"{name}.txt")
    pickled = {path.name.removesuffix(f"_{part}.pkl") for part in PARTS for path in base.glob(f"*_{part}.pkl")}
    for name in filter(pattern.fullmatch, pickled):
        train, test, labels = (base / f"{name}_{part}.pkl" for part in PARTS)
        beside = [folder / "interpretation_label" / f"{name}.txt" for folder in (base, base.parent)]
        yield HostFiles(name, train, test, labels, next((path for path in beside if path.is_file()), beside[0]))


def _natural(name: str) -> list[tuple[int, str]]:
    """machine-1-10 after machine-1-9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _array(path: Path, key: str) -> Array:
    """The array of a file, float64. Raises SuiteError."""
    try:
        if path.suffix == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                if key not in arrays:
                    raise SuiteError(f"{path}: has no array {key!r}")
                found = arrays[key]
        elif path.suffix == ".pkl":
            with path.open("rb") as file:
                found = _ArraysOnly(file).load()
        else:
            found = np.loadtxt(path, delimiter=",", ndmin=1)
        return np.asarray(found, dtype=np.float64)
    except SuiteError:
        raise
    except Exception as error:  # noqa: BLE001 - a broken archive or pickle may raise nearly anything
        raise SuiteError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None


class _ArraysOnly(pickle.Unpickler):
    """Reads pickled NumPy arrays and refuses whatever else a file asks for: a pickle can run any code."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - the signature of the base
        """The few names that an array consists of."""
        if (module, name) not in _ARRAYS:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")
        return super().find_class(module, name)


def _causes(path: Path, labels: NDArray[np.bool_], channels: int) -> tuple[frozenset[int], ...]:
    """Of each event, those of all lines that overlap it; empty where nobody said. Raises SuiteError."""
    first, last = runs(labels)
    found: list[set[int]] = [set() for _ in first]
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: cannot be read: {error}") from None
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise SuiteError(f"{path}: {line[:60]!r} is not first-last:channel,channel")
        named = {int(channel) - 1 for channel in match[3].split(",")}
        if min(named) < 0 or max(named) >= channels:
            raise SuiteError(f"{path}: {line[:60]!r} names a channel that is not among 1 to {channels}")
        for event in np.flatnonzero((first <= int(match[2])) & (last >= int(match[1]))):
            found[event] |= named
    return tuple(frozenset(one) for one in found)
