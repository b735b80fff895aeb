"""Which group each record belongs to: by the values of some columns, the largest groups by name and all others together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from collectors.patterns import Selection

MISSING = "unknown"
OTHER = "other"
LEFT_OUT = -1
PSEUDONYM_DIGITS = 10
SURVEYED_GROUPS = 50
"""So many candidates are kept for each group that is wanted: the smallest ones fall out while the volume is being added up."""

Values = tuple[str, ...]


class Pseudonyms:
    """Stand-ins for names of people: the same for the same name and key, and not to be traced back without the key.

    A hash without a key would not do: who knows all names, or that they are numbers, tries them one after the other.
    """

    def __init__(self, key_file: Path) -> None:
        """Raises ValueError where the file cannot be read or holds too little."""
        try:
            key = key_file.read_bytes().strip()
        except OSError as error:
            raise ValueError(f"{key_file}: {error.strerror}") from None
        if len(key) < 16:
            raise ValueError(f"{key_file}: a key needs at least 16 bytes")
        self._key = hashlib.blake2b(key, digest_size=32).digest()

    def of(self, name: str) -> str:
        """The stand-in of a name."""
        return hashlib.blake2b(name.encode(), key=self._key, digest_size=8).hexdigest()[:PSEUDONYM_DIGITS]


class GroupColumns:
    """Reads the values that make a group from the columns of a block."""

    def __init__(
        self, columns: Sequence[str], labels: Mapping[str, Mapping[str, str]], hidden: Sequence[str], pseudonyms: Pseudonyms | None
    ) -> None:
        self.columns = tuple(columns)
        self._labels = labels
        self._hidden = frozenset(hidden)
        self._pseudonyms = pseudonyms

    def of(self, columns: Mapping[str, pa.Array], rows: int) -> tuple[list[Values], NDArray[np.int64]]:
        """The groups that occur, and for each row which of them it is of; shape (rows,)."""
        code = np.zeros(rows, dtype=np.int64)
        groups: list[Values] = [()]
        for name in self.columns:
            cells = pc.utf8_trim_whitespace(pc.fill_null(columns[name].cast(pa.string()), MISSING))
            encoded = pc.dictionary_encode(cells)
            words = [self._shown(name, word) for word in encoded.dictionary.to_pylist()]
            pairs, code = np.unique(code * len(words) + encoded.indices.to_numpy(zero_copy_only=False), return_inverse=True)
            groups = [(*groups[pair // len(words)], words[pair % len(words)]) for pair in pairs.tolist()]
        return groups, code.astype(np.int64)

    def _shown(self, column: str, word: str) -> str:
        word = word or MISSING
        if column in self._hidden and self._pseudonyms is not None:
            return self._pseudonyms.of(word)
        return self._labels.get(column, {}).get(word, word)


def group_name(values: Values) -> str:
    """What a group is called: its values, a slash between them."""
    return "/".join(values)


class Survey:
    """Adds up the volume of each group in bounded memory, to find the largest ones."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._volumes: dict[Values, float] = {}

    def add(self, groups: Sequence[Values], volume: NDArray[np.float64]) -> None:
        """volume: of each of the groups in one block."""
        for group, amount in zip(groups, volume.tolist(), strict=True):
            self._volumes[group] = self._volumes.get(group, 0.0) + amount
        if len(self._volumes) > 2 * SURVEYED_GROUPS * self._most:
            self._volumes = dict(self._ranked()[: SURVEYED_GROUPS * self._most])

    def chosen(self, selection: Selection) -> Groups:
        """The largest ones that are wanted, in the order of their names."""
        ranked = [(group, volume) for group, volume in self._ranked() if group_name(group) in selection]
        kept = sorted((group for group, _ in ranked[: self._most]), key=group_name)
        return Groups(kept, selection, has_other=len(ranked) > self._most)

    def _ranked(self) -> list[tuple[Values, float]]:
        return sorted(self._volumes.items(), key=lambda item: (-item[1], item[0]))


class Groups:
    """The groups that have channels of their own. Groups with the same name are one; `parts`: the values of each."""

    def __init__(self, kept: Sequence[Values], selection: Selection, *, has_other: bool) -> None:
        self._selection = selection
        self.parts: dict[str, Values] = {}
        for group in kept:
            self.parts.setdefault(group_name(group), group)
        if has_other:
            self.parts.setdefault(OTHER, ())
        self._index = {name: i for i, name in enumerate(self.parts)}
        self._rest = self._index[OTHER] if has_other else LEFT_OUT

    def __len__(self) -> int:
        return len(self.parts)

    def numbers(self, groups: Sequence[Values]) -> NDArray[np.int64]:
        """The number of each group, that of the rest for one without channels, LEFT_OUT for one that is not wanted."""
        return np.array([self._number(group_name(group)) for group in groups], dtype=np.int64)

    def _number(self, name: str) -> int:
        found = self._index.get(name)
        if found is not None:
            return found
        return self._rest if name in self._selection else LEFT_OUT
