"""Names for the codes that devices use for states: a list from 0, or a table where codes have gaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator


def _numbered(names: object) -> object:
    return dict(enumerate(names)) if isinstance(names, list | tuple) else names


StateCodes = Annotated[dict[int, str], BeforeValidator(_numbered)]
"""Names of states: ["off", "on"] for 0 and 1, or { 1 = "up", 2 = "down" } by their codes."""


def state_index(codes: Mapping[int, str], code: float) -> int | None:
    """The index of the state that a code stands for, in the order of `codes`; None where it has no name."""
    return next((i for i, known in enumerate(codes) if known == code), None)
