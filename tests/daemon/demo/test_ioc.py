"""The crate answers Channel Access clients of another process, with the time of the data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from caproto import AlarmSeverity

from daemon.demo import geometry
from daemon.demo.faults import ChamberTrip
from daemon.demo.high_voltage import Status
from tests.daemon.demo.conftest import Stepped

READ = """
import json, sys
from caproto.sync.client import read
for name in sys.argv[1:]:
    for kind in ("time", "control"):
        r = read(name, data_type=kind, timeout=5, repeater=False)
        said = dict(name=name, value=r.data.tolist()[0], severity=int(r.metadata.severity))
        if kind == "time":
            said["timestamp"] = r.metadata.timestamp
        else:
            said["units"] = getattr(r.metadata, "units", b"").decode()
            said["states"] = [s.decode() for s in getattr(r.metadata, "enum_strings", ())]
        print(json.dumps(said))
"""


def read(stepped: Stepped, *names: str) -> list[dict[str, Any]]:
    """What a client sees of each variable: value and time, then unit and names of states."""
    environment = {"EPICS_CA_ADDR_LIST": f"127.0.0.1:{stepped.simulation.ioc.port}", "EPICS_CA_AUTO_ADDR_LIST": "NO"}
    done = subprocess.run([sys.executable, "-c", READ, *names], env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_voltages_currents_and_states_can_be_read(stepped: Stepped) -> None:
    stepped.simulation.step()
    said = read(stepped, "crate1:ch00:VMon", "crate1:ch09:IMon", "crate1:ch03:Status", "crate1:ch11:V0Set")
    voltage, current, state, setting = said[::2]
    assert voltage["value"] == pytest.approx(geometry.CHANNELS[0].set_volts, abs=0.5)
    assert voltage["timestamp"] == pytest.approx(stepped.simulation.time_ns / 1e9, abs=1e-6)
    assert current["value"] == pytest.approx(geometry.CHANNELS[9].current_ua, rel=0.1)
    assert Status(state["value"]) is Status.ON
    assert setting["value"] == 3600.0
    assert [described["units"] for described in said[1::2]] == ["V", "uA", "", "V"]
    assert said[5]["states"] == ["OFF", "ON", "RAMP_UP", "RAMP_DOWN", "TRIPPED"]


@pytest.mark.parametrize("stepped", [(((ChamberTrip(np.random.default_rng(1)), 1, 4),), ())], indirect=True)
def test_a_trip_and_its_recovery(stepped: Stepped) -> None:
    stepped.simulation.step()
    stepped.simulation.step()
    (place,) = stepped.events("injected")[0]["places"]
    name = f"crate1:{place.rsplit('/', 1)[1]}"
    state, _, current, _ = read(stepped, f"{name}:Status", f"{name}:IMon")
    assert Status(state["value"]) is Status.TRIPPED
    assert state["severity"] == AlarmSeverity.MAJOR_ALARM
    assert 0 < state["timestamp"] - stepped.simulation.time_ns / 1e9 < 23.3
    assert current["value"] > 50  # the spark, before the current is measured again
    stepped.simulation.step()
    voltage, _, current, _ = read(stepped, f"{name}:VMon", f"{name}:IMon")
    assert voltage["value"] < 1
    assert current["value"] < 0.1
    for _ in range(6):
        stepped.simulation.step()
    state, _, voltage, _ = read(stepped, f"{name}:Status", f"{name}:VMon")
    assert Status(state["value"]) is Status.ON
    assert state["severity"] == AlarmSeverity.NO_ALARM
    assert voltage["value"] == pytest.approx(3600, abs=2)
