"""Connections of kafka-python, made from the options; everything that goes wrong with one becomes a BusError."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.net.compat import KafkaNetClient
from pydantic import SecretStr

from daemon.bus.bus import BusError
from daemon.bus.kafka_options import KafkaOptions
from daemon.secret_files import SecretError, read_secret

RECONNECT_MAX_S = 2.0
"""Longest pause between attempts to reach a broker that went away (kafka-python's default, 30 s, outlasts a restart by far)."""


WIRE_LOGGERS = ("kafka.net.connection", "kafka.protocol.parser")
"""Their debug messages are the bytes that are sent, and with the mechanism PLAIN these hold the password."""


class _Hidden(str):
    """A password that kafka-python can use and that its debug log (which prints configurations) does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"


def wait_for_broker(options: KafkaOptions) -> None:
    """Returns when one of the brokers accepts connections. Raises BusError after `connect_timeout_s`.

    kafka-python's own time-out names no cause, and leaves its thread behind.
    """
    deadline = time.monotonic() + options.connect_timeout_s
    reasons: dict[str, str] = {}
    while True:
        for server in options.bootstrap_servers:
            host, _, port = server.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=options.connect_timeout_s).close()
            except OSError as error:
                reasons[server] = error.strerror or str(error)
            else:
                return
        if time.monotonic() >= deadline:
            told = "; ".join(f"{server}: {reason}" for server, reason in reasons.items())
            raise BusError(f"no Kafka broker answers within {options.connect_timeout_s:g} s ({told})")
        time.sleep(0.1)


def connect(factory: Callable[..., Any], options: KafkaOptions, **settings: Any) -> Any:  # noqa: ANN401 - kafka-python is untyped
    """An admin client, producer or consumer of kafka-python. Raises BusError, with nothing left behind."""
    clients: list[Any] = []

    def make_client(**configuration: Any) -> Any:  # noqa: ANN401
        clients.append(KafkaNetClient(**configuration))
        return clients[-1]

    reasons = _Reasons()
    logger = logging.getLogger("kafka.net.manager")
    logger.addHandler(reasons)
    try:
        return factory(**_client_settings(options), kafka_client=make_client, **settings)
    except (KafkaError, OSError, ValueError) as error:
        for client in clients:
            client.close()  # it would go on in its thread
        told = f"{describe(reasons.first or error)} ({_what_to_check(options)})"
        raise BusError(f"no session with Kafka at {options.servers}: {told}") from None
    finally:
        logger.removeHandler(reasons)


class _Reasons(logging.Handler):
    """Why a connection failed: kafka-python raises only that it timed out, and tells its log the reason."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.first: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the first exception that a message carries."""
        for argument in record.args if isinstance(record.args, tuple) else ():
            if isinstance(argument, KafkaError) and not isinstance(argument, KafkaTimeoutError):
                self.first = self.first or argument


def describe(error: BaseException) -> str:
    """An error of kafka-python in one short line."""
    text = " ".join(str(error).split())
    return text[:300] or type(error).__name__


def _what_to_check(options: KafkaOptions) -> str:
    """Brokers close the connection without a word on many of these."""
    checks = [f"security_protocol {options.security_protocol}"]
    if options.security_protocol.startswith("SASL"):
        checks.append(f"sasl_mechanism {options.sasl_mechanism}, sasl_username {options.sasl_username!r} and its password")
    if options.security_protocol.endswith("SSL"):
        checks.append("the certificates")
    return f"check {', '.join(checks)}"


def _client_settings(options: KafkaOptions) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "bootstrap_servers": list(options.bootstrap_servers),
        "bootstrap_timeout_ms": int(options.connect_timeout_s * 1000),
        "request_timeout_ms": int(options.request_timeout_s * 1000),
        "reconnect_backoff_max_ms": int(RECONNECT_MAX_S * 1000),
        "metadata_max_age_ms": int(options.discovery_interval_s * 1000),
        "security_protocol": options.security_protocol,
    }
    if options.security_protocol.startswith("SASL"):
        for logger in WIRE_LOGGERS:
            logging.getLogger(logger).setLevel(logging.INFO)
        settings |= {
            "sasl_mechanism": options.sasl_mechanism,
            "sasl_plain_username": options.sasl_username,
            "sasl_plain_password": _password(options),
        }
    if options.security_protocol.endswith("SSL"):
        settings |= {
            "ssl_cafile": _readable("ssl_cafile", options.ssl_cafile),
            "ssl_certfile": _readable("ssl_certfile", options.ssl_certfile),
            "ssl_keyfile": _readable("ssl_keyfile", options.ssl_keyfile),
            "ssl_password": _secret(options.ssl_key_password) or None,
            "ssl_check_hostname": options.ssl_check_hostname,
        }
    return settings


def _password(options: KafkaOptions) -> _Hidden:
    if options.sasl_password_file is None:
        return _secret(options.sasl_password)
    try:
        return _Hidden(read_secret(options.sasl_password_file, "sasl_password_file"))
    except SecretError as error:
        raise BusError(str(error)) from None


def _secret(secret: SecretStr) -> _Hidden:
    return _Hidden(secret.get_secret_value())


def _readable(option: str, path: Path | None) -> str | None:
    """The path as kafka-python wants it; a BusError where the file cannot be read."""
    if path is None:
        return None
    try:
        path.open("rb").close()
    except OSError as error:
        raise BusError(f"{option}: {error.strerror}: {path}") from None
    return str(path)
