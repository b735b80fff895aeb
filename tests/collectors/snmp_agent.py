"""SNMP agents in processes of their own: a simulator with a tree that the test writes, and Net-SNMP's snmpd."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.conftest import missing

CRATE = "1.3.6.1.4.1.19947.1"
OUTPUT = f"{CRATE}.3.2.1"
PATIENCE_S = 60
Record = tuple[str, str, str]
"""OID, type and value, as snmpsim writes them: types are numbers of ASN.1 tags, x says that the value is hexadecimal."""


def integer(oid: str, value: int) -> Record:
    return oid, "2", str(value)


def text(oid: str, value: str) -> Record:
    return oid, "4", value


def octets(oid: str, value: bytes) -> Record:
    return oid, "4x", value.hex()


def real(oid: str, value: float) -> Record:
    """A float within Opaque, as WIENER crates tell them."""
    return oid, "68x", (b"\x9f\x78\x04" + struct.pack(">f", value)).hex()


def counter32(oid: str, value: int) -> Record:
    return oid, "65", str(value)


def output(number: int, volts: float, amperes: float, status: bytes = b"\x80\x05\x80", switch: int = 1) -> list[Record]:
    """An output of a crate: U<number>."""
    row = number + 1
    return [
        text(f"{OUTPUT}.2.{row}", f"U{number}"),
        octets(f"{OUTPUT}.4.{row}", status),
        real(f"{OUTPUT}.5.{row}", volts),
        real(f"{OUTPUT}.7.{row}", amperes),
        integer(f"{OUTPUT}.8.{row}", -128),
        integer(f"{OUTPUT}.9.{row}", switch),
        real(f"{OUTPUT}.10.{row}", 1400.0),
    ]


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class AgentProcess:
    """An agent that can be killed and started again at the same port."""

    ready = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> Self:
        log = self.folder / "agent.log"
        (self.folder / "persistent").mkdir(exist_ok=True)
        with log.open("wb") as file:
            environment = {**os.environ, "SNMPSIM_ALLOW_ROOT": "true", "SNMP_PERSISTENT_DIR": str(self.folder / "persistent"), "MIBS": ""}
            self._process = subprocess.Popen(self.command(), stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=environment)
        deadline = time.monotonic() + PATIENCE_S
        while self.ready not in log.read_text(errors="replace"):
            assert self._process.poll() is None, log.read_text(errors="replace")[-2000:]
            assert time.monotonic() < deadline, "the agent does not start"
            time.sleep(0.05)
        return self

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Simulator(AgentProcess):
    """snmpsim. What it tells is replaced by `show`; the name of the file is the community."""

    ready = "Listening at"

    def __init__(self, folder: Path, community: str = "public") -> None:
        super().__init__(folder)
        self._program = Path(sys.executable).with_name("snmpsim-command-responder")
        if not self._program.exists():
            missing("snmpsim: pip install snmpsim pysmi")
        self._data = folder / "data"
        self._data.mkdir(exist_ok=True)
        self._records = self._data / f"{community}.snmprec"
        self._version = 0
        self.show([])

    def show(self, records: list[Record]) -> None:
        """What it tells from now on. The file's time lies ahead, or the simulator would keep to its index."""
        always = [text("1.3.6.1.2.1.1.1.0", "simulated"), integer("1.4.1", 0)]
        lines = sorted([*records, *always], key=lambda record: [int(part) for part in record[0].split(".")])
        new = self.folder / "new.snmprec"
        new.write_text("".join("|".join(line) + "\n" for line in lines))
        self._version += 1
        ahead_s = time.time() + 1_000_000 + self._version
        os.utime(new, (ahead_s, ahead_s))
        new.replace(self._records)

    def command(self) -> list[str]:
        return [
            str(self._program),
            f"--data-dir={self._data}",
            f"--cache-dir={self.folder / 'cache'}",
            f"--agent-udpv4-endpoint={self.address}",
            "--v3-user=shifter",
            "--v3-auth-key=auctoritas",
            "--v3-auth-proto=SHA256",
            "--v3-priv-key=privatus1",
            "--v3-priv-proto=AES",
            "--logging-method=stdout",
            "--log-level=info",
        ]


class Snmpd(AgentProcess):
    """Net-SNMP's daemon, which tells of this machine."""

    ready = "NET-SNMP version"

    def __init__(self, folder: Path, community: str) -> None:
        super().__init__(folder)
        program = shutil.which("snmpd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            missing("snmpd: apt-get install snmpd")
        self._program = str(program)
        lines = (
            f"rocommunity {community} 127.0.0.1",
            "sysLocation rack 7",
            "createUser shifter SHA auctoritas AES privatus1",
            "rouser shifter priv",
        )
        (folder / "snmpd.conf").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return [self._program, "-f", "-Lo", "-C", "-c", str(self.folder / "snmpd.conf"), f"udp:{self.address}"]
