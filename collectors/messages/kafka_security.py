"""What kafka-python is told of a cluster's addresses, certificates and passwords, none of which may be seen anywhere."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from collectors.messages.kafka_source_options import KafkaSourceOptions

WIRE_LOGGERS = ("kafka.net.connection", "kafka.protocol.parser")
"""Their debug messages are the bytes that are sent, and with the mechanism PLAIN these hold the password."""


class _Hidden(str):
    """A password that kafka-python can use and that its debug log, which prints configurations, does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"


def security_of(options: KafkaSourceOptions) -> dict[str, Any]:
    """Settings of a KafkaConsumer. Raises OSError and ValueError that name the file."""
    settings: dict[str, Any] = {"bootstrap_servers": list(options.bootstrap_servers), "security_protocol": options.security_protocol}
    if options.security_protocol.startswith("SASL"):
        for name in WIRE_LOGGERS:
            logging.getLogger(name).setLevel(logging.INFO)
        settings |= {"sasl_mechanism": options.sasl_mechanism, "sasl_plain_username": options.sasl_username}
        settings["sasl_plain_password"] = _password(options)
    if options.security_protocol.endswith("SSL"):
        files = {name: getattr(options, name) for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile")}
        settings |= {name: _readable(path) for name, path in files.items() if path is not None}
        settings["ssl_check_hostname"] = options.ssl_check_hostname
    return settings


def _password(options: KafkaSourceOptions) -> _Hidden:
    if options.sasl_password is not None:
        return _Hidden(options.sasl_password.get_secret_value())
    assert options.sasl_password_file is not None
    try:
        return _Hidden(Path(_readable(options.sasl_password_file)).read_text(encoding="utf-8").strip())
    except UnicodeDecodeError:
        raise ValueError(f"{options.sasl_password_file}: not a text") from None


def _readable(path: Path) -> str:
    try:
        path.open("rb").close()
    except OSError as error:
        raise OSError(f"{path}: {error.strerror}") from None
    return str(path)
