"""What a device's numbers mean: names for the codes of states (a list from 0, or a table where codes have gaps), and a scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field


def _numbered(names: object) -> object:
    return dict(enumerate(names)) if isinstance(names, list | tuple) else names


StateCodes = Annotated[dict[int, str], BeforeValidator(_numbered)]
"""Names of states: ["off", "on"] for 0 and 1, or { 1 = "up", 2 = "down" } by their codes."""


def _not_zero(scale: float) -> float:
    if not scale:
        raise ValueError("a scale of 0 makes every value 0")
    return scale


Scale = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_not_zero)]
"""What a device's number is multiplied with."""


def state_index(codes: Mapping[int, str], code: float) -> int | None:
    """The index of the state that a code stands for, in the order of `codes`; None where it has no name."""
    return next((i for i, known in enumerate(codes) if known == code), None)
