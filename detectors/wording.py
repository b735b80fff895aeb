"""Numbers and lists as a reader of an alarm sees them."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN_MOST = 3


def amount(value: float, unit: str = "") -> str:
    """A number with its unit in four digits: "12.1 V", "0.31"."""
    text = f"{value:.4g}"
    return text if unit in ("", "1") else f"{text} {unit}"


def percent(ratio: float) -> str:
    """A ratio in percent, in two digits: "34 %", "2.5 %", "100 %"."""
    return f"{100 * ratio:.0f} %" if ratio >= 0.095 else f"{100 * ratio:.2g} %"


def times(ratio: float) -> str:
    """A factor: "8", "2.5", "more than 1000"."""
    if ratio >= 1000:
        return "more than 1000"
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: "a, b, c and 4 more"."""
    shown = list(names[:SHOWN_MOST])
    if len(names) > SHOWN_MOST:
        return f"{', '.join(shown)} and {len(names) - SHOWN_MOST} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def lasting(seconds: float) -> str:
    """A length of time: "40 s", "12 min", "3.5 h"."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
