"""Reads subtrees of the ODB of MIDAS: paths with wildcards, and the names that equipment gives to the elements of its arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from collectors.collector import CollectError, Rejected
from collectors.daq.midas_rpc import DB_NO_KEY, DB_SUCCESS, Answer, Failure, OdbValue, Request, call, status_text, values
from collectors.fetched.http_options import HttpSource

LAST_WRITTEN_S = 2**32 - 1
"""Times of the ODB are 32-bit words; what is later is none."""


class Reading(NamedTuple):
    """One value and when its key was last written."""

    name: str
    quantity: str
    content: object
    time_ns: int


class OdbReader:
    """Reads the same paths again and again. It remembers which arrays there are, to ask for their names in the same call."""

    def __init__(self, http: HttpSource, paths: Sequence[str]) -> None:
        """`paths`: where a step is `*`, all keys of the directory."""
        self._http = http
        self._paths = paths
        self._labels: dict[str, list[str]] = {}

    def read(self, questions: Sequence[Request], now_ns: int) -> tuple[list[Reading], list[Answer], list[Rejected]]:
        """All values, the answers to other questions in the same batch, and what could not be read. Raises CollectError."""
        problems: list[Rejected] = []
        paths, optional = self._expanded(problems)
        labels = list(dict.fromkeys(path for array in self._labels for path in _label_paths(array)))
        content, *answers = call(self._http, [_get([*paths, *labels]), *questions])
        found = self._values(content, [*paths, *labels], {*optional, *labels}, problems)
        keys = [key for path, key in found if path not in labels]
        self._learn_labels({path: key.content for path, key in found if path in labels}, keys)
        return list(self._readings(keys, now_ns)), answers, problems

    def _expanded(self, problems: list[Rejected]) -> tuple[list[str], set[str]]:
        """The paths without wildcards, and those of them that need not be there. Raises CollectError."""
        plain = [path for path in self._paths if "*" not in path]
        starred = [path for path in self._paths if "*" in path]
        optional: set[str] = set()
        while starred:
            parents = list(dict.fromkeys(_split(path)[0] for path in starred))
            (listed,) = call(self._http, [Request("db_ls", {"paths": parents})])
            directories = dict(zip(parents, self._contents(listed, parents, "db_ls"), strict=True))
            problems += [Rejected(path, status_text(status)) for path, (_, status) in directories.items() if status != DB_SUCCESS]
            reached: list[str] = []
            for path in starred:
                parent, rest = _split(path)
                content, _ = directories[parent]
                if isinstance(content, dict):
                    reached += [f"{parent.rstrip('/')}/{key}{rest}" for key in content if "/" not in key]
            starred = [path for path in reached if "*" in path]
            optional.update(path for path in reached if "*" not in path)
        return list(dict.fromkeys([*plain, *optional])), optional.difference(plain)

    def _contents(self, result: Answer, paths: list[str], method: str) -> list[tuple[Any, object]]:
        """Data and status of each path. Raises CollectError."""
        if isinstance(result, Failure):
            raise CollectError(f"{self._http.address}: {method}: {result.reason}")
        data, status = result.get("data"), result.get("status")
        if not isinstance(data, list) or not isinstance(status, list) or not len(data) == len(status) == len(paths):
            raise CollectError(f"{self._http.address}: {method}: no answer for {len(paths)} paths")
        return list(zip(data, status, strict=True))

    def _values(self, result: Answer, paths: list[str], optional: set[str], problems: list[Rejected]) -> list[tuple[str, OdbValue]]:
        """All keys, each with the path that was asked for. Raises CollectError."""
        contents = self._contents(result, paths, "db_get_values")
        written = result.get("last_written") if isinstance(result, dict) else None
        times = written if isinstance(written, list) and len(written) == len(paths) else [0] * len(paths)
        found: list[tuple[str, OdbValue]] = []
        for path, (content, status), time_s in zip(paths, contents, times, strict=True):
            if status == DB_SUCCESS:
                found += [(path, key) for key in values(path, content, time_s)]
            elif not (status == DB_NO_KEY and path in optional):
                problems.append(Rejected(path, status_text(status)))
        return found

    def _learn_labels(self, labels: dict[str, Any], keys: Iterable[OdbValue]) -> None:
        """Names of the elements of arrays: as the answer tells, and asked for where an array is new. Raises CollectError."""
        arrays = [key.path for key in keys if isinstance(key.content, list) and list(_label_paths(key.path))]
        wanted = list(dict.fromkeys(path for array in arrays if array not in self._labels for path in _label_paths(array)))
        if wanted:
            (content,) = call(self._http, [_get(wanted)])
            labels |= {path: key.content for path, key in self._values(content, wanted, set(wanted), [])}
        self._labels = {array: _names(labels, array) for array in arrays}

    def _readings(self, keys: Iterable[OdbValue], now_ns: int) -> Iterator[Reading]:
        for key in keys:
            time_ns = key.written_s * 1_000_000_000 if 0 < key.written_s <= LAST_WRITTEN_S else now_ns
            quantity = key.path.rpartition("/")[2]
            if not isinstance(key.content, list):
                yield Reading(key.path, quantity, key.content, time_ns)
                continue
            labels = self._labels.get(key.path, [])
            times = Counter(labels)
            for index, content in enumerate(key.content):
                label = labels[index] if index < len(labels) and times[labels[index]] == 1 else ""
                yield Reading(f"{key.path}[{label or index}]", label or quantity, content, time_ns)


def _get(paths: list[str]) -> Request:
    return Request("db_get_values", {"paths": paths})


def _split(path: str) -> tuple[str, str]:
    """The directory before the first wildcard, and what comes after that."""
    parent, _, rest = path.partition("/*")
    return parent or "/", rest


def _label_paths(array: str) -> Iterator[str]:
    """Where the names of the elements of an array are, the first that is there counts; as mlogger.cxx of MIDAS looks for them."""
    equipment, is_variable, name = array.partition("/Variables/")
    if is_variable and equipment.startswith("/Equipment/") and "/" not in name:
        yield f"{equipment}/Settings/Names {name}"
        yield f"{equipment}/Settings/Names"


def _names(labels: dict[str, Any], array: str) -> list[str]:
    names: list[Any] | str = next((labels[path] for path in _label_paths(array) if isinstance(labels.get(path), list | str)), [])
    return [" ".join(str(name).split()) for name in ([names] if isinstance(names, str) else names)]
