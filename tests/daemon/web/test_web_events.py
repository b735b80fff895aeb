"""What a page is told, and when."""

from __future__ import annotations

from daemon.web.events import BEAT_S, TICK_S, Teller


class Stage:
    """A state and a clock that the test moves."""

    def __init__(self) -> None:
        self.state = "1"
        self.now_s = 100.0
        self.teller = Teller(lambda: self.state, lambda: self.now_s)

    def after(self, seconds: float) -> str:
        self.now_s += seconds
        event = self.teller.next()
        return "" if event is None else event.splitlines()[0].removeprefix("event: ")


def test_changes_are_told_at_once_but_not_in_a_storm() -> None:
    stage = Stage()
    assert stage.after(0) == "change"
    assert stage.after(0.25) == ""
    stage.state = "2"
    assert stage.after(0.25) == ""
    assert stage.after(0.6) == "change"
    stage.state = "3"
    assert stage.after(1.0) == "change"


def test_a_connection_is_never_silent() -> None:
    stage = Stage()
    stage.after(0)
    told = [stage.after(0.25) for _ in range(int(2 * TICK_S / 0.25))]
    assert told.count("tick") == 2
    assert "beat" in told
    gaps, gap = [], 0.0
    for said in told:
        gap += 0.25
        if said:
            gaps.append(gap)
            gap = 0.0
    assert max(gaps) <= BEAT_S
