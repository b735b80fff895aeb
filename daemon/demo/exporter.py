"""DAQ and conditions as Prometheus text over HTTP on the loopback interface, each sample with its own time."""

from __future__ import annotations

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from daemon.demo.experiment import Conditions, Shown
from daemon.demo.geometry import FEDS

DAQ_PATH, CONDITIONS_PATH = "/metrics", "/conditions"
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Text:
    """Collects metric families in the text format; every sample carries the same time."""

    def __init__(self, time_ns: int) -> None:
        self._time_ms = time_ns // 1_000_000
        self._lines: list[str] = []

    def family(self, name: str, kind: str, meaning: str, samples: dict[str, float]) -> None:
        """One metric; `samples` maps a label set ('cause="tts"', or nothing) to its value."""
        self._lines += (f"# HELP {name} {meaning}", f"# TYPE {name} {kind}")
        for labels, value in samples.items():
            shown = f"{{{labels}}}" if labels else ""
            self._lines.append(f"{name}{shown} {value:.10g} {self._time_ms}")

    def encode(self) -> bytes:
        """What goes over the wire."""
        return ("\n".join(self._lines) + "\n").encode()


_FED_LABELS = tuple(f'partition="{fed.partition}",fed="{fed.number}"' for fed in FEDS)


def daq_text(shown: Shown) -> bytes:
    """Trigger and data acquisition at the end of a lumisection."""
    daq, text = shown.daq, _Text(shown.time_ns)
    text.family("daq_trigger_rate_hertz", "gauge", "Accepted triggers a second.", {"": daq.trigger_rate_hz})
    causes = {f'cause="{cause}"': ratio for cause, ratio in daq.deadtime_ratio.items()}
    text.family("daq_deadtime_ratio", "gauge", "Fraction of time without triggers, by cause.", causes)
    partitions = {f'partition="{name}"': ratio for name, ratio in daq.partition_deadtime_ratio.items()}
    text.family("daq_partition_deadtime_ratio", "gauge", "Fraction of time that a partition holds triggers up.", partitions)
    for name, meaning, values in (
        ("daq_fed_busy_ratio", "Fraction of time that a front end is busy.", daq.fed_busy_ratio),
        ("daq_fed_warning_ratio", "Fraction of time that a front end warns.", daq.fed_warning_ratio),
        ("daq_fed_tts_state", "Throttling state: 0 ready, 1 warning, 2 busy.", daq.fed_tts_state),
    ):
        text.family(name, "gauge", meaning, dict(zip(_FED_LABELS, values.tolist(), strict=True)))
    text.family("daq_events_total", "counter", "Events built since the start of the run.", {"": daq.events})
    return text.encode()


def conditions_text(shown: Shown) -> bytes:
    """Run, beam and luminosity at the end of a lumisection."""
    conditions: Conditions = shown.conditions
    text = _Text(shown.time_ns)
    for name, meaning, value in (
        ("run_number", "Number of the run.", conditions.run),
        ("lumisection", "Lumisection within the run.", conditions.lumisection),
        ("luminosity", "Instantaneous luminosity [1e34/cm2/s]", conditions.luminosity_1e34),
        ("pileup", "Mean number of collisions in a bunch crossing.", conditions.pileup),
        ("beam_mode", "Beam mode: 0 no beam, 1 injection, 2 ramp, 3 adjust, 4 stable beams.", conditions.beam_mode),
        ("beam_energy", "Energy of a beam [GeV]", conditions.beam_energy_gev),
    ):
        text.family(f"conditions_{name}", "gauge", meaning, {"": float(value)})
    return text.encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # a scraper keeps its connection
    pages: ClassVar[dict[str, bytes]]

    def do_GET(self) -> None:
        """Any of the pages, as it was last published."""
        body = self.pages.get(self.path)
        if body is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Scrapes are not worth a line each."""


class Exporter:
    """Serves /metrics (DAQ) and /conditions; `port` is free when it is made."""

    def __init__(self) -> None:
        self._pages: dict[str, bytes] = {}
        handler = type("Handler", (_Handler,), {"pages": self._pages})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="exporter", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def publish(self, shown: Shown) -> None:
        """Replaces what the pages show."""
        self._pages[DAQ_PATH] = daq_text(shown)
        self._pages[CONDITIONS_PATH] = conditions_text(shown)

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
