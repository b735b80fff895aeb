"""Run, lumisection and beam in words, as every picture and the head line of the page show them."""

from __future__ import annotations

from collectors.conditions import ConditionHistory
from daemon.sections import ConditionNames


def in_words(history: ConditionHistory, names: ConditionNames, at_ns: int) -> str:
    """As in "run 382711, LS 214 · stable beams", as of a time; what is not known is left out."""
    run, lumisection, beam = (history.text_as_of(name, at_ns) for name in (names.run, names.lumisection, names.beam_mode))
    where = ", ".join(text for text in (f"run {run}" if run else "", f"LS {lumisection}" if lumisection else "") if text)
    return " · ".join(text for text in (where, beam.lower()) if text)
