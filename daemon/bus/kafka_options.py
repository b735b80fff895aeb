"""Options of the Kafka bus. Imports no Kafka, so that a configuration is checked without it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from collectors.collector import Options
from daemon.bus.bus import MAX_RECORD_BYTES
from daemon.bus.topics import FRAMES_PARTITIONS

Seconds = Annotated[float, Field(gt=0)]


class KafkaOptions(Options):
    """Which Kafka cluster, how to log in, and for how long to wait."""

    bootstrap_servers: Annotated[tuple[str, ...], Field(min_length=1)] = ("127.0.0.1:9092",)
    """Brokers to ask first, "host:port"; a single string may separate them by commas."""
    prefix: str = Field(default="shiftwatch", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    """Topics are named `{prefix}.frames` and so on, groups `{prefix}.detect`: two experiments can share a cluster."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """What the listener of the brokers speaks."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How the password is proved, with SASL_PLAINTEXT and SASL_SSL."""
    sasl_username: str = ""
    """Who we are."""
    sasl_password: SecretStr = SecretStr("")
    """The password; better put into `sasl_password_file`."""
    sasl_password_file: Path | None = None
    """A file that holds the password (systemd LoadCredential, a Kubernetes secret); it wins over `sasl_password`."""
    ssl_cafile: Path | None = None
    """Certificates of the authorities that signed the brokers' certificates (PEM); None takes the system's."""
    ssl_certfile: Path | None = None
    """Our certificate (PEM), where brokers ask for one."""
    ssl_keyfile: Path | None = None
    """The key of our certificate (PEM)."""
    ssl_key_password: SecretStr = SecretStr("")
    """The password of that key."""
    ssl_check_hostname: bool = True
    """Whether the broker's certificate must name the host that we connected to."""

    frames_partitions: int = Field(default=FRAMES_PARTITIONS, ge=1, le=10_000)
    """Partitions of frames and ingest where the topics are created: the most processes that can share the detect stage."""
    replication_factor: int = Field(default=-1, ge=-1)
    """Copies of each partition where the topics are created; -1 leaves it to the brokers."""

    compression: Literal["lz4", "gzip", "none"] = "lz4"
    """How record batches are compressed."""
    linger_s: float = Field(default=0.005, ge=0, le=1)
    """How long a record may wait for others to travel with."""
    max_record_bytes: int = Field(default=MAX_RECORD_BYTES, ge=1000, le=50_000_000)
    """Largest record, key and value. The brokers' message.max.bytes must be at least 50 kB more where topics exist already."""
    buffer_bytes: int = Field(default=64 * 1024 * 1024, ge=1_000_000)
    """Records that wait to be acknowledged; while there are more, who publishes waits."""

    connect_timeout_s: Seconds = 10.0
    """How long a broker may take to answer at start."""
    request_timeout_s: Seconds = 10.0
    """How long a broker may take to answer a request."""
    delivery_timeout_s: Seconds = 60.0
    """How long a record is tried again before it is given up: a restart of the brokers should fit in."""
    session_timeout_s: Seconds = 10.0
    """A member of a group that was not heard of for so long has lost its partitions."""
    heartbeat_interval_s: Seconds = 3.0
    """How often a member is heard of; at most a third of the session time-out."""
    max_poll_interval_s: Seconds = 120.0
    """A member that does not poll for so long has lost its partitions, though its heart beats."""
    discovery_interval_s: Seconds = 30.0
    """How soon partitions are seen that are added to a topic."""

    @field_validator("bootstrap_servers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("bootstrap_servers")
    @classmethod
    def _host_and_port(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for server in servers:
            host, _, port = server.rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65536:
                raise ValueError(f"{server!r} is not host:port")
        return servers

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.heartbeat_interval_s * 3 > self.session_timeout_s + 1e-9:
            raise ValueError("heartbeat_interval_s must be at most a third of session_timeout_s")
        if self.request_timeout_s + self.linger_s > self.delivery_timeout_s:
            raise ValueError("delivery_timeout_s must be at least request_timeout_s and linger_s together")
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_username and (self.sasl_password_file or self.sasl_password.get_secret_value())
        ):
            raise ValueError(f"{self.security_protocol} needs sasl_username and sasl_password_file or sasl_password")
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("ssl_keyfile needs ssl_certfile")
        return self

    @property
    def servers(self) -> str:
        """The brokers, for messages."""
        return ", ".join(self.bootstrap_servers)

    def topic(self, name: str) -> str:
        """Kafka's name of a topic."""
        return f"{self.prefix}.{name}"

    def group(self, name: str) -> str:
        """Kafka's name of a group."""
        return f"{self.prefix}.{name}"
