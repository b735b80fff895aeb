"""One Modbus/TCP connection: tables read block by block, refusals told from silence."""

from __future__ import annotations

import logging
from typing import Any

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException

from collectors.collector import CollectError
from collectors.slow_control.host_port import split_address
from collectors.slow_control.modbus_blocks import Block

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what it logs is told by the errors raised here, once
MODBUS_PORT = 502
_FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_CODES = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge, not done yet",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target does not respond",
}


class Refused(Exception):  # noqa: N818 - an answer, and no error of ours
    """The device answers that it does not tell. `code` is Modbus's exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(_CODES.get(code, f"exception {code}"))
        self.code = code

    @property
    def may_be_one_register(self) -> bool:
        """Whether others of the same request may be told: an address or a value that is illegal, or a failure of its own."""
        return self.code in (2, 3, 4)

    @property
    def is_absent_device(self) -> bool:
        """Whether the device behind a gateway is not there."""
        return self.code in (10, 11)


class Lost(CollectError):  # noqa: N818 - an error by its base
    """The connection has ended; a new one may do."""


class Connection:
    """Opened with the first request, ended by `close` and by any answer that is late or broken."""

    def __init__(self, address: str, *, timeout_s: float, retries: int) -> None:
        self.address = address
        self._timeout_s = timeout_s
        host, port = split_address(address, MODBUS_PORT)
        self._client: Any = ModbusTcpClient(host, port=port, timeout=timeout_s, retries=retries)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection as far as this side knows."""
        return bool(self._client.connected)

    def read(self, block: Block) -> list[int]:
        """Words of a block, or its bits as 0 and 1; of length block.count. Raises Refused, Lost, CollectError."""
        if not self._client.connect():
            raise CollectError(f"{self.address}: no connection within {self._timeout_s:g} s, or refused")
        try:
            answer = self._request(block)
        except ConnectionException:
            self.close()
            raise Lost(f"{self.address}: the connection was ended") from None
        except (ModbusException, OSError, ValueError, IndexError) as error:
            self.close()
            raise CollectError(f"{self.address}: {self._unanswered(block, error)}") from None
        if answer.isError():
            raise Refused(int(answer.exception_code))
        is_switch = block.items[0].register.is_switch
        words = [int(word) for word in (answer.bits if is_switch else answer.registers)]
        expected = -(-block.count // 8) * 8 if is_switch else block.count  # bits come in whole bytes
        if len(words) != expected or answer.function_code != _FUNCTIONS[block.table]:
            self.close()
            told = f"{len(words)} values by function {answer.function_code}"
            raise CollectError(f"{self.address}: {told} in an answer to {self._asked(block)}, which is not an answer to that")
        return words[: block.count]

    def close(self) -> None:
        """Ends the connection; the next request opens a new one."""
        self._client.close()

    def _request(self, block: Block) -> Any:  # noqa: ANN401 - the library's answers have no common type over its versions
        client = self._client
        read = {
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
        }[block.table]
        return read(block.start, count=block.count, device_id=block.device_id)

    def _asked(self, block: Block) -> str:
        return f"{block.table} {block.start} to {block.start + block.count - 1} of device {block.device_id}"

    def _unanswered(self, block: Block, error: Exception) -> str:
        silence = "no response" in str(error).lower()
        return f"{self._asked(block)}: " + (f"no answer within {self._timeout_s:g} s" if silence else " ".join(str(error).split()))
