"""Power supplies, crates and anything else that has an SNMP agent: tables and single values, asked for each turn."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, model_validator

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.frame import Channel, Kind, Quality
from collectors.patterns import Places, PlaceTemplates, Selection, join_place
from collectors.slow_control.host_port import HostPort
from collectors.slow_control.snmp_client import Agent, Answer, dotted
from collectors.slow_control.snmp_credentials import Community, User
from collectors.slow_control.snmp_profiles import ProfileName, profile
from collectors.slow_control.snmp_tables import Meaning, Oid, Row, Scalar, Table, distinct, parse_oid
from collectors.slow_control.snmp_values import Raw
from collectors.snapshot import SnapshotFrames


class SnmpOptions(Options):
    """Where the agent is, what proves who we are, and what is read."""

    address: HostPort
    """HOST or HOST:PORT of the agent; 161 by default."""
    community: SecretStr | None = None
    """Version 2c: "public" where nothing else is given. It goes over the network as plain text."""
    community_file: Path | None = None
    """A file that holds the community, read when the session is opened."""
    user: str = ""
    """Version 3: the name of the user; with a password there is authentication, with a second one encryption as well."""
    auth_protocol: Literal["md5", "sha", "sha224", "sha256", "sha384", "sha512"] = "sha"
    """Version 3: how messages are authenticated, as the agent has it."""
    auth_password: SecretStr | None = None
    """Of `user`, at least 8 characters; better in a file."""
    auth_password_file: Path | None = None
    """A file that holds it, read when the session is opened."""
    privacy_protocol: Literal["des", "aes", "aes192", "aes256"] = "aes"
    """Version 3: how messages are encrypted, where there is a privacy password."""
    privacy_password: SecretStr | None = None
    """A second password, with which messages are encrypted as well; better in a file."""
    privacy_password_file: Path | None = None
    """A file that holds it, read when the session is opened."""
    context: str = ""
    """Version 3: the context on the agent, for devices that answer for several others."""
    profile: ProfileName | None = None
    """wiener: WIENER/iseg MPOD crates; interfaces: IF-MIB of any device in the network; ups: UPS-MIB."""
    device: str = ""
    """What names and places of a profile's channels begin with (the crate's name); the source's name by default."""
    tables: tuple[Table, ...] = ()
    """Tables to read besides the profile's."""
    scalars: tuple[Scalar, ...] = ()
    """Single values to read besides the profile's."""
    include: tuple[str, ...] = ("*",)
    """Patterns on the channel's name; one must match."""
    exclude: tuple[str, ...] = ()
    """Patterns of channels that are left out. A column that is named alone, as "*:VTerm", is not even asked for."""
    places: PlaceTemplates = Field(default_factory=dict)
    """Pattern on the channel's name = place below the source's, instead of what the table or the profile says."""
    timeout_s: float = Field(default=2.0, gt=0, le=60)
    """For the answer to one request."""
    retries: int = Field(default=2, ge=0, le=20)
    """How often a request is sent again before the agent is taken for dead."""
    request_values: int = Field(default=48, ge=1, le=1000)
    """Values asked for in one request; agents with little memory want fewer, and say so by "tooBig", which is heeded."""
    max_rows: int = Field(default=10_000, ge=1)
    """Of a table; more are not read."""

    @model_validator(mode="after")
    def _check(self) -> SnmpOptions:
        pairs = (
            ("community", self.community, self.community_file),
            ("auth_password", self.auth_password, self.auth_password_file),
            ("privacy_password", self.privacy_password, self.privacy_password_file),
        )
        for name, secret, path in pairs:
            if secret is not None and path is not None:
                raise ValueError(f"give either `{name}` or `{name}_file`")
        community, auth, privacy = (secret is not None or path is not None for _, secret, path in pairs)
        if self.context and not self.user:
            raise ValueError("a context is one of version 3: give a user as well")
        if (self.user and community) or (not self.user and (auth or privacy)):
            raise ValueError("give either a community (version 2c) or a user, and passwords with a user alone (version 3)")
        if privacy and not auth:
            raise ValueError("a privacy password needs an auth_password as well")
        if not (self.profile or self.tables or self.scalars):
            raise ValueError("say what to read: `profile`, `tables` or `scalars`")
        return self


class SnmpCollector:
    """Asks an SNMP agent each turn, by default with the OIDs of a profile: WIENER/iseg crates, network interfaces, UPS.

    A crate's channels are called crate:U0:VMon, :IMon, :Status … and lie at crate/board0/U0. BITS count from the most significant
    bit; here the first name is the lowest bit. Of `profile = "wiener"` a ramp is shown by the bits 11 and 12 of Status:
    `ramping = [{ status = "*:Status", readings = ["{1}:VMon", "{1}:IMon"], bits = [11, 12] }]`. What the agent does not tell any
    more is disconnected. Anything else is read by tables of one's own:

        [[source.pdu.tables]]
        oid = "1.3.6.1.4.1.318.1.1.12.3.5.1.1"
        name = "outlet:{index}"
        columns = { State = { oid = "4", states = { 1 = "on", 2 = "off" } } }

    Example:
        [source.mpod]
        collector = "snmp"
        place = "MU3E/HV"
        address = "mpod1.example.org"
        community_file = "/etc/shiftwatch/mpod.community"
        profile = "wiener"
        device = "mpod1"

    """

    options_model: ClassVar[type[Options]] = SnmpOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: SnmpOptions) -> None:
        self._origin = origin
        self._options = options
        device = options.device or origin.source
        known = profile(options.profile, device) if options.profile else None
        self._tables = tuple(_wanted((*(known.tables if known else ()), *options.tables), options.exclude))
        self._scalars = (*(known.scalars if known else ()), *options.scalars)
        self._selection = Selection(options.include, options.exclude)
        self._places = Places(origin.place, options.places)
        self._snapshots = SnapshotFrames(origin.source)
        self._agent: Agent | None = None
        self._channels: dict[str, Channel] = {}
        self._labels: list[dict[Oid, str]] = [{} for _ in self._tables]
        self._problems: dict[str, str] = {}

    def collect(self) -> Iterator[Collected]:
        """A frame of all channels; those that the agent does not tell any more are disconnected. Raises CollectError."""
        if self._agent is None:
            self._agent = self._connect()
        try:
            answer = self._agent.read([parse_oid(scalar.oid) for scalar in self._scalars], [table.oids() for table in self._tables])
        except CollectError:
            self.close()
            raise
        reading = _Reading(dict(self._problems))
        for scalar in self._scalars:
            raw = answer.values.get(parse_oid(scalar.oid))
            if raw is not None:
                self._take(scalar.name, scalar, raw, scalar.place, reading)
        for i, table in enumerate(self._tables):
            self._read_table(i, table, answer, reading)
        for oid, problem in answer.problems.items():
            reading.reject(dotted(oid), problem, b"")
        self._problems = reading.problems
        yield from reading.rejected
        if not reading.seen:
            raise CollectError(f"{self._options.address}: the agent answers, but has nothing of what is asked for")
        reading.bad.update((name, Quality.DISCONNECTED) for name in self._channels if name not in reading.seen)
        yield self._snapshots.frame(self._origin.now_ns(), list(self._channels.values()), reading.values, reading.bad)

    def close(self) -> None:
        """Ends the session."""
        agent, self._agent = self._agent, None
        if agent is not None:
            agent.close()

    def _connect(self) -> Agent:
        options = self._options
        credentials: Community | User
        if options.user:
            auth = _secret(options.auth_password, options.auth_password_file)
            privacy = _secret(options.privacy_password, options.privacy_password_file)
            credentials = User(options.user, options.auth_protocol, auth, options.privacy_protocol, privacy)
        else:
            credentials = Community(_secret(options.community, options.community_file) or "public")
        return Agent(
            options.address,
            credentials,
            context=options.context if options.user else "",
            timeout_s=options.timeout_s,
            retries=options.retries,
            varbinds=options.request_values,
            max_rows=options.max_rows,
        )

    def _read_table(self, i: int, table: Table, answer: Answer, reading: _Reading) -> None:
        labels = self._labels[i] = table.labels(answer.columns, self._labels[i])
        for index, label in distinct(labels).items():
            row = Row(label, index)
            name, place = row.fill(table.name), row.fill(table.place, is_place=True)
            for column_name, column in table.columns.items():
                raw = answer.columns[table.column_oid(column.oid)].get(index)
                if raw is not None:
                    self._take(f"{name}:{column_name}", column, raw, place, reading)

    def _take(self, name: str, meaning: Meaning, raw: Raw, place: str, reading: _Reading) -> None:
        """Notes one value, and the channel that it makes where it is seen for the first time."""
        if name not in self._selection:
            return
        is_missing = meaning.is_missing(raw)
        if name not in self._channels:
            if is_missing:
                return
            place = self._places.of(name) if self._options.places else join_place(self._origin.place, place)
            kind = meaning.kind_of(raw)
            unit = "" if kind in (Kind.STATE, Kind.BITS) else meaning.unit
            self._channels[name] = Channel(name, meaning.quantity or name.rpartition(":")[2], unit, kind, place, meaning.names())
        if name in reading.seen:
            reading.reject(name, "several values have this name; the first is taken", b"")
            return
        reading.seen.add(name)
        value, problem = meaning.value(raw, self._channels[name].kind)
        reading.values[name] = math.nan if is_missing else value
        if problem or is_missing or math.isnan(value):
            reading.bad[name] = Quality.INVALID
        if problem:
            reading.reject(name, problem, raw.value if isinstance(raw.value, bytes) else str(raw.value).encode())


class _Reading:
    """What one turn brings. What is wrong with a channel is said once, until it is something else."""

    def __init__(self, said: dict[str, str]) -> None:
        self._said = said
        self.problems: dict[str, str] = {}
        self.values: dict[str, float] = {}
        self.bad: dict[str, Quality] = {}
        self.seen: set[str] = set()
        self.rejected: list[Rejected] = []

    def reject(self, subject: str, reason: str, payload: bytes) -> None:
        self.problems[subject] = reason
        if subject not in self._said:
            self.rejected.append(Rejected(subject, reason, payload))


def _wanted(tables: Iterable[Table], exclude: Collection[str]) -> Iterator[Table]:
    """Tables without the columns that are excluded from every row."""
    for table in tables:
        columns = {name: column for name, column in table.columns.items() if f"*:{name}" not in exclude}
        if columns:
            yield table.model_copy(update={"columns": columns})


def _secret(secret: SecretStr | None, path: Path | None) -> str:
    """A secret from the options or from its file, "" where there is none. Raises CollectError where the file cannot be read."""
    if path is None:
        return secret.get_secret_value() if secret is not None else ""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CollectError(f"{path}: {getattr(error, 'strerror', None) or 'not a text'}") from None
