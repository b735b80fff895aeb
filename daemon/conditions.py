"""What conditions mean: run, lumisection and beam in words, as every picture shows them, and when a source is muted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from collectors.conditions import ConditionHistory
from collectors.frame import Kind
from daemon.sections import ConditionNames, Mute


def in_words(history: ConditionHistory, names: ConditionNames, at_ns: int) -> str:
    """As in "run 382711, LS 214 · stable beams", as of a time; what is not known is left out."""
    run, lumisection, beam = (history.text_as_of(name, at_ns) for name in (names.run, names.lumisection, names.beam_mode))
    where = ", ".join(text for text in (f"run {run}" if run else "", f"LS {lumisection}" if lumisection else "") if text)
    return " · ".join(text for text in (where, beam.lower()) if text)


def muted_rows(mutes: Sequence[Mute], time_ns: NDArray[np.int64], conditions: ConditionHistory) -> NDArray[np.bool_]:
    """Rows in which a source with these mutes is not judged; shape (n,)."""
    muted = np.zeros(len(time_ns), dtype=bool)
    for mute in mutes:
        muted |= _mutes(mute, time_ns, conditions)
    return muted


def _mutes(mute: Mute, time_ns: NDArray[np.int64], conditions: ConditionHistory) -> NDArray[np.bool_]:
    """Whether a condition mutes each row; a condition that is not known mutes nothing. Shape (n,)."""
    value = conditions.as_of(mute.condition, time_ns)
    channel = conditions.channels.get(mute.condition)
    if channel is None:
        return np.zeros(len(time_ns), dtype=bool)
    wanted = mute.values or mute.unless
    codes = [float(i) for i, name in enumerate(channel.states) if name in wanted] if channel.kind is Kind.STATE and channel.states else []
    codes += [float(text) for text in wanted if text.replace(".", "", 1).lstrip("-").isdecimal()]
    among = np.isin(value, codes)
    return among if mute.values else ~among & np.isfinite(value)
