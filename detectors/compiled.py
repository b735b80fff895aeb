"""Compilation of loops over whole blocks to machine code (numba)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_interpreted = False


def interpret() -> None:
    """From now on this process runs the loops as they are written: the compiler takes about 100 MB of memory.

    A row of 1,000 channels then takes milliseconds: enough for a process that judges one every few seconds.
    """
    global _interpreted  # noqa: PLW0603 - of the process, as the compiler is
    _interpreted = True


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function as machine code, made at the first call with arguments of a type.

    The compiler is imported at the first call of any such function, so that a daemon starts without it. The code is kept on
    disk where that is possible; an installation whose folders cannot be written compiles anew in each process, which takes
    about a second. A compiled function cannot call another one.
    """

    @cache
    def machine_code() -> Callable[P, R]:
        import numba  # noqa: PLC0415 - see above

        try:
            made: Callable[P, R] = numba.njit(cache=True, nogil=True)(function)
        except RuntimeError:  # numba found no folder to keep it in
            made = numba.njit(nogil=True)(function)
        return made

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs) if _interpreted else machine_code()(*args, **kwargs)

    return call
