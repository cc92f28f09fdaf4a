"""The least that Python itself takes: an attribute that is flipped, a dict of bools."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bench.machines import ASYNC, RING, TOGGLE, TWO, Drive, LoopDrive

__all__ = ["DICT", "FLIP", "Flags", "awaiting", "mutating"]

FLIP, DICT = "an attribute flip", "a dict of bools"


class _Switch:
    on = False
    done = 0

    def enter(self) -> None: ...
    def leave(self) -> None: ...

    async def begin(self) -> None:
        self.done += 1

    async def begin_later(self) -> None:
        await asyncio.sleep(0)
        self.done += 1


class Flags:
    """Ten states as a dict."""

    __slots__ = ("states",)

    def __init__(self) -> None:
        self.states = dict.fromkeys(RING, False)


def mutating(shape: str, handlers: str) -> Drive:
    """Flips, with two method calls each if there are handlers."""
    switch = _Switch()

    def flip(count: int) -> None:
        for _ in range(count):
            switch.on = not switch.on

    def flip_and_tell(count: int) -> None:
        for _ in range(count):
            switch.leave()
            switch.on = not switch.on
            switch.enter()

    if shape == TOGGLE:
        return flip_and_tell if handlers == TWO else flip
    return _dict(switch if handlers == TWO else None)


def _dict(switch: _Switch | None) -> Drive:
    states = Flags().states
    leave: Callable[[], None] | None = None if switch is None else switch.leave
    enter: Callable[[], None] | None = None if switch is None else switch.enter
    one, other, third, fourth = RING[:4]

    def drive(count: int) -> None:
        for _ in range(count):
            to = not states[one]
            if leave is not None:
                leave()
            states[one] = states[third] = to
            states[other] = states[fourth] = not to
            if enter is not None:
                enter()

    return drive


def awaiting(shape: str, handlers: str) -> LoopDrive:
    """Flips, each with a coroutine that is awaited."""
    switch, step = _Switch(), mutating(shape, "")
    begin = switch.begin if handlers == ASYNC else switch.begin_later

    async def drive(count: int) -> None:
        for _ in range(count):
            step(1)
            await begin()

    return drive
