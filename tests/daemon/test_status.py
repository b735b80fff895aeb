"""What a process says of its stages on the bus: nothing that one stage says of itself silences the others, or the teller."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from daemon import messages
from daemon.bus.memory import MemoryBus, MemoryOptions
from daemon.messages import StageStatus
from daemon.status import StatusTeller


@pytest.fixture
def bus() -> Iterator[MemoryBus]:
    made = MemoryBus(MemoryOptions(max_record_bytes=2000))
    yield made
    made.close()


def heard(bus: MemoryBus, wanted: int) -> dict[str, dict[str, Any]]:
    """What was said last of each stage, once `wanted` of them have been heard of."""
    reader, found = bus.subscribe(["state"], None), dict[str, dict[str, Any]]()
    deadline = time.monotonic() + 20
    while len(found) < wanted and time.monotonic() < deadline:
        for record in reader.poll(0.1):
            status = messages.decode(record.value)
            assert isinstance(status, StageStatus)
            found[status.stage] = status.status
    reader.close()
    return found


def test_one_that_has_too_much_to_say_says_less_and_the_others_all(bus: MemoryBus) -> None:
    streams = [{"stream": f"source {number}"} for number in range(1000)]
    much = {"stage": "detect", "state": "running", "error": "", "failures": 0, "lag": 7, "streams": streams}
    teller = StatusTeller(
        bus, lambda: [much, {"stage": "web", "state": "running", "strange": object()}, {"stage": "notify", "owed": {"slack": 3}}]
    )
    teller.start()
    found = heard(bus, 2)
    teller.stop()
    assert found["detect"] == {"stage": "detect", "state": "running", "error": "", "failures": 0, "lag": 7}
    assert found["notify"]["owed"] == {"slack": 3}


def test_one_that_fails_to_say_how_it_is_does_not_end_it(bus: MemoryBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.status.EVERY_S", 0.01)
    answers = iter([RuntimeError("dictionary changed size during iteration")])

    def statuses() -> list[dict[str, Any]]:
        for failure in answers:
            raise failure
        return [{"stage": "collect", "state": "running"}]

    teller = StatusTeller(bus, statuses)
    teller.start()
    assert heard(bus, 1) == {"collect": {"stage": "collect", "state": "running"}}
    teller.stop()
