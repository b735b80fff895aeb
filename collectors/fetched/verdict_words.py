"""The verdicts of other systems in four words: what their words, colours, codes and scores mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from collectors.fetched.json_values import shown

Verdict = Literal["unknown", "good", "medium", "bad"]
Codes = Literal["", "alice_qc", "cms_qtest", "nagios"]
VERDICTS: tuple[Verdict, ...] = ("unknown", "good", "medium", "bad")
"""Names of the states of a channel of verdicts. Unknown is no verdict: nobody looked, or there was too little to look at."""

_WORDS: Mapping[Verdict, str] = {
    "good": "good ok okay green pass passed success successful normal up no_alarm no_error inactive",
    "medium": "medium warning warn yellow amber orange degraded minor",
    "bad": "bad red error critical crit fail failed failure alarm alert alerting firing fatal down major",
    "unknown": "unknown null none undefined grey gray black disabled invalid no_data nodata n/a na pending unreachable excluded "
    "insuf_stat insufficient_statistics did_not_run not_run skipped other",
}
WORDS: Mapping[str, Verdict] = {word: verdict for verdict, words in _WORDS.items() for word in words.split()}
"""Words in small letters, hyphens and spaces as underscores: ALICE QualityControl (Good, Medium, Bad, Null), ATLAS DQMF (colours),
CMS quality tests (STATUS_OK without its prefix …), Nagios and Icinga (OK, WARNING, CRITICAL, UNKNOWN; UP, DOWN), Grafana (Normal,
Alerting, NoData; its Error too counts as bad), Prometheus (firing), EPICS (NO_ALARM, MINOR, MAJOR, INVALID)."""
CODES: Mapping[Codes, Mapping[int, Verdict]] = {
    "": {},
    "alice_qc": {1: "good", 2: "medium", 3: "bad", 10: "unknown"},
    "cms_qtest": {
        30: "unknown",
        50: "unknown",
        60: "unknown",
        70: "unknown",
        90: "unknown",
        100: "good",
        200: "medium",
        300: "bad",
    },
    "nagios": {0: "good", 1: "medium", 2: "bad", 3: "unknown"},
}
"""Numbers mean nothing by themselves: levels of o2::quality_control::core::Quality
(https://github.com/AliceO2Group/QualityControl), dqm::qstatus of CMSSW (DQMServices/Core: 30 other, 50 disabled, 60 invalid, 70 too
few entries, 90 did not run, 100 ok, 200 warning, 300 error), exit codes of Nagios plugins (https://nagios-plugins.org)."""


class Limits(NamedTuple):
    """From a score to a verdict: None where there is no such limit. `missing`: numbers that stand for no score."""

    medium_above: float | None = None
    bad_above: float | None = None
    medium_below: float | None = None
    bad_below: float | None = None
    missing: Sequence[float] = ()

    def verdict(self, score: float, threshold: float | None = None) -> Verdict:
        """A score that equals a limit has not passed it; a `threshold` of its own counts instead of `bad_above`."""
        if math.isnan(score):
            return "unknown"
        bad_above = self.bad_above if threshold is None else threshold
        if _passes(score, bad_above, self.bad_below):
            return "bad"
        return "medium" if _passes(score, self.medium_above, self.medium_below) else "good"


def _passes(score: float, above: float | None, below: float | None) -> bool:
    return (above is not None and score > above) or (below is not None and score < below)


class Vocabulary:
    """What the words and numbers of one system mean."""

    def __init__(self, codes: Codes, words: Mapping[str, Verdict]) -> None:
        """`words` are those of the configuration; they win, and name numbers and truth values as JSON writes them."""
        self._words = {**WORDS, **{_plain(word): verdict for word, verdict in words.items()}}
        self._codes = CODES[codes]

    def verdict(self, value: object) -> Verdict | None:
        """The verdict, None where nothing was said (null, NaN). Raises ValueError for what is no verdict."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, str):
            word = _plain(value)
            if not word:
                return None
        elif isinstance(value, bool):
            word = "true" if value else "false"
        elif isinstance(value, int | float):
            word = str(value) if isinstance(value, int) else f"{value:.15g}"
        else:
            raise ValueError(f"{shown(value)} is no verdict")
        found = self._words.get(word) or self._words.get(word.removeprefix("status_"))
        if found is None and word.lstrip("-").isdecimal():
            found = self._codes.get(int(word))
        if found is None:
            raise ValueError(f"{shown(value)} is no verdict that is known: say in `words` what it means")
        return found


def _plain(word: str) -> str:
    return "_".join(word.strip().casefold().replace("-", " ").replace("_", " ").split())
