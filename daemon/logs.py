"""Structured logs: one line an event, `key=value` text or JSON, on standard error."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

from daemon.sections import LogSettings

_PAIR = re.compile(r"(\w+)=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\[[^\]]*\]|\S+)")


class TextFormatter(logging.Formatter):
    """`2026-01-31T02:14:07Z info  pipeline  collecting sources=3`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line; an exception as its last line."""
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        origin = record.name.removeprefix("daemon.")
        return f"{moment} {record.levelname.lower():<7} {origin:<16} {_message(record)}"


class JsonFormatter(logging.Formatter):
    """The same as an object a line, the pairs as fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        message = _message(record)
        pairs = {key: value.strip("'\"") for key, value in _PAIR.findall(message)}
        event = _PAIR.sub("", message).strip()
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": moment, "level": record.levelname.lower(), "origin": record.name, "event": event, **pairs})


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = "" if frame is None else f" at={frame.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno}"
        message += f" error={type(error).__name__!r}{where} reason={' '.join(str(error).split())!r}"
    return " ".join(message.splitlines())


def set_up(settings: LogSettings) -> None:
    """Sends all logs to standard error in the configured format; libraries speak up from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("daemon").setLevel(settings.level.upper())
    for noisy in ("kafka", "caproto", "apscheduler"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
