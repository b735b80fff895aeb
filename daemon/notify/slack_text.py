"""Text as Slack wants it: escaped, cut to its limits, with links and times.

Sources on docs.slack.dev: "Formatting message text" (three characters to escape; links; dates that show as the reader's own) and
"Text object" (`verbatim` leaves names, channels and addresses alone).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from daemon.notify.wording import lasted, one_line

ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
ELLIPSIS = "…"
URL_CHARACTERS = ":/?#[]@!$&'()+,;=%~"
MAX_URL = 2000


def plain(text: str, limit: int) -> str:
    """Text that nothing interprets, on one line: what does not print is a space, and it ends in "…" where it is too long."""
    return one_line("".join(c if c.isprintable() else " " for c in text), limit)


def escaped(text: str, limit: int) -> str:
    """Text for mrkdwn: what Slack would take for a mention, a link or an entity shows as it is. `limit` holds after escaping."""
    line = plain(text, limit)
    parts = [ESCAPES.get(c, c) for c in line]
    if sum(map(len, parts)) <= limit:
        return "".join(parts)
    kept, room = 0, limit - len(ELLIPSIS)
    for part in parts:
        room -= len(part)
        if room < 0:
            break
        kept += 1
    return "".join(parts[:kept]).rstrip() + ELLIPSIS


def bold(text: str, limit: int) -> str:
    """Escaped and bold: an asterisk within it would end that."""
    return f"*{escaped(text.replace('*', '∗'), limit)}*"


def address(url: str) -> str:
    """An address that is safe in a link and in a button, "" where there is none or it is too long."""
    safe = quote(url, safe=URL_CHARACTERS)
    return safe if safe.startswith(("http://", "https://")) and len(safe) <= MAX_URL else ""


def link(url: str, text: str) -> str:
    """A link, or only its text where there is no address."""
    shown = escaped(text.replace("|", "/"), 200) or "link"
    safe = address(url).replace("&", "&amp;")
    return f"<{safe}|{shown}>" if 0 < len(safe) <= MAX_URL else shown


def mrkdwn(text: str) -> dict[str, Any]:
    """A text object that keeps its formatting and guesses nothing more."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def clock(time_ns: int, zone: ZoneInfo, now_ns: int) -> str:
    """The time of day in the experiment's zone, with the date where it is not of the last 12 hours."""
    moment = _moment(time_ns).astimezone(zone)
    return f"{moment:%H:%M:%S}" if abs(now_ns - time_ns) < 12 * 3600 * 1_000_000_000 else f"{moment:%Y-%m-%d %H:%M:%S}"


def ago(time_ns: int, now_ns: int, wall_ns: int) -> str:
    """The age. Where event time is wall time Slack works it out itself, so that it stays right; in a replay it is that of now."""
    age = f"{lasted(now_ns - time_ns)} ago"
    if abs(now_ns - wall_ns) > 60 * 1_000_000_000 or not 0 <= now_ns - time_ns < 30 * 86_400 * 1_000_000_000:
        return age
    return f"<!date^{time_ns // 1_000_000_000}^{{ago}}|{age}>"


def _moment(time_ns: int) -> datetime:
    """A time that `datetime` can hold, however absurd it is."""
    seconds = min(max(time_ns // 1_000_000_000, -2_000_000_000), 200_000_000_000)
    return datetime.fromtimestamp(seconds, UTC)
