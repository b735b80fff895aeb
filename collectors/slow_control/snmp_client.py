"""Requests to one SNMP agent: single values, and columns of tables in bulk."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from pysnmp.carrier.asyncio.dgram import udp, udp6
from pysnmp.entity import config
from pysnmp.entity.engine import SnmpEngine
from pysnmp.entity.rfc3413 import cmdgen
from pysnmp.error import PySnmpError
from pysnmp.proto import rfc1902, rfc1905

from collectors.collector import CollectError
from collectors.slow_control.host_port import split_address
from collectors.slow_control.snmp_credentials import AUTH_PROTOCOLS, PRIVACY_PROTOCOLS, Community, User
from collectors.slow_control.snmp_values import Raw

Oid = tuple[int, ...]
_Reply = tuple[int, int, list[tuple[Oid, Raw | None]]]
SNMP_PORT = 161
_TARGET, _PARAMETERS, _SECURITY = "agent", "parameters", "security"
_TOO_BIG = 1
_NULL = rfc1902.Null("")
_ABSENT = (rfc1905.NoSuchObject, rfc1905.NoSuchInstance, rfc1905.EndOfMibView, rfc1902.Null)
_ERROR_STATUS = dict(enumerate(("noError", "tooBig", "noSuchName", "badValue", "readOnly", "genErr", "noAccess"))) | {
    16: "authorizationError"
}
_RESOLUTION_S = 0.05
_INTEGERS: tuple[tuple[tuple[type[Any], ...], Literal["counter", "ticks", "integer"]], ...] = (
    ((rfc1902.Counter32, rfc1902.Counter64), "counter"),
    ((rfc1902.TimeTicks,), "ticks"),
    ((rfc1902.Integer, rfc1902.Integer32, rfc1902.Gauge32, rfc1902.Unsigned32), "integer"),
)


@dataclass(slots=True)
class Answer:
    """What an agent said: values by OID, columns by OID and index, and what is wrong with an OID."""

    values: dict[Oid, Raw] = field(default_factory=dict)
    columns: dict[Oid, dict[Oid, Raw]] = field(default_factory=dict)
    problems: dict[Oid, str] = field(default_factory=dict)


class Agent:
    """A session with one agent. Nothing runs between two calls; the session is opened anew after an error."""

    def __init__(
        self, address: str, credentials: Community | User, *, context: str, timeout_s: float, retries: int, varbinds: int, max_rows: int
    ) -> None:
        self.address = address
        self._credentials = credentials
        self._context = context
        self._timeout_s = timeout_s
        self._retries = retries
        self._varbinds = varbinds
        self._max_rows = max_rows
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: Any = None

    def __repr__(self) -> str:
        return f"Agent({self.address!r})"

    def read(self, scalars: Sequence[Oid], tables: Sequence[Sequence[Oid]]) -> Answer:
        """Single values and the columns of tables. Raises CollectError where the agent does not answer."""
        is_old_session = self._loop is not None
        try:
            return self._run(scalars, tables)
        except CollectError:
            if not is_old_session or isinstance(self._credentials, Community):
                raise
        return self._run(scalars, tables)  # an agent of version 3 that was restarted may have another identity and another clock

    def _run(self, scalars: Sequence[Oid], tables: Sequence[Sequence[Oid]]) -> Answer:
        """The same in the session that is open, or else a new one, which ends with an error."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.set_exception_handler(lambda _loop, _context: None)  # a datagram that is no SNMP is no answer
        loop = self._loop
        try:
            return loop.run_until_complete(self._read(scalars, tables))
        except RuntimeError:
            if self._loop is loop:
                raise
            self._end(loop)
            raise CollectError(f"{self.address}: closed while it was read") from None
        except (PySnmpError, OSError, ValueError) as error:
            self.close()
            raise CollectError(f"{self.address}: {_line(error)}") from None
        except CollectError:
            self.close()
            raise

    def close(self) -> None:
        """Ends the session, and a turn of another thread that waits for the agent."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        if loop.is_running():  # only its own thread can end it
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.stop)
        else:
            self._end(loop)

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._engine is not None:
            self._engine.close_dispatcher()
            self._engine = None
        for task in asyncio.all_tasks(loop):  # of a turn that was broken off
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    async def _read(self, scalars: Sequence[Oid], tables: Sequence[Sequence[Oid]]) -> Answer:
        if self._engine is None:
            self._engine = SnmpEngine()
            self._open()
        answer = Answer()
        for start in range(0, len(scalars), self._varbinds):
            await self._get(list(scalars[start : start + self._varbinds]), answer)
        for columns in tables:
            await self._walk(columns, answer)
        return answer

    def _open(self) -> None:
        """Tells the engine whom to ask and how."""
        host, port = split_address(self.address, SNMP_PORT)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, _, _, _, where = found[0]
        carrier, transport = (udp6, udp6.Udp6Transport) if family == socket.AF_INET6 else (udp, udp.UdpTransport)
        credentials = self._credentials
        if isinstance(credentials, Community):
            config.add_v1_system(self._engine, _SECURITY, credentials.name)
            config.add_target_parameters(self._engine, _PARAMETERS, _SECURITY, "noAuthNoPriv", 1)
        else:
            config.add_v3_user(
                self._engine,
                credentials.name,
                AUTH_PROTOCOLS[credentials.auth_protocol] if credentials.auth_password else config.USM_AUTH_NONE,
                credentials.auth_password or None,
                PRIVACY_PROTOCOLS[credentials.privacy_protocol] if credentials.privacy_password else config.USM_PRIV_NONE,
                credentials.privacy_password or None,
            )
            config.add_target_parameters(self._engine, _PARAMETERS, credentials.name, credentials.level, 3)
        config.add_transport(self._engine, carrier.DOMAIN_NAME, transport().open_client_mode())
        self._engine.transport_dispatcher.set_timer_resolution(_RESOLUTION_S)
        timeout_ticks = self._timeout_s * 100
        config.add_target_address(
            self._engine,
            _TARGET,
            carrier.DOMAIN_NAME,
            where[: 4 if family == socket.AF_INET6 else 2],
            _PARAMETERS,
            timeout_ticks,
            self._retries,
        )

    async def _get(self, oids: list[Oid], answer: Answer) -> None:
        """Single values; one that the agent does not have is left out."""
        pending = oids
        while pending:
            status, at, pairs = await self._ask(cmdgen.GetCommandGenerator().send_varbinds, (), pending)
            if not status:
                answer.values.update((oid, raw) for oid, raw in pairs if raw is not None and oid in pending)
                return
            if status == _TOO_BIG and len(pending) > 1:
                await self._get(pending[: len(pending) // 2], answer)
                pending = pending[len(pending) // 2 :]
            else:
                pending = self._without(pending, status, at, answer)

    async def _walk(self, columns: Sequence[Oid], answer: Answer) -> None:
        """Columns of one table, side by side, so that a row is read at one moment as far as it fits into a message."""
        last: dict[Oid, Oid] = {column: column for column in columns}
        answer.columns.update((column, {}) for column in columns)
        varbinds, width = self._varbinds, len(columns)
        while last:
            asked = list(last)[:width]
            repetitions = max(varbinds // len(asked), 1)
            send = cmdgen.BulkCommandGenerator().send_varbinds
            status, _, pairs = await self._ask(send, (0, repetitions), [last[column] for column in asked])
            if not status:
                self._take(asked, pairs, last, answer)
            elif len(asked) * repetitions > 1:  # too much at once, or one of the values: agents differ in which one they name then
                varbinds, width = (max(varbinds // 2, 1), max(width // 2, 1)) if status == _TOO_BIG else (1 if width == 1 else varbinds, 1)
            else:
                answer.problems[asked[0]] = _says(status)
                del last[asked[0]]
                varbinds = self._varbinds

    def _take(self, asked: Sequence[Oid], pairs: Sequence[tuple[Oid, Raw | None]], last: dict[Oid, Oid], answer: Answer) -> None:
        """Sorts an answer into its columns, and notes where each goes on; a column that is at its end is dropped from `last`."""
        if not pairs:
            raise CollectError(f"{self.address}: an empty answer")
        for i, (oid, raw) in enumerate(pairs):
            column = asked[i % len(asked)]
            if column not in last:
                continue
            if raw is None or oid[: len(column)] != column:
                del last[column]
            elif oid <= last[column]:
                raise CollectError(f"{self.address}: {dotted(oid)} follows {dotted(last[column])}: the agent does not go on")
            elif len(answer.columns[column]) >= self._max_rows:
                answer.problems[column] = f"more than {self._max_rows} rows"
                del last[column]
            else:
                answer.columns[column][oid[len(column) :]] = raw
                last[column] = oid

    def _without(self, oids: list[Oid], status: int, at: int, answer: Answer) -> list[Oid]:
        """The OIDs without the one that the agent found fault with. Raises CollectError where it names none."""
        if not 1 <= at <= len(oids):
            raise CollectError(f"{self.address}: {_says(status)}")
        answer.problems[oids[at - 1]] = _says(status)
        return [*oids[: at - 1], *oids[at:]]

    async def _ask(self, send: Callable[..., object], counts: tuple[int, ...], oids: Sequence[Oid]) -> _Reply:
        """Error status, error index and values (None where there is none) of one request. Raises CollectError without an answer."""
        done: asyncio.Future[tuple[object, int, int, tuple[tuple[Any, object], ...]]] = asyncio.get_running_loop().create_future()

        def finish(*result: Any) -> None:  # noqa: ANN401 - engine, handle, indication, status, index, values, context; the library has no types
            _, _, indication, status, at, varbinds, _ = result
            if not done.done():
                done.set_result((indication, int(status), int(at), tuple(varbinds)))

        questions = [(rfc1902.ObjectName(oid), _NULL) for oid in oids]
        send(self._engine, _TARGET, None, self._context, *counts, questions, finish)
        indication, status, at, varbinds = await done
        if indication:
            raise CollectError(f"{self.address}: {self._unanswered(indication)}")
        return status, at, [(name.asTuple(), _raw(value)) for name, value in varbinds]

    def _unanswered(self, indication: object) -> str:
        if type(indication).__name__ != "RequestTimedOut":
            return _line(indication)
        what = "community" if isinstance(self._credentials, Community) else "user"
        return f"no answer within {self._timeout_s:g} s, asked {self._retries + 1} times; it is down, or does not know the {what}"


def dotted(oid: Oid) -> str:
    """An OID as it is written."""
    return ".".join(map(str, oid))


def _raw(value: object) -> Raw | None:
    """A value without the classes of the library; None where the agent has none."""
    if isinstance(value, _ABSENT):
        return None
    for types, name in _INTEGERS:
        if isinstance(value, types):
            return Raw(name, int(value))
    data: Any = value
    if isinstance(value, rfc1902.IpAddress) or not hasattr(value, "asOctets"):
        return Raw("other", data.prettyPrint())
    return Raw("opaque" if isinstance(value, rfc1902.Opaque) else "octets", data.asOctets())


def _says(status: int) -> str:
    return f"the agent says {_ERROR_STATUS.get(status, f'error {status}')}"


def _line(error: object) -> str:
    strerror = error.strerror if isinstance(error, OSError) else None
    return " ".join((strerror or str(error) or type(error).__name__).split())
