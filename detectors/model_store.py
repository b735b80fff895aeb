"""Models as files: `STREAM/DETECTOR/000003/model.npz` with its manifest, and a ledger that says which version is in use.

A version is written as a whole or not at all, and never changed afterwards. Files hold plain values and arrays, never code:
opening one runs nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.finding import Scores, Severity, Unit
from detectors.model_manifest import Ledger, Manifest, ModelError, ModelName, decode_ledger, decode_manifest
from detectors.path_names import path_name
from detectors.state_codec import from_npz, to_npz

__all__ = ["Ledger", "Manifest", "Model", "ModelError", "ModelName", "ModelStore"]

MODEL, MANIFEST, LEDGER, LOCK = "model.npz", "manifest.json", "ledger.json", ".lock"
PARTIAL = ".partial"
"""Ending of a version that is being written: what a crash leaves behind is not read."""
SETTLED_S = 3600.0
"""Partial versions that are older than this are nobody's any more."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model as it is kept: what the detector learned, and its scores on rows held back, by which it is calibrated.

    time_ns: shape (n,), of the rows of `held_back`, rising.
    """

    manifest: Manifest
    state: Mapping[str, Any]
    held_back: Scores
    time_ns: NDArray[np.int64]


class ModelStore:
    """The models below a folder. Any number of processes may use it at once."""

    def __init__(self, root: Path, keep: int = 5) -> None:
        """`keep`: versions of each model that stay, besides those in use."""
        self._root = root
        self._keep = keep

    def put(self, model: Model) -> Manifest:
        """Keeps a new version, which is not in use yet; its manifest with the version that it got. Raises OSError, ModelError.

        What takes long is done before the folder is locked: a daemon that changes the ledger does not wait for it.
        """
        name = model.manifest.name
        folder = self._folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        data = to_npz(_content(model))
        digest = hashlib.sha256(data).hexdigest()
        partial = folder / f".{uuid.uuid4().hex}{PARTIAL}"
        try:
            partial.mkdir()
            _write(partial / MODEL, data)
            with _locked(folder):
                manifest = replace(model.manifest, version=self._next_version(name), file_digest=digest)
                _write(partial / MANIFEST, manifest.encode())
                _sync(partial)
                partial.rename(folder / f"{manifest.version:06d}")
                _sync(folder)
                self._prune(name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)  # where it became no version: a disk that is full, say
        return manifest

    def _next_version(self, name: ModelName) -> int:
        """One that never was: not that of a file which the ledger still names, either."""
        ledger = self.ledger(name)
        return max([*self.versions(name), ledger.current, ledger.shadow, *ledger.previous]) + 1

    def load(self, name: ModelName, version: int) -> Model:
        """A version. Raises ModelError where it is not there, broken or of another format; the message names the file."""
        manifest = self.manifest(name, version)
        path = self._folder(name) / f"{version:06d}" / MODEL
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != manifest.file_digest:
                raise ModelError(f"{path}: damaged, it is not what its manifest was written for")
            return _of_content(manifest, from_npz(data))
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{path}: {' '.join(str(error).split())}") from None

    def manifest(self, name: ModelName, version: int) -> Manifest:
        """What is written beside a version. Raises ModelError."""
        path = self._folder(name) / f"{version:06d}" / MANIFEST
        try:
            manifest = decode_manifest(path.read_bytes())
        except FileNotFoundError:
            raise ModelError(f"{name}: no version {version}; there are {', '.join(map(str, self.versions(name))) or 'none'}") from None
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror or error}") from None
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None
        if (manifest.name, manifest.version) != (name, version):
            raise ModelError(f"{path}: it is version {manifest.version} of {manifest.name}")
        return manifest

    def names(self) -> list[ModelName]:
        """All models of which there is a version that can be read."""
        found = set()
        for path in sorted(self._root.glob(f"*/*/[0-9]*/{MANIFEST}")):
            try:
                found.add(decode_manifest(path.read_bytes()).name)
            except (ModelError, OSError):  # said where somebody asks for it
                continue
        return sorted(found, key=str)

    def versions(self, name: ModelName) -> list[int]:
        """Of a model, rising."""
        return sorted(int(path.name) for path in self._folder(name).glob("*/") if path.name.isdecimal())

    def ledger(self, name: ModelName) -> Ledger:
        """Which versions are in use. Raises ModelError where it cannot be read."""
        path = self._folder(name) / LEDGER
        try:
            return decode_ledger(path.read_bytes())
        except FileNotFoundError:
            return Ledger()
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror or error}") from None
        except ModelError as error:
            raise ModelError(f"{path}: {error}; without this file no version is in use, and one can be chosen anew") from None

    def stamp(self, name: ModelName) -> tuple[int, int]:
        """Changes whenever the ledger does: cheap to ask often."""
        try:
            found = (self._folder(name) / LEDGER).stat()
        except OSError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns

    def change(self, name: ModelName, change: Callable[[Ledger], Ledger]) -> Ledger:
        """Changes the ledger, one process at a time. Raises ModelError for a version that cannot be loaded; nothing has changed then."""
        folder = self._folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            before = self.ledger(name)
            after = change(before)
            for version in {after.current, after.shadow} - {0, before.current, before.shadow}:
                self.load(name, version)
            _write(folder / f"{LEDGER}{PARTIAL}", after.encode())
            (folder / f"{LEDGER}{PARTIAL}").replace(folder / LEDGER)
            _sync(folder)
            self._prune(name)
        return after

    def use(self, name: ModelName, version: int, now_ns: int, why: str) -> Ledger:
        """A version judges from now on. Raises ModelError."""
        return self.change(name, lambda ledger: ledger.with_current(version).noted(now_ns, f"version {version} in use: {why}"))

    def shadow(self, name: ModelName, version: int, until_ns: int, now_ns: int, why: str) -> Ledger:
        """A version runs silently from now on. Raises ModelError."""
        return self.change(
            name,
            lambda ledger: replace(ledger, shadow=version, shadow_until_ns=until_ns).noted(now_ns, f"version {version} in shadow: {why}"),
        )

    def keep_out(self, name: ModelName, version: int, now_ns: int, why: str) -> Ledger:
        """A version was not better than the one in use: it stays to be looked at."""
        return self.change(name, lambda ledger: ledger.noted(now_ns, f"version {version} kept out: {why}"))

    def roll_back(self, name: ModelName, now_ns: int, to: int | None = None) -> Ledger:
        """Back to the version that was in use before, or to a given one. Raises ModelError where there is none."""

        def back(ledger: Ledger) -> Ledger:
            left = [v for v in ledger.previous if not v or v in self.versions(name)]
            if to is None and not left:
                raise ModelError(f"{name}: no version was in use before {ledger.current or 'any was'}")
            version = left[-1] if to is None else to
            if version == ledger.current:
                raise ModelError(f"{name}: version {version} is in use already" if version else f"{name}: no version is in use")
            previous = tuple(v for v in left if v != version)
            ended = f"; version {ledger.shadow} is in shadow no longer" if ledger.shadow else ""
            said = f"rolled back from version {ledger.current} to {version or 'what is learned while watching'}{ended}"
            return replace(ledger, current=version, previous=previous, shadow=0, shadow_until_ns=0).noted(now_ns, said)

        return self.change(name, back)

    def _prune(self, name: ModelName) -> None:
        """Removes the oldest versions beyond those that are kept, and what a crash has left behind."""
        ledger, versions = self.ledger(name), self.versions(name)
        used = {ledger.current, ledger.shadow, *ledger.previous[-1:]}
        for version in versions[: -self._keep]:
            if version not in used:
                shutil.rmtree(self._folder(name) / f"{version:06d}", ignore_errors=True)
        for partial in self._folder(name).glob(f".*{PARTIAL}"):
            with suppress(OSError):  # it has just become a version
                if time.time() - partial.stat().st_mtime > SETTLED_S:
                    shutil.rmtree(partial, ignore_errors=True)

    def _folder(self, name: ModelName) -> Path:
        return self._root / path_name(name.stream) / path_name(name.detector)


def _content(model: Model) -> dict[str, Any]:
    units = [[u.key, u.name, u.place, u.condition, str(u.severity)] for u in model.held_back.units]
    return {"state": dict(model.state), "units": units, "scores": model.held_back.values, "time_ns": model.time_ns}


def _of_content(manifest: Manifest, content: Mapping[str, Any]) -> Model:
    """Raises KeyError, TypeError or ValueError where something else was packed."""
    units = tuple(Unit(key, name, place, condition, Severity(severity)) for key, name, place, condition, severity in content["units"])
    scores, time_ns = np.asarray(content["scores"], dtype=np.float64), np.asarray(content["time_ns"], dtype=np.int64)
    if scores.shape != (len(time_ns), len(units)) or not isinstance(content["state"], dict):
        raise ValueError("its parts do not fit together")
    return Model(manifest, content["state"], Scores(units, scores), time_ns)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as sink:
        sink.write(data)
        sink.flush()
        os.fsync(sink.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
