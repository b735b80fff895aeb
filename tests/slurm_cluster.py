"""A real Slurm for the tests: munge, a controller and four nodes of two processors on this machine, in folders of its own."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

INSTALL = "apt-get install slurmctld slurmd slurm-client munge, and run the tests as root"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol", "sinfo", "squeue")
NODES = ("n1", "n2", "n3", "n4")
PROCESSORS = 2
START_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 30.0

CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
KillWait=1
PriorityType=priority/basic
ReturnToService=2
MessageTimeout=5
{nodes}
PartitionName=main Nodes={names} Default=YES State=UP MaxTime=7-00:00:00
"""


def missing_programs() -> list[str]:
    """What is needed to run it and is not there."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return absent if os.geteuid() == 0 else [*absent, "root"]


class SlurmServer:
    """Starts when entered; what it started, jobs included, is gone when left."""

    def __init__(self, folder: Path, names: Sequence[str] = NODES) -> None:
        self.folder = folder
        self.names = tuple(names)
        self.conf = folder / "slurm.conf"
        self.environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self._prepare()
            self._start_munge()
            self.start_controller()
            for name in self.names:
                self._start(f"slurmd {name}", "slurmd", "-D", "-N", name)
            self._wait(lambda: self.run("sinfo", "-h", "-N", "-o", "%t").split() == ["idle"] * len(self.names), "nodes that are idle")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def run(self, *command: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def submit(self, *options: str, seconds: int = 600) -> str:
        """Puts a job that sleeps into the queue; its id."""
        return self.run("sbatch", "--parsable", "--output=/dev/null", "--chdir=/", *options, f"--wrap=sleep {seconds}").strip()

    def state(self, job: str) -> str:
        """State of a job ("RUNNING", "PENDING"); "" once it has left the queue."""
        return self.run("squeue", "-h", "-t", "all", "-o", "%i %T").partition(f"{job} ")[2].partition("\n")[0]

    def wait_for(self, job: str, state: str) -> None:
        """Returns when a job is in a state."""
        self._wait(lambda: self.state(job) == state, f"job {job} {state}")

    def node(self, name: str) -> tuple[str, str]:
        """State of a node in Slurm's words ("idle+drain") and the reason that it gives."""
        shown = self.run("scontrol", "show", "node", name, "--oneliner")
        return shown.partition("State=")[2].split()[0].lower(), shown.partition("Reason=")[2].partition(" [")[0]

    def clear(self) -> None:
        """Without jobs, and with all nodes in service: as it was at first."""
        self.start_controller()
        self.run("scancel", "--user=root", "--full", "--signal=KILL")
        self.run("scancel", "--user=root")
        self._wait(lambda: not self.run("squeue", "-h").strip(), "an empty queue")
        for name in self.names:
            state, reason = self.node(name)
            if "drain" in state or reason:
                self.run("scontrol", "update", f"nodename={name}", "state=resume")
        self._wait(lambda: self.run("sinfo", "-h", "-N", "-o", "%t").split() == ["idle"] * len(self.names), "nodes that are idle")

    def start_controller(self) -> None:
        """Starts the controller, at first or again; nothing where it runs."""
        if "slurmctld" not in self._processes or self._processes["slurmctld"].poll() is not None:
            self._start("slurmctld", "slurmctld", "-D")
        self._wait(lambda: self._answers("scontrol", "ping"), "the controller")
        if f"slurmd {self.names[-1]}" in self._processes:
            self._wait(lambda: not re.search(r"unk|\*", self.run("sinfo", "-h", "-N", "-o", "%t")), "nodes that answer")

    def kill_controller(self) -> None:
        """The controller is gone without a chance to save."""
        self._processes["slurmctld"].kill()
        self._processes["slurmctld"].wait()

    def stop_controller(self) -> None:
        """The controller saves its state and ends."""
        self._processes["slurmctld"].terminate()
        self._processes["slurmctld"].wait(START_TIMEOUT_S)

    def close(self) -> None:
        """Ends jobs and daemons."""
        controller = self._processes.get("slurmctld")
        if controller is not None and controller.poll() is None:
            subprocess.run(
                ["scancel", "--user=root", "--signal=KILL"],
                env=self.environment,
                capture_output=True,
                timeout=COMMAND_TIMEOUT_S,
                check=False,
            )
        for process in reversed(self._processes.values()):  # nothing of it is kept, and Slurm takes ten seconds to end orderly
            process.kill()
            process.wait()
        self._end_steps()

    def _prepare(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        ports = _free_ports(1 + len(self.names))
        lines = [
            f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs={PROCESSORS} RealMemory=2000"
            for name, port in zip(self.names, ports[1:], strict=True)
        ]
        self.conf.write_text(CONFIGURATION.format(port=ports[0], folder=self.folder, nodes="\n".join(lines), names=",".join(self.names)))

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self._start("munged", "munged", "--foreground", "--force", *(f"--{o}={self.folder}/munge.{name}" for o, name in files.items()))
        self._wait((self.folder / "munge.socket").exists, "munge")

    def _start(self, name: str, *command: str) -> None:
        """A daemon in the foreground, in a session of its own: an interrupt of the tests is not for it."""
        with (self.folder / f"{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                command, env=self.environment, cwd=self.folder, stdout=out, stderr=out, start_new_session=True
            )

    def _answers(self, *command: str) -> bool:
        return subprocess.run(command, env=self.environment, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False).returncode == 0

    def _wait(self, done: object, what: str) -> None:
        assert callable(done)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not done():
            ended = [name for name, process in self._processes.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = "\n".join(path.read_text(errors="replace")[-600:] for path in self.folder.glob("*.out"))
                raise AssertionError(f"Slurm: waited in vain for {what}; ended: {', '.join(ended) or 'nothing'}\n{logs}")
            time.sleep(0.05)

    def _end_steps(self) -> None:
        """Job steps detach themselves from the node's daemon; those of this cluster have its configuration in their environment."""
        ours = f"SLURM_CONF={self.conf}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if int(folder.name) != os.getpid() and ours in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
            except OSError:  # it has ended meanwhile
                continue


def _free_ports(number: int) -> list[int]:
    """Ports that nobody listens on; all are held until all are known, so that none comes twice."""
    held = [socket.socket() for _ in range(number)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


@pytest.fixture(scope="session")
def slurm_server() -> Iterator[SlurmServer]:
    """One for the whole run."""
    from tests.conftest import missing  # noqa: PLC0415 - conftest imports this module as a plugin

    absent = missing_programs()
    if absent:
        missing(f"Slurm ({', '.join(absent)}): {INSTALL}")
    with tempfile.TemporaryDirectory(prefix="shiftwatch-slurm-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # munge wants its socket's folder open to all
        with SlurmServer(Path(folder)) as server:
            yield server


@pytest.fixture
def slurm(slurm_server: SlurmServer) -> SlurmServer:
    """The same, without jobs and with all nodes in service."""
    slurm_server.clear()
    return slurm_server
