"""How well a ranking of channels names the causes of an event.

HitRate@100 %: of the n channels that are the causes, the part among the first n of the ranking (Y. Su et al., KDD 2019, there
HitRate@P%); top 1: whether the first of the ranking is one of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


def hit_rate(ranked: Sequence[str], causes: Collection[str]) -> float:
    """HitRate@100 %, between 0 and 1. Raises ValueError where there are no causes."""
    wanted = set(causes)
    if not wanted:
        raise ValueError("an event without known causes has no hit rate")
    return len(wanted.intersection(ranked[: len(wanted)])) / len(wanted)


def is_top(ranked: Sequence[str], causes: Collection[str]) -> bool:
    """Whether a cause ranks first; False for an empty ranking."""
    return bool(ranked) and ranked[0] in causes
