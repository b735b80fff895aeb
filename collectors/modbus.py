"""Power supplies, PLCs and sensors by Modbus/TCP: registers, coils and inputs, asked for each turn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field, model_validator

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.frame import Frame, Layout, Quality
from collectors.patterns import Places, PlaceTemplates
from collectors.slow_control.channel_list import expand
from collectors.slow_control.host_port import HostPort
from collectors.slow_control.modbus_blocks import MAX_REGISTERS, Block, Plan
from collectors.slow_control.modbus_client import Connection, Lost, Refused
from collectors.slow_control.modbus_registers import Item, Order, Register, Whole, read_registers, unimplemented


class ModbusOptions(Options):
    """Where the device is, and which of its registers are channels."""

    address: HostPort
    """HOST or HOST:PORT; 502 by default."""
    device_id: Annotated[Whole, Field(ge=0, le=255)] = 1
    """Unit behind a gateway ("slave"); devices of their own mostly do not look at it."""
    registers: tuple[Register, ...] = ()
    """Values to read: { name = "U{00..11}:VMon", address = 100, type = "float32", unit = "V" }."""
    registers_file: Path | None = None
    """CSV whose columns are called as the fields of a register: name, address, type, unit … Lists are written a|b|c."""
    word_order: Order = "big"
    """Which word of a longer value comes first, where a register does not say."""
    byte_order: Order = "big"
    """Which byte of a word comes first, where a register does not say; Modbus's own is big."""
    sunspec_missing: bool = False
    """Contents by which SunSpec devices say "not there" (int16 0x8000, uint16 0xFFFF …) are no reading."""
    max_registers: int = Field(default=MAX_REGISTERS, ge=4, le=MAX_REGISTERS)
    """In one request."""
    max_gap: int = Field(default=0, ge=0, le=MAX_REGISTERS)
    """Unused addresses that are read along to save a request."""
    timeout_s: float = Field(default=3.0, gt=0, le=60)
    """For the connection, and for each answer."""
    retries: int = Field(default=1, ge=0, le=10)
    """How often a request is sent again: gateways to serial lines lose some."""
    places: PlaceTemplates = Field(default_factory=dict)
    """Pattern on the channel's name = place below the source's, above the register's own: { "U??:*" = "board{1}" }."""

    @model_validator(mode="after")
    def _check(self) -> ModbusOptions:
        if not self.items:
            raise ValueError("name the registers in `registers` or `registers_file`")
        names = [item.name for item in self.items]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{twice!r}: two registers have this name")
        return self

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """All values, with ranges of names written out. Raises ValueError where the file cannot be read."""
        listed = read_registers(self.registers_file) if self.registers_file else ()
        return tuple(item for register in (*self.registers, *listed) for item in self._expanded(register))

    def _expanded(self, register: Register) -> Iterator[Item]:
        missing = set(register.missing)
        if self.sunspec_missing and not register.is_switch and (code := unimplemented(register.type)) is not None:
            missing.add(code)
        device_id = self.device_id if register.device_id is None else register.device_id
        big_words, big_bytes = ((own or default) == "big" for own, default in self._orders(register))
        for i, name in enumerate(expand((register.name,))):
            address = register.address + i * (register.stride or register.width)
            yield Item(name, register, device_id, address, big_words, big_bytes, frozenset(missing))

    def _orders(self, register: Register) -> tuple[tuple[Order | None, Order], tuple[Order | None, Order]]:
        return (register.word_order, self.word_order), (register.byte_order, self.byte_order)


class ModbusCollector:
    """Reads registers of a Modbus/TCP device each turn, neighbours together in as few requests as allowed.

    A register that the device refuses is invalid, said once, and does not take its neighbours along. Ramps are shown to the
    detectors by the source's option `ramping`, for a status word as well as for a state.

    Example:
        [source.lv]
        collector = "modbus"
        place = "MU3E/LV"
        address = "lv1.example.org"
        registers = [
            { name = "U{00..11}:VMon", address = 100, type = "float32", unit = "V" },
            { name = "U{00..11}:Status", address = 200, type = "bits", bits = ["on", "ramp_up", "ramp_down", "over_current"] },
            { name = "Door", address = 3, table = "discrete", states = ["closed", "open"] },
        ]
        places = { "U??:*" = "U{1}{2}" }

    """

    options_model: ClassVar[type[Options]] = ModbusOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: ModbusOptions) -> None:
        self._origin = origin
        places = Places(origin.place, options.places)
        self._layout = Layout(origin.source, tuple(item.channel(places.of(item.name)) for item in options.items))
        self._columns = {item: i for i, item in enumerate(options.items)}
        self._plan = Plan(options.items, max_gap=options.max_gap, max_registers=options.max_registers)
        self._connection = Connection(options.address, timeout_s=options.timeout_s, retries=options.retries)
        self._problems: dict[str, str] = {}

    def collect(self) -> Iterator[Collected]:
        """A frame of all registers. Raises CollectError where the device does not answer, or tells none of them."""
        was_open = self._connection.is_open
        try:
            read, refused = self._read()
        except Lost:
            if not was_open:
                raise
            read, refused = self._read()  # devices end connections that are idle, or were restarted since the last turn
        if not read:
            first = next(iter(refused))
            raise CollectError(f"{self._connection.address}: none of {len(refused)} registers can be read: {first.name}: {refused[first]}")
        values = np.full((1, len(self._columns)), np.nan)
        quality = np.full(values.shape, Quality.GOOD, dtype=np.uint8)
        problems: dict[str, str] = {}
        payloads: dict[str, bytes] = {}
        for item, words in read.items():
            column = self._columns[item]
            values[0, column], problem = item.value(words)
            if problem:
                problems[item.name], payloads[item.name] = problem, " ".join(f"{word:#06x}" for word in words).encode()
            if math.isnan(values[0, column]):
                quality[0, column] = Quality.INVALID
        for item, reason in refused.items():
            problems[item.name] = str(reason)
            quality[0, self._columns[item]] = Quality.DISCONNECTED if reason.is_absent_device else Quality.INVALID
        said, self._problems = self._problems, problems
        yield from (Rejected(name, reason, payloads.get(name, b"")) for name, reason in problems.items() if name not in said)
        time_ns = np.array([self._origin.now_ns()], dtype=np.int64)
        yield Frame(self._layout, time_ns, values, quality if quality.any() else None)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _read(self) -> tuple[dict[Item, list[int]], dict[Item, Refused]]:
        """Words of all registers that the device tells, and why it does not tell the others. Raises CollectError."""
        read: dict[Item, list[int]] = {}
        refused: dict[Item, Refused] = {}
        pending: list[Block] = self._plan.blocks()[::-1]
        while pending:
            block = pending.pop()
            try:
                words = self._connection.read(block)
            except Refused as reason:
                parts = self._plan.split(block) if reason.may_be_one_register else []
                pending += parts[::-1]
                if not parts:
                    refused.update(dict.fromkeys(block.items, reason))
                continue
            self._plan.answered(block)
            read.update((item, words[item.address - block.start : item.end - block.start]) for item in block.items)
        return read, refused
