"""Whether labels order the incidents, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.ranking.standing import Standing
from daemon.store.rankings import RankingVersion
from daemon.web.words import Times, clean, plural

SHOWN_VERSIONS = 5


@dataclass(frozen=True, slots=True)
class RankingRow:
    """A version of what was learned from labels; the first one is the newest, as it stands now."""

    version: int
    trained: str
    labels: str
    why: str


def ranking_rows(standing: Standing, versions: Sequence[RankingVersion], times: Times) -> list[RankingRow]:
    """The newest versions, the newest first."""
    return [
        RankingRow(
            one.version,
            f"{times.local(one.trained_ns):%Y-%m-%d %H:%M}",
            plural(one.labels, "label"),
            clean(standing.why if one.version == standing.version else one.why),
        )
        for one in versions[:SHOWN_VERSIONS]
    ]
