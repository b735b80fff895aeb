"""A real Apache Kafka broker on this machine, for tests and for trying things out (`make kafka`): one KRaft node, no security.

Needs Java 17 or later, and Maven for the first start: the jars (43 MB, deploy/kafka/pom.xml) are fetched once into
`SHIFTWATCH_KAFKA_HOME` (default ~/.cache/shiftwatch/kafka) and reused. Not meant for production.

    python -m deploy.kafka.broker --port 9092 --data .kafka
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import types
import uuid
from pathlib import Path
from typing import Self

HERE = Path(__file__).resolve().parent
VERSION = "4.1.0"
INSTALL = "apt-get install default-jre-headless maven"
PLAIN_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
STARTED = "Kafka Server started"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0

_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",  # says when the broker is ready
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


class BrokerError(Exception):
    """The broker could not be fetched or started: the message says what is missing or ends with its log."""


def missing_programs() -> list[str]:
    """Programs that must be installed before a broker can run: java, and mvn until the jars are there."""
    needed = ["java"] if _libs(_home()).is_dir() else ["java", "mvn"]
    return [program for program in needed if shutil.which(program) is None]


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch_jars() -> Path:
    """Folder with Kafka's jars; fetched by Maven where they are not there yet. Raises BrokerError."""
    home = _home()
    libs = _libs(home)
    if libs.is_dir():
        return libs
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:  # two test runs at once must not fetch into one folder
        fcntl.flock(lock, fcntl.LOCK_EX)
        if libs.is_dir():
            return libs
        if shutil.which("mvn") is None:
            raise BrokerError(f"mvn is missing: {INSTALL}")
        partial = home / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        command = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise BrokerError(f"{' '.join(command)} failed: {(done.stdout + done.stderr).strip()[-2000:]}")
        partial.rename(libs)  # complete or not there at all
    return libs


def _home() -> Path:
    return Path(os.environ.get("SHIFTWATCH_KAFKA_HOME", Path.home() / ".cache" / "shiftwatch" / "kafka"))


def _libs(home: Path) -> Path:
    return home / f"libs-{VERSION}"


class KafkaBroker:
    """One broker with its data in `folder`. `port` 0 means any free one, which is kept over restarts.

    With `users` (name and password) a second listener asks for them (SASL_PLAINTEXT, mechanism PLAIN). Use `start` and
    `stop`, or a `with` block.
    """

    def __init__(self, folder: Path, port: int = 0, users: dict[str, str] | None = None) -> None:
        self._folder = folder
        self._port = port or free_port()
        self._users = users or {}
        self._sasl_port = free_port() if users else 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """The address that clients are given: "127.0.0.1:9092"."""
        return f"127.0.0.1:{self._port}"

    @property
    def sasl_bootstrap(self) -> str:
        """The address of the listener that asks for a password."""
        return f"127.0.0.1:{self._sasl_port}"

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the broker on the data that is there and returns when it takes requests. Raises BrokerError."""
        if self.running:
            return
        absent = missing_programs()
        if absent:
            raise BrokerError(f"{' and '.join(absent)} missing: {INSTALL}")
        libs = fetch_jars()
        self._folder.mkdir(parents=True, exist_ok=True)
        properties = self._write_properties()
        if not (self._folder / "data" / "meta.properties").is_file():
            self._format(libs, properties)
        log = self._log_path()
        log.unlink(missing_ok=True)
        with log.open("wb") as out:
            self._process = subprocess.Popen(self._command(libs, properties), stdout=out, stderr=out)  # noqa: S603
        self._wait_until_started()

    def stop(self) -> None:
        """Ends the broker in an orderly way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the broker at once, as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self, *, crash: bool = False) -> None:
        """Stops (or kills) the broker and starts it again on the same port and data."""
        if crash:
            self.kill()
        else:
            self.stop()
        self.start()

    def wait(self) -> int:
        """Waits until the process ends by itself and returns its exit code."""
        return self._process.wait() if self._process else 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _log_path(self) -> Path:
        return self._folder / "broker.log"

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _write_properties(self) -> Path:
        controller = free_port()
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
            "log.dirs": str(self._folder.resolve() / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "500",
            "broker.session.timeout.ms": "2000",  # how long a crashed broker is waited for before it may come back
            "broker.heartbeat.interval.ms": "300",
        }
        if self._users:
            listener = f",SASL_PLAINTEXT://{self.sasl_bootstrap}"
            users = " ".join(f'user_{name}="{password}"' for name, password in self._users.items())
            properties["listeners"] += listener
            properties["advertised.listeners"] += listener
            properties["sasl.enabled.mechanisms"] = "PLAIN"
            properties["listener.name.sasl_plaintext.plain.sasl.jaas.config"] = f"{PLAIN_LOGIN} required {users};"
        path = self._folder / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()), encoding="utf-8")
        return path

    def _format(self, libs: Path, properties: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        tool = ["java", *_LOGGING, "-cp", f"{libs}/*", "kafka.tools.StorageTool"]
        command = [*tool, "format", f"--cluster-id={cluster}", "-c", str(properties)]  # an id may begin with a hyphen
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise BrokerError(f"formatting {self._folder} failed: {(done.stdout + done.stderr).strip()[-2000:]}")

    @staticmethod
    def _command(libs: Path, properties: Path) -> list[str]:
        java = ["java", "-Xmx512m", "-XX:+UseSerialGC", *_LOGGING, "-cp", f"{libs}/*", "kafka.Kafka", str(properties)]
        setpriv = shutil.which("setpriv")
        # Where it can be had: a broker does not outlive the test run that started it, even if that is killed.
        return [setpriv, "--pdeathsig", "KILL", *java] if setpriv else java

    def _wait_until_started(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            log = self._log_path().read_text(encoding="utf-8", errors="replace")
            if STARTED in log:
                return
            if not self.running:
                break
            time.sleep(0.05)
        self.kill()
        raise BrokerError(f"the broker at {self.bootstrap} did not start: {log.strip()[-2000:]}")


def main(arguments: list[str] | None = None) -> int:
    """Runs a broker in the foreground until it is interrupted."""
    parser = argparse.ArgumentParser(description="Run one Apache Kafka broker in the foreground.")
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--data", type=Path, default=Path(".kafka"))
    options = parser.parse_args(arguments)
    broker = KafkaBroker(options.data, options.port)

    def interrupted(number: int, _frame: types.FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, interrupted)
    try:
        broker.start()
        sys.stdout.write(f"Kafka {VERSION} at {broker.bootstrap}, data and log in {options.data}; end it with Ctrl-C\n")
        sys.stdout.flush()
        return broker.wait()
    except BrokerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        broker.stop()


if __name__ == "__main__":
    raise SystemExit(main())
