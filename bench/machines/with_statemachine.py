"""`python-statemachine`: its engine, and the async one that async handlers choose."""

from __future__ import annotations

import asyncio
import importlib
from functools import reduce
from operator import or_
from typing import Any

from bench.machines import ASYNC, NONE, RING, TOGGLE, TWO, Drive, LoopDrive, repeated

__all__ = ["awaiting", "crowd", "mutating"]


def _kind(shape: str, handlers: str) -> Any:
    """A class of machines: a ring of states, with the methods that it calls."""
    module: Any = importlib.import_module("statemachine")
    names = RING[:2] if shape == TOGGLE else RING
    states = {name: module.State(initial=name == names[0]) for name in names}
    steps = [states[one].to(states[names[at - 1]]) for at, one in enumerate(names)]

    def nothing(self: object) -> None: ...

    async def at_once(self: Any) -> None:
        self.done += 1

    async def later(self: Any) -> None:
        await asyncio.sleep(0)
        self.done += 1

    body: dict[str, Any] = {"done": 0, **states, "step": reduce(or_, steps)}
    for name in names if handlers != NONE else ():
        if handlers == TWO:
            body[f"on_exit_{name}"] = body[f"on_enter_{name}"] = nothing
        else:
            body[f"on_enter_{name}"] = at_once if handlers == ASYNC else later
    return type(module.StateMachine)("Ring", (module.StateMachine,), body)


def mutating(shape: str, handlers: str) -> Drive:
    """Steps of the plain engine."""
    return repeated(_kind(shape, handlers)().step)


def awaiting(shape: str, handlers: str) -> LoopDrive:
    """Steps of the async engine."""
    kind = _kind(shape, handlers)
    machine: Any = None

    async def drive(count: int) -> None:
        nonlocal machine
        if machine is None:
            machine = kind()
            await machine.activate_initial_state()
        step = machine.step
        for _ in range(count):
            await step()

    return drive


def crowd() -> tuple[Any, Any]:
    """Functions that make one more machine and that move one."""
    return _kind("", NONE), lambda machine: machine.step()
