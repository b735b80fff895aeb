"""Times, durations and numbers as the page shows them: times in the experiment's zone, always with the age beside them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

S_NS = 1_000_000_000
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, those that turn the direction of writing (a name could hide another one), halves of characters."""
_ISO = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


def clean(text: str) -> str:
    """Text from elsewhere without characters that a page must not hold; markup in it is escaped by the templates."""
    return _UNPRINTABLE.sub("", text)


def lasted(duration_ns: int) -> str:
    """A duration as people say it: "40 s", "6 min", "2 h 5 min", "3 d 4 h"."""
    seconds = max(duration_ns, 0) // S_NS
    if seconds < MINUTE_S:
        return f"{seconds} s"
    minutes = (seconds + MINUTE_S // 2) // MINUTE_S
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    if days >= 10:
        return f"{days} d"
    return f"{days} d {hours} h" if hours else f"{days} d"


def number(value: float, digits: int = 3) -> str:
    """A number with sensible digits and thin spaces between thousands: "0.82", "12.1", "382 711"; "unknown" for NaN."""
    if not math.isfinite(value):
        return "unknown"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:.{digits}g}"


def rate(per_day: float) -> str:
    """A rate in two digits, but no more than hundredths: "0.82", "1.2", "0.03", "0"."""
    return number(per_day, 2) if per_day >= 0.1 else f"{round(per_day, 2):g}"


def plural(count: int, noun: str) -> str:
    """A count with its noun: "1 incident", "3 incidents"."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Times:
    """How times are shown at a moment: `now_ns` is event time, UTC."""

    zone: ZoneInfo
    now_ns: int

    def local(self, time_ns: int) -> datetime:
        """In the experiment's zone, to the second; a time that no calendar holds becomes the nearest one that it does."""
        try:
            return datetime.fromtimestamp(time_ns // S_NS, self.zone)
        except (OverflowError, ValueError, OSError):
            return datetime.fromtimestamp(0 if time_ns < 0 else 4_102_444_800, self.zone)

    def clock(self) -> str:
        """What time it is: "02:20"."""
        return f"{self.local(self.now_ns):%H:%M}"

    def zone_name(self) -> str:
        """The zone's short name now: "CET"."""
        return self.local(self.now_ns).tzname() or str(self.zone)

    def moment(self, time_ns: int, *, seconds: bool = False) -> str:
        """As short as it is clear: "12:19", "30 Nov 12:19", "30 Nov 2016 12:19"."""
        then, now = self.local(time_ns), self.local(self.now_ns)
        text = f"{then:%H:%M:%S}" if seconds else f"{then:%H:%M}"
        if then.date() == now.date() or abs(now - then) < timedelta(hours=6):
            return text
        date = f"{then.day} {then:%b}"
        return f"{date} {text}" if then.year == now.year else f"{date} {then.year} {text}"

    def exact(self, time_ns: int) -> str:
        """For a title or a print: "2016-11-30 13:19:48 CET"."""
        then = self.local(time_ns)
        return f"{then:%Y-%m-%d %H:%M:%S} {then.tzname()}"

    def iso(self, time_ns: int) -> str:
        """For the datetime attribute: with the offset from UTC."""
        return self.local(time_ns).isoformat()

    def age(self, time_ns: int) -> str:
        """How long ago: "6 min"; "in 40 min" for what is still to come."""
        ahead_ns = time_ns - self.now_ns
        return f"in {lasted(ahead_ns)}" if ahead_ns >= S_NS else lasted(-ahead_ns)

    def since(self, time_ns: int) -> str:
        """A moment with its age: "12:19 (6 min)"."""
        return f"{self.moment(time_ns)} ({self.age(time_ns)})"

    def localised(self, text: str) -> str:
        """A sentence in which times in UTC (as the records hold them) are those of the zone."""
        return _ISO.sub(self._moment_of, text)

    def _moment_of(self, found: re.Match[str]) -> str:
        try:
            then = datetime.fromisoformat(found.group())
        except ValueError:
            return found.group()
        return self.moment(int(then.timestamp()) * S_NS)
