"""Which columns of a layout a rule or detector looks at, what a reader calls them, and how places group them."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from collectors.collector import Options
from collectors.frame import Channel, Histogram, Kind, Layout, digest_of

T = TypeVar("T")
KEPT_LAYOUTS = 8


@lru_cache(maxsize=4096)
def glob(pattern: str) -> re.Pattern[str]:
    """A pattern on names: `*` any characters (also "/"), `?` one; brackets are ordinary, names of histograms have them."""
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def matches_any(patterns: Iterable[str], name: str) -> bool:
    """Whether one of the patterns matches the whole name."""
    return any(glob(pattern).match(name) for pattern in patterns)


class SelectionOptions(Options):
    """Options that every rule and detector has: which columns it looks at."""

    include: tuple[str, ...] = ("*",)
    """Patterns of the names of columns to judge: `*` stands for any characters, `?` for one."""
    exclude: tuple[str, ...] = ()
    """Patterns of the names of columns to leave out."""

    def selects(self, name: str) -> bool:
        """Whether a column of this name is looked at."""
        return matches_any(self.include, name) and not matches_any(self.exclude, name)


@dataclass(frozen=True, eq=False)
class Channels:
    """Some channels of a layout: `columns` are their frame columns, `names` what a reader calls them."""

    channels: tuple[Channel, ...]
    keys: tuple[str, ...]
    names: tuple[str, ...]
    columns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.channels)

    def among(self, known: Sequence[str]) -> tuple[Channels, NDArray[np.int64]]:
        """Those whose key is known, and the position of each in `known`."""
        position = {key: i for i, key in enumerate(known)}
        kept = [i for i, key in enumerate(self.keys) if key in position]
        some = Channels(
            tuple(self.channels[i] for i in kept),
            tuple(self.keys[i] for i in kept),
            tuple(self.names[i] for i in kept),
            self.columns[np.array(kept, dtype=np.int64)],
        )
        return some, np.array([position[key] for key in some.keys], dtype=np.int64)


def select_channels(layout: Layout, options: SelectionOptions, *kinds: Kind) -> Channels:
    """The channels of these kinds that the options select."""
    kept = [i for i, c in enumerate(layout.columns) if isinstance(c, Channel) and c.kind in kinds and options.selects(c.name)]
    channels = tuple(c for i in kept if isinstance(c := layout.columns[i], Channel))
    keys = tuple(layout.keys[i] for i in kept)
    return Channels(channels, keys, reader_names(channels), layout.starts[np.array(kept, dtype=np.int64)])


def select_histograms(layout: Layout, options: SelectionOptions) -> tuple[Histogram, ...]:
    """The histograms that the options select."""
    return tuple(h for h in layout.histograms if options.selects(h.path))


def reader_names(channels: Sequence[Channel]) -> tuple[str, ...]:
    """A short name ("IMon of ch03") where that tells a channel from all others, its full name elsewhere."""
    short = [_short_name(channel) for channel in channels]
    count = Counter(short)
    return tuple(name if count[name] == 1 else channel.name for name, channel in zip(short, channels, strict=True))


def _short_name(channel: Channel) -> str:
    leaf = channel.place.rsplit("/", 1)[-1]
    return f"{channel.quantity} of {leaf}" if leaf and channel.quantity not in ("", channel.name) else channel.name


def common_place(places: Iterable[str]) -> str:
    """The deepest place that holds all of them."""
    paths = [place.split("/") for place in places]
    common: list[str] = []
    for steps in zip(*paths, strict=False):
        if len(set(steps)) > 1:
            break
        common.append(steps[0])
    return "/".join(common)


@dataclass(frozen=True, eq=False)
class Group:
    """Channels of one source below one place. `members`: their positions among the channels that were grouped."""

    key: str
    name: str
    place: str
    members: NDArray[np.int64]


def group_by_place(layout: Layout, channels: Sequence[Channel], depth: int) -> list[Group]:
    """Groups by the first `depth` steps of the place; 0 makes one group of the whole stream."""
    members: dict[str, list[int]] = {}
    for i, channel in enumerate(channels):
        members.setdefault("/".join(channel.place.split("/")[:depth]) if depth else "", []).append(i)
    groups = []
    for prefix, positions in members.items():
        place = prefix or common_place(channels[i].place for i in positions)
        groups.append(Group(digest_of(layout.stream, "group", prefix), prefix or layout.source, place, np.array(positions, dtype=np.int64)))
    return groups


def unit_key(key: str, condition: str) -> str:
    """Key of a unit: of a column or group under a condition."""
    return f"{key}:{condition}"


class PerLayout(Generic[T]):
    """What is worked out once for a layout: which columns to take, which units there are."""

    def __init__(self, build: Callable[[Layout], T]) -> None:
        self._build = build
        self._built: dict[str, T] = {}

    def of(self, layout: Layout) -> T:
        """For this layout; built at its first use."""
        if layout.digest not in self._built:
            while len(self._built) >= KEPT_LAYOUTS:
                del self._built[next(iter(self._built))]
            self._built[layout.digest] = self._build(layout)
        return self._built[layout.digest]

    def forget(self) -> None:
        """Everything is built anew: the detector has learned something else."""
        self._built.clear()
