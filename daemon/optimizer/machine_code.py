"""Functions compiled to machine code that may call one another. Import it only where it is used: it imports numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def machine_code(function: Callable[P, R]) -> Callable[P, R]:
    """An entry point: compiled at the first call; kept on disk where there is a folder for it."""
    try:
        made: Callable[P, R] = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba found no folder to keep it in
        made = numba.njit(nogil=True)(function)
    return made


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A part of others, put in its place there: a call that hands over dozens of arrays costs more than what most parts do."""
    made: Callable[P, R] = numba.njit(nogil=True, inline="always")(function)
    return made
