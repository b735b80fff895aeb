"""Words of DAQ snapshots: TTS codes, state names, and the FED that a message names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collectors.daq.daq_states import RUN_STATES, TTS_STATES, UNIT_STATES, fed_named_in, named_state, tts_state


@given(st.text())
def test_any_text_is_a_state_or_no_reading_or_an_error(text: str) -> None:
    for parse, vocabulary in ((tts_state, TTS_STATES), (lambda t: named_state(t, RUN_STATES), RUN_STATES)):
        try:
            state = parse(text)
        except ValueError as error:
            assert repr(text) in str(error)  # noqa: PT017 - both outcomes are allowed
        else:
            assert state is None or 0 <= state < len(vocabulary)


@given(st.sampled_from("RWBSEDX"), st.integers(0, 0xFFFF))
def test_the_letter_of_a_tts_code_is_its_state(letter: str, bits: int) -> None:
    state = tts_state(f"{letter}_{bits:x}")
    assert state is not None
    assert TTS_STATES[state] == {
        "R": "READY", "W": "WARNING", "B": "BUSY", "S": "OUT_OF_SYNC", "E": "ERROR", "D": "DISCONNECTED", "X": "INVALID",
    }[letter]  # fmt: skip


@given(st.integers(0, 99_999), st.text(max_size=20))
def test_the_fed_in_a_message_is_found_whatever_surrounds_it(number: int, text: str) -> None:
    assert fed_named_in(f"Mismatch detected in data block from FED {number} (X){text}") == number
    assert fed_named_in(f"no connection: {number}") is None


def test_states_of_states_count_as_the_first() -> None:
    assert named_state("Stopping.Recovering", RUN_STATES) == RUN_STATES.index("Stopping")
    assert named_state("SYNCLOSS", UNIT_STATES) == UNIT_STATES.index("SyncLoss")
    assert named_state("-", RUN_STATES) is None
