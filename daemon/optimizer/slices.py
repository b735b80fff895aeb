"""Calculations that are done in slices, so that who asks for one is never away for long."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")
Sliced = Generator[None, None, T]
"""Yields where it may be interrupted; returns what was asked for."""


def advanced(work: Sliced[T], may_go_on: Callable[[], bool]) -> T | None:
    """Goes on for as long as it may, by one slice at least; the result, or None while it is not finished."""
    try:
        next(work)
        while may_go_on():
            next(work)
    except StopIteration as end:
        result: T = end.value
        return result
    return None


def finished(work: Sliced[T]) -> T:
    """All of it at once."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
