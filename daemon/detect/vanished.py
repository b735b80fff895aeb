"""Which columns a source no longer shows, and at which places: one disk, or all that a node had."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from collectors.frame import Layout, is_within
from detectors.finding import Contribution, Evidence

FORGET_NS = 3_600_000_000_000
"""What has been gone for this long counts as taken away on purpose."""
PLACES_MOST = 8
"""Places with something missing that are told from one another at one time; where there are more, those above them stand for them."""
SOURCE = ""
"""Stands for the place of the source itself, which may be configured anew while something is gone."""
SHOWN_MOST = 20


class VanishedColumns:
    """The columns of a source that were there and are not, each at the place under which it is reported."""

    def __init__(self, place: str) -> None:
        """`place`: the source's own."""
        self._place = place
        self._names: dict[str, str] = {}
        self._gone: dict[str, tuple[int, str]] = {}
        self._layout: Layout | None = None

    def see(self, layout: Layout, at_ns: int) -> None:
        """Takes note of the columns that are there."""
        if layout is not self._layout:  # the same object for block after block, and there may be 100,000 columns in it
            self._layout = layout
            self._compare({column.name: column.place for column in layout.columns}, at_ns)
        for name, (since_ns, _) in list(self._gone.items()):
            if at_ns - since_ns > FORGET_NS:
                del self._gone[name]
                self._names.pop(name, None)

    def since_ns(self) -> dict[str, int]:
        """The places where something is missing, and since when."""
        found: dict[str, int] = {}
        for since_ns, place in self._gone.values():
            found[place] = min(since_ns, found.get(place, since_ns))
        return found

    def evidence(self, source: str, place: str) -> Evidence:
        """What is missing there."""
        gone = sorted(name for name, (_, where) in self._gone.items() if where == place)
        named = ", ".join(gone[:3]) + (f" and {len(gone) - 3} more" if len(gone) > 3 else "")
        ranked = tuple(
            Contribution(name, self._names.get(name, "") or self._place, 0.0, 1.0, 1 / len(gone), text="gone") for name in gone[:SHOWN_MOST]
        )
        return Evidence(f"{source} no longer shows {named}", ranked)

    def state(self) -> dict[str, Any]:
        """As plain values; names are kept by place, which most of them share."""
        names: dict[str, list[str]] = {}
        for name, place in sorted(self._names.items()):
            names.setdefault(place, []).append(name)
        return {"names": names, "gone": {name: list(entry) for name, entry in self._gone.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`; nothing in it is nothing known."""
        self._layout = None
        known = state.get("names", {})
        if isinstance(known, list):  # of versions that reported all at the source's own place, under "vanished"
            self._names = dict.fromkeys(known, SOURCE)
            self._gone = {name: (int(since_ns), SOURCE) for name, (since_ns, _) in state["vanished"].items()}
            return
        self._names = {name: place for place, names in known.items() for name in names}
        self._gone = {name: (int(since_ns), str(place)) for name, (since_ns, place) in state.get("gone", {}).items()}

    def _compare(self, there: Mapping[str, str], at_ns: int) -> None:
        """`there`: place by name of the columns that are there."""
        for name in self._gone.keys() & there.keys():
            del self._gone[name]
        missing = self._names.keys() - there.keys() - self._gone.keys()
        reported = self._reported({self._names[name] for name in missing})
        for name in sorted(missing):
            self._gone[name] = (at_ns, reported[self._names[name]])
        self._names.update(there)

    def _reported(self, places: Collection[str]) -> dict[str, str]:
        """For each place the one under which it is reported: a place above it where too many are bare, the deepest first."""
        reported = {place: SOURCE if place == self._place else place for place in places}
        standing = {place for _, place in self._gone.values()}
        while len(standing.union(reported.values())) > PLACES_MOST:
            new = set(reported.values()) - standing - {SOURCE}
            deepest = max((place.count("/") for place in new), default=-1)
            if deepest < 0:
                break
            reported = {
                place: self._above(where) if where in new and where.count("/") == deepest else where for place, where in reported.items()
            }
        return reported

    def _above(self, place: str) -> str:
        """The place above one, no higher than that of the source."""
        above = place.rpartition("/")[0]
        return above if above != self._place and is_within(above, self._place) else SOURCE
