"""Compilation of loops over whole blocks to machine code (numba)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function as machine code, made at the first call with arguments of a type.

    The code is kept on disk where that is possible; an installation whose folders cannot be written compiles anew in each
    process, which takes about a second.
    """
    try:
        made: Callable[P, R] = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba found no folder to keep it in
        made = numba.njit(nogil=True)(function)
    return made
