"""Options of a connection to a Kafka cluster of a third party. Imports no Kafka, so that a configuration is checked without it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from collectors.collector import Options


class KafkaSourceOptions(Options):
    """Which cluster, how to log in, and how long to wait."""

    bootstrap_servers: Annotated[tuple[str, ...], Field(min_length=1)]
    """Brokers to ask first, "host:port"; a single string may separate them by commas."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """What the listener of the brokers speaks."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How the password is proved, with SASL_PLAINTEXT and SASL_SSL."""
    sasl_username: str = ""
    """Who we are."""
    sasl_password: SecretStr | None = None
    """The password; better put into `sasl_password_file`."""
    sasl_password_file: Path | None = None
    """A file that holds the password (systemd LoadCredential, a Kubernetes secret)."""
    ssl_cafile: Path | None = None
    """Certificates of the authorities that signed the brokers' certificates (PEM); by default the system's."""
    ssl_certfile: Path | None = None
    """Our certificate (PEM), where brokers ask for one."""
    ssl_keyfile: Path | None = None
    """The key of our certificate (PEM)."""
    ssl_check_hostname: bool = True
    """Whether the broker's certificate must name the host that we connected to."""
    request_timeout_s: float = Field(default=10.0, gt=0, le=300)
    """How long a broker may take to answer."""

    @field_validator("bootstrap_servers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("bootstrap_servers")
    @classmethod
    def _host_and_port(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for server in servers:
            host, _, port = server.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ValueError(f"{server!r} is not host:port")
        return servers

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        passwords = [secret for secret in (self.sasl_password, self.sasl_password_file) if secret is not None]
        is_sasl = self.security_protocol.startswith("SASL")
        if is_sasl and not (self.sasl_username and len(passwords) == 1):
            raise ValueError(f"{self.security_protocol} needs sasl_username and one of sasl_password_file and sasl_password")
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("ssl_keyfile needs ssl_certfile")
        return self

    @property
    def servers(self) -> str:
        """The brokers, for messages."""
        return ", ".join(self.bootstrap_servers)
